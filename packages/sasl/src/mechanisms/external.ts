// RFC 4422 appendix A: EXTERNAL. The proof was made elsewhere: a TLS client certificate, a local socket's peer.

import { type ClientMechanism, type Identity, SaslFailure, type ServerMechanism } from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { decodeText } from '../prepare.ts'

/** Who the peer is by that outer proof, when it asks to be `authzid` (undefined: derive it from the proof). A rejection means: cannot be told now. */
export type ExternalIdentity = (authzid: string | undefined) => Promise<Identity | 'not-authorized' | 'invalid-authzid'>

export function externalServer(identify: ExternalIdentity): ServerMechanism {
  return serverExchange('EXTERNAL', async function* (initial, attempt) {
    const authzid = decodeText(initial ?? (yield EMPTY))
    if (authzid !== '') attempt.authcid = authzid
    const identity = await identify(authzid === '' ? undefined : authzid)
    if (identity === 'not-authorized')
      throw new SaslFailure(identity, 'The certificate does not prove an identity here.')
    if (identity === 'invalid-authzid') throw new SaslFailure(identity, 'The certificate does not prove this identity.')
    return { identity }
  })
}

export function externalClient(authzid: string | undefined): ClientMechanism {
  return {
    name: 'EXTERNAL',
    async start() {
      return Buffer.from(authzid ?? '')
    },
    async next() {
      throw new SaslFailure('malformed-request', 'The server sent a challenge, which EXTERNAL has not.')
    },
    async success() {},
  }
}
