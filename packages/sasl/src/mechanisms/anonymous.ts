// RFC 4505: ANONYMOUS

import { type ClientMechanism, SaslFailure, type ServerMechanism } from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { decodeText } from '../prepare.ts'

/** Makes an identity for a guest. `trace` is what the client says about itself, perhaps nothing. */
export type GuestIdentity = (trace: string) => Promise<string>

export function anonymousServer(guest: GuestIdentity): ServerMechanism {
  return serverExchange('ANONYMOUS', async function* (initial) {
    const trace = decodeText(initial ?? (yield EMPTY))
    if (trace.length > 255 || /\p{Cc}/u.test(trace))
      throw new SaslFailure('malformed-request', 'The trace is not one line of text.')
    return { identity: { authcid: await guest(trace), authzid: undefined } }
  })
}

/** The client says nothing about itself. */
export function anonymousClient(): ClientMechanism {
  return {
    name: 'ANONYMOUS',
    async start() {
      return Buffer.alloc(0)
    },
    async next() {
      throw new SaslFailure('malformed-request', 'The server sent a challenge, which ANONYMOUS has not.')
    },
    async success() {},
  }
}
