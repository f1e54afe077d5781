// What PLAIN and LOGIN have in common: a password in clear, checked by the credential source.

import { type CredentialSource, type RefusalCondition, SaslFailure } from '../contract.ts'
import { preparePassword } from '../prepare.ts'

/** Throws `SaslFailure` unless the source accepts. */
export async function checkPassword(credentials: CredentialSource, authcid: string, password: string): Promise<void> {
  if (password === '') throw new SaslFailure('malformed-request', 'The password is empty.')
  const verdict = await credentials.password(authcid, preparePassword(password))
  if (verdict !== 'accepted') throw refusal(verdict)
}

const REFUSALS: Readonly<Record<RefusalCondition, string>> = {
  'not-authorized': 'The user name or password is wrong.',
  'account-disabled': 'The account is disabled.',
  'credentials-expired': 'The password has expired.',
  'mechanism-too-weak': 'This mechanism is too weak for the account.',
  'temporary-auth-failure': 'Authentication is not possible right now. Please try again later.',
}

export function refusal(condition: RefusalCondition): SaslFailure {
  return new SaslFailure(condition, REFUSALS[condition])
}
