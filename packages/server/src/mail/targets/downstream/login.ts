// RFC 4954: logging in at a smart host.

import { clientMechanism, tlsChannelBinding } from '@aviso/sasl'
import type { SmtpClient } from '@aviso/smtp'
import { TLSSocket } from 'node:tls'
import { AddressSet } from '../../../net/addresses.ts'
import { answer } from '../remote/answers.ts'
import type { TlsLevel } from '../remote/contracts.ts'
import { type Hop, HopError } from '../remote/link.ts'
import type { DownstreamConfig } from './config.ts'

export type Login = NonNullable<DownstreamConfig['login']>

/**
 * Logs in. `protect`: a password may go over as it is. Rejects with a HopError that says *later*: a password that is wrong here is no reason to
 * give somebody's mail back.
 */
export async function logIn(client: SmtpClient, login: Login, host: string, protect: boolean): Promise<void> {
  const { user, password, mechanisms, certificate } = login
  const { socket } = client
  const mechanism = clientMechanism(client.extensions.get('AUTH') ?? [], {
    ...(user === undefined ? {} : { authcid: user }),
    ...(password === undefined ? {} : { password }),
    ...(mechanisms === undefined ? {} : { mechanisms }),
    external: certificate !== undefined,
    secure: protect,
    channelBinding:
      socket instanceof TLSSocket
        ? tlsChannelBinding(socket, 'client', socket.getPeerX509Certificate()?.raw)
        : undefined,
    host,
  })
  if (mechanism === undefined)
    throw new HopError(answer(451, '4.7.0', `${host} offers no way to log in that can be used with these settings`))
  try {
    await client.authenticate(mechanism)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new HopError(answer(451, '4.7.0', `The login at ${host} fails (${why})`), undefined, '', { cause: error })
  }
}

const LOOPBACK = new AddressSet(['127.0.0.0/8', '::1'])

/** A password may go as it is to a server whose certificate is good, to one that the config (`wanted`) asks no good one of but TLS, and to one on this machine. */
export function mayCarryPassword({ at }: Pick<Hop, 'at'>, level: TlsLevel, wanted: TlsLevel): boolean {
  if (level === 'authenticated' || (level === 'encrypted' && wanted === 'encrypted')) return true
  return 'path' in at || LOOPBACK.has(at.address)
}
