// RFC 5802 and 7677: SCRAM, the client's side.

import { type Announcement, announcementHash } from '../announcement.ts'
import type { ChannelBinding } from '../channel-binding.ts'
import { type ClientMechanism, type MechanismName, SaslFailure, type ScramHash } from '../contract.ts'
import { EMPTY, MESSAGE_OCTETS } from '../exchange.ts'
import { decodeText, prepareName } from '../prepare.ts'
import { encodeSaslname } from './saslname.ts'
import { parseServerFinal, parseServerFirst } from './scram-messages.ts'
import {
  clientKey,
  digest,
  hmac,
  LEAST_ITERATIONS,
  MOST_ITERATIONS,
  saltedPassword,
  sameOctets,
  serverKey,
  xor,
} from './scram-keys.ts'

export interface ScramClientOptions {
  readonly authcid: string
  readonly password: string
  readonly authzid: string | undefined
  /** The client's nonce: printable ASCII without commas, never the same again. */
  readonly nonce: () => string
  /** Undefined when this client cannot bind. */
  readonly channelBinding: ChannelBinding | undefined
  /** What this client was shown; compared with what the server says that it showed, if it does (XEP-0474). */
  readonly announced: Announcement | undefined
  /** Refuses servers that ask for more. */
  readonly mostIterations: number
}

export function scramClient(name: MechanismName, hash: ScramHash, options: ScramClientOptions): ClientMechanism {
  const nonce = options.nonce()
  const bare = `n=${encodeSaslname(prepareName(options.authcid))},r=${nonce}`
  const { gs2Header, octets } = gs2(name.endsWith('-PLUS'), options)
  let state: 'first' | 'final' | 'proven' | 'over' = 'first'
  let expected: Buffer = Buffer.alloc(0)

  const answer = async (message: string): Promise<Uint8Array> => {
    const server = parseServerFirst(message)
    if (!server.nonce.startsWith(nonce) || server.nonce.length === nonce.length) {
      throw new SaslFailure('malformed-request', "The server's nonce does not continue ours.")
    }
    // Fewer would let a false server guess the password from our proof; more would keep us busy.
    if (server.iterations < LEAST_ITERATIONS || server.iterations > Math.min(options.mostIterations, MOST_ITERATIONS)) {
      throw new SaslFailure('mechanism-too-weak', `The server asks for ${server.iterations} iterations.`)
    }
    const { announced } = options
    if (announced && server.announced !== undefined && server.announced !== announcementHash(hash, announced)) {
      throw new SaslFailure('not-authorized', 'What the server announced was changed on its way.')
    }
    const binding = Buffer.concat([Buffer.from(gs2Header), octets]).toString('base64')
    const withoutProof = `c=${binding},r=${server.nonce}`
    const salted = await saltedPassword(hash, options.password, server.salt, server.iterations)
    const authMessage = `${bare},${message},${withoutProof}`
    const key = clientKey(hash, salted)
    const proof = xor(key, hmac(hash, digest(hash, key), authMessage))
    expected = hmac(hash, serverKey(hash, salted), authMessage)
    return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`)
  }

  const verify = (message: string) => {
    const final = parseServerFinal(message)
    if ('error' in final) throw new SaslFailure('not-authorized', `The server says: ${final.error}`)
    if (!sameOctets(final.signature, expected)) {
      throw new SaslFailure(
        'not-authorized',
        'The server does not know the password: it is not the one that it claims to be.',
      )
    }
  }

  return {
    name,
    async start() {
      return Buffer.from(gs2Header + bare)
    },
    async next(challenge) {
      const now = state
      state = 'over'
      if (challenge.length > MESSAGE_OCTETS) throw new SaslFailure('malformed-request', 'The challenge is too long.')
      const message = decodeText(challenge)
      if (now === 'first') {
        const response = await answer(message)
        state = 'final'
        return response
      }
      if (now !== 'final') throw new SaslFailure('malformed-request', 'No challenge was expected.')
      verify(message)
      state = 'proven'
      return EMPTY
    },
    async success(data) {
      if (data !== undefined && data.length > 0 && state === 'final') await this.next(data)
      const proven = state === 'proven'
      state = 'over'
      if (!proven)
        throw new SaslFailure(
          'not-authorized',
          'The server reports success but has not proven that it knows the password.',
        )
    },
  }
}

/** RFC 5802 §6: `p` binds, `y` says that we could but were offered no -PLUS, `n` that we cannot. */
function gs2(plus: boolean, options: ScramClientOptions): { gs2Header: string; octets: Uint8Array } {
  const authzid =
    options.authzid === undefined || options.authzid === '' ? '' : `a=${encodeSaslname(prepareName(options.authzid))}`
  if (!plus) return { gs2Header: `${options.channelBinding ? 'y' : 'n'},${authzid},`, octets: EMPTY }
  for (const type of options.channelBinding?.types ?? []) {
    const octets = options.channelBinding?.value(type)
    if (octets) return { gs2Header: `p=${type},${authzid},`, octets }
  }
  throw new SaslFailure('mechanism-too-weak', 'There is nothing to bind to.')
}
