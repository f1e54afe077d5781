// RFC 5802 and 7677: SCRAM, the server's side.

import { type Announcement, announcementHash } from '../announcement.ts'
import { type Authorize, authorized } from '../authorization.ts'
import type { ChannelBinding, ChannelBindingType } from '../channel-binding.ts'
import {
  type CredentialSource,
  type MechanismName,
  SaslFailure,
  type ScramHash,
  type ServerMechanism,
} from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { prepareName } from '../prepare.ts'
import { refusal } from './password.ts'
import { type ClientFirst, parseClientFinal, parseClientFirst } from './scram-messages.ts'
import { digest, hmac, keysOfNobody, sameOctets, xor } from './scram-keys.ts'

export interface ScramServerOptions {
  readonly credentials: CredentialSource
  readonly authorize: Authorize | undefined
  /** The server's part of the nonce: printable ASCII without commas, never the same again. */
  readonly nonce: () => string
  /** Kept for good, so that unknown users have the same salt tomorrow. */
  readonly secret: Uint8Array
  /** Iterations shown for unknown users: those that known users have. */
  readonly iterations: number
  readonly channelBinding: ChannelBinding | undefined
  readonly announced: Announcement | undefined
  /** A -PLUS mechanism was offered to this client. */
  readonly plusOffered: boolean
}

export function scramServer(name: MechanismName, hash: ScramHash, options: ScramServerOptions): ServerMechanism {
  const plus = name.endsWith('-PLUS')
  return serverExchange(name, async function* (initial, attempt) {
    const first = parseClientFirst(initial ?? (yield EMPTY))
    const binding = bindingOctets(first, plus, options)
    const authcid = prepareName(first.username)
    attempt.authcid = authcid

    const known = await options.credentials.scram(authcid, hash)
    const keys = known ?? keysOfNobody(hash, authcid, options.secret, options.iterations)
    const nonce = first.nonce + options.nonce()
    const shown = options.announced === undefined ? '' : `,h=${announcementHash(hash, options.announced)}`
    const serverFirst = `r=${nonce},s=${Buffer.from(keys.salt).toString('base64')},i=${keys.iterations}${shown}`

    const final = parseClientFinal(yield Buffer.from(serverFirst))
    if (final.nonce !== nonce) throw new SaslFailure('malformed-request', 'The nonce is not that of this exchange.')
    const expected = Buffer.concat([Buffer.from(first.gs2Header), binding])
    // Someone in the middle changed the header or ends our TLS session (RFC 5802 §6).
    if (!sameOctets(final.channelBinding, expected))
      throw new SaslFailure('not-authorized', 'The channel binding does not match.')

    const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`
    const signature = hmac(hash, keys.storedKey, authMessage)
    const proven =
      final.proof.length === signature.length && sameOctets(digest(hash, xor(final.proof, signature)), keys.storedKey)
    if (!proven || !known) throw refusal('not-authorized')
    if (known.refused !== undefined) throw refusal(known.refused)
    const identity = await authorized(authcid, first.authzid, options.authorize)
    return { identity, data: Buffer.from(`v=${hmac(hash, keys.serverKey, authMessage).toString('base64')}`) }
  })
}

/** The channel binding octets of this exchange, none for `n` and `y`. Throws `SaslFailure` when flag, mechanism and offer do not go together. */
function bindingOctets(first: ClientFirst, plus: boolean, options: ScramServerOptions): Uint8Array {
  const { binding } = first
  if (binding === 'n' || binding === 'y') {
    if (plus) throw new SaslFailure('malformed-request', 'A -PLUS mechanism needs channel binding.')
    // The client did not see our -PLUS offer: someone has taken it out of the list (RFC 5802 §6).
    if (binding === 'y' && options.plusOffered)
      throw new SaslFailure('not-authorized', 'The list of mechanisms was tampered with.')
    return EMPTY
  }
  if (!plus) throw new SaslFailure('malformed-request', 'Channel binding needs a -PLUS mechanism.')
  const type = options.channelBinding?.types.find((known: ChannelBindingType) => known === binding.type)
  const octets = type && options.channelBinding?.value(type)
  if (!octets) throw new SaslFailure('malformed-request', 'This type of channel binding is not supported here.')
  return octets
}
