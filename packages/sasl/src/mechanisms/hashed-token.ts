// draft-schmaus-kitten-sasl-ht-09: hashed tokens, for XEP-0484. One message each way.

import { createHmac } from 'node:crypto'
import type { ChannelBinding, ChannelBindingType } from '../channel-binding.ts'
import { type ClientMechanism, type RefusalCondition, SaslFailure, type ServerMechanism } from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { decodeText, prepareName } from '../prepare.ts'
import { refusal } from './password.ts'
import { sameOctets } from './scram-keys.ts'

/** With the binding that each needs; the best first. */
const BINDINGS = {
  'HT-SHA-256-EXPR': 'tls-exporter',
  'HT-SHA-256-UNIQ': 'tls-unique',
  'HT-SHA-256-ENDP': 'tls-server-end-point',
  'HT-SHA-256-NONE': undefined,
} as const satisfies Readonly<Record<string, ChannelBindingType | undefined>>

export type TokenMechanismName = keyof typeof BINDINGS

/** The mechanisms that prove a token, by their registered names. */
export const TOKEN_MECHANISMS = Object.keys(BINDINGS) as readonly TokenMechanismName[]

/** The token mechanism of that name; undefined for others. */
export const tokenMechanismName = (name: string): TokenMechanismName | undefined =>
  TOKEN_MECHANISMS.find((known) => known === name)

/** Those that these bindings allow. tls-unique is left to TLS 1.2: RFC 9266 §3 leaves it undefined where there is tls-exporter. */
export function offeredTokenMechanisms(types: Iterable<string>): readonly TokenMechanismName[] {
  const had = new Set(types)
  if (had.has('tls-exporter')) had.delete('tls-unique')
  return TOKEN_MECHANISMS.filter((name) => BINDINGS[name] === undefined || had.has(BINDINGS[name]))
}

/** The server's tokens. */
export interface TokenSource {
  /**
   * Looks among the tokens of `authcid` for the one that `proves`, newest first, and uses it. A rejection means that they cannot be read now.
   * @returns the token, or why there is none
   */
  token(authcid: string, proves: (token: Uint8Array) => boolean): Promise<Uint8Array | RefusalCondition>
}

const HASH_OCTETS = 32

const hashed = (token: Uint8Array, who: 'Initiator' | 'Responder', binding: Uint8Array): Buffer =>
  createHmac('sha256', token).update(who).update(binding).digest()

/**
 * The server's side of a login by token (draft-schmaus-kitten-sasl-ht): `source` is asked for the account's tokens that the client may mean.
 * A mechanism that is bound to a channel needs `channelBinding`. What is wrong becomes the failure of a step: `malformed-request`, or what the source refuses with.
 */
export function tokenServer(
  name: TokenMechanismName,
  source: TokenSource,
  channelBinding: ChannelBinding | undefined,
): ServerMechanism {
  return serverExchange(name, async function* (initial, attempt) {
    const message = initial ?? (yield EMPTY)
    const end = message.indexOf(0)
    if (end < 0 || message.length - end - 1 !== HASH_OCTETS)
      throw new SaslFailure('malformed-request', 'The message needs a name and a hash.')
    const authcid = prepareName(decodeText(message.subarray(0, end)))
    attempt.authcid = authcid
    const binding = bindingOf(name, channelBinding)
    const proof = message.subarray(end + 1)
    const token = await source.token(authcid, (candidate) => sameOctets(hashed(candidate, 'Initiator', binding), proof))
    if (typeof token === 'string') throw refusal(token)
    return { identity: { authcid, authzid: undefined }, data: hashed(token, 'Responder', binding) }
  })
}

/** `token` are the octets of the text that the server gave out. */
export function tokenClient(
  name: TokenMechanismName,
  authcid: string,
  token: Uint8Array,
  channelBinding: ChannelBinding | undefined,
): ClientMechanism {
  const binding = bindingOf(name, channelBinding)
  return {
    name,
    async start() {
      return Buffer.concat([Buffer.from(`${prepareName(authcid)}\0`), hashed(token, 'Initiator', binding)])
    },
    async next() {
      throw new SaslFailure('malformed-request', 'The server sent a challenge, which there is none of.')
    },
    async success(data) {
      if (data === undefined || !sameOctets(data, hashed(token, 'Responder', binding)))
        throw new SaslFailure(
          'not-authorized',
          'The server does not know the token: it is not the one that it claims to be.',
        )
    },
  }
}

function bindingOf(name: TokenMechanismName, channelBinding: ChannelBinding | undefined): Uint8Array {
  const type = BINDINGS[name]
  if (type === undefined) return EMPTY
  const octets = channelBinding?.value(type)
  if (octets === undefined) throw new SaslFailure('malformed-request', 'There is nothing to bind to.')
  return octets
}
