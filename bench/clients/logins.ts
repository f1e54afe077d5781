// Who logs in, and with what.

import { type ClientMechanism, clientMechanism, type MechanismName } from '@aviso/sasl'

/** All accounts of the bench have the same password. */
export const PASSWORD = 'a password of the bench'

export interface Logins {
  begin(mechanisms: readonly MechanismName[], user: string): ClientMechanism
}

export const logins: Logins = {
  begin(mechanisms, user) {
    const mechanism = clientMechanism(mechanisms, { authcid: user, password: PASSWORD, secure: true })
    if (mechanism === undefined) throw new Error(`none of ${mechanisms.join(', ')} can be done`)
    return mechanism
  },
}

export const localPart = (index: number): string => `u${String(index).padStart(5, '0')}`
