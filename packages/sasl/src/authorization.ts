// RFC 4422 §2: the identity that a client wants to act as.

import { type Identity, SaslFailure } from './contract.ts'
import { prepareName } from './prepare.ts'

/** May `authcid`, which is authenticated, act as `authzid`? A rejection means that it cannot be told now. */
export type Authorize = (authcid: string, authzid: string) => Promise<boolean>

/** The identity of a session. Without `authorize` nobody acts as anybody else. Throws `SaslFailure` invalid-authzid. */
export async function authorized(
  authcid: string,
  authzid: string,
  authorize: Authorize | undefined,
): Promise<Identity> {
  if (authzid === '') return { authcid, authzid: undefined }
  const wanted = prepareName(authzid)
  if (wanted === authcid) return { authcid, authzid: undefined }
  // `true` and nothing else: a verdict that a caller mistyped must not open the door.
  if (authorize && (await authorize(authcid, wanted)) === true) return { authcid, authzid: wanted }
  throw new SaslFailure('invalid-authzid', 'You may not act as this identity.')
}
