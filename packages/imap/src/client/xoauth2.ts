// XOAUTH2, Google's and Microsoft's form of OAUTHBEARER from before RFC 7628: the same token in another envelope.

import { type ClientMechanism, SaslFailure } from '@aviso/sasl'

/** The exchange of `user` with an OAuth 2 access token. Rejects with `SaslFailure` when the token is refused, or is none. */
export function xoauth2Client(user: string, token: string): ClientMechanism {
  let error: string | undefined
  return {
    name: 'XOAUTH2',
    async start() {
      // RFC 6750 §2.1; the name must not end its field.
      if (!/^[\w.~+/-]+=*$/.test(token) || user.includes('\x01'))
        throw new SaslFailure('malformed-request', 'The name or the token has characters that none has.')
      return Buffer.from(`user=${user}\x01auth=Bearer ${token}\x01\x01`)
    },
    async next(challenge) {
      if (error !== undefined) throw new SaslFailure('not-authorized', `The server did not accept the token: ${error}`)
      error = Buffer.from(challenge).toString('utf8').slice(0, 1000)
      return new Uint8Array(0)
    },
    async success() {
      if (error !== undefined) throw new SaslFailure('malformed-request', 'The server reports success after an error.')
    },
  }
}
