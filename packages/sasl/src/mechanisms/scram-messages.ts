// RFC 5802 §7: the messages of SCRAM, read strictly.

import { SaslFailure } from '../contract.ts'
import { decodeText } from '../prepare.ts'
import { decodeSaslname } from './saslname.ts'

/** Nonces are about 24 characters; a bound keeps the proof's message small. */
const NONCE_CHARACTERS = 1024

export interface ClientFirst {
  /** With both commas: what `c=` must repeat. */
  readonly gs2Header: string
  /** `y`: the client could bind but believes that the server cannot. */
  readonly binding: 'n' | 'y' | { readonly type: string }
  readonly authzid: string
  readonly username: string
  readonly nonce: string
  /** The message without the GS2 header: the first part of AuthMessage. */
  readonly bare: string
}

export function parseClientFirst(octets: Uint8Array): ClientFirst {
  const message = decodeText(octets)
  const first = message.indexOf(',')
  const second = first < 0 ? -1 : message.indexOf(',', first + 1)
  if (second < 0) throw malformed('The first message has no GS2 header.')
  const flag = message.slice(0, first)
  const authzid = message.slice(first + 1, second)
  const type = /^p=([A-Za-z0-9.-]{1,64})$/.exec(flag)?.[1]
  if (flag !== 'n' && flag !== 'y' && type === undefined) throw malformed('The channel binding flag is not one.')
  if (authzid !== '' && !authzid.startsWith('a=')) throw malformed('The authorization identity is not one.')
  const bare = message.slice(second + 1)
  const [user, nonce] = attributes(bare)
  // `m=` stands first and means: an extension that must be understood. There are none.
  if (user?.key === 'm') throw malformed('A mandatory extension is not supported.')
  if (user?.key !== 'n' || user.value === '') throw malformed('The first message has no user name.')
  if (nonce?.key !== 'r' || !isNonce(nonce.value)) throw malformed('The first message has no nonce.')
  return {
    gs2Header: message.slice(0, second + 1),
    binding: type === undefined ? (flag === 'y' ? 'y' : 'n') : { type },
    authzid: decodeSaslname(authzid.slice(2)),
    username: decodeSaslname(user.value),
    nonce: nonce.value,
    bare,
  }
}

export interface ClientFinal {
  readonly channelBinding: Uint8Array
  readonly nonce: string
  readonly proof: Uint8Array
  /** The message up to the proof: the last part of AuthMessage. */
  readonly withoutProof: string
}

export function parseClientFinal(octets: Uint8Array): ClientFinal {
  const message = decodeText(octets)
  const parts = attributes(message)
  const [binding, nonce] = parts
  const proof = parts.at(-1)
  if (binding?.key !== 'c' || nonce?.key !== 'r' || parts.length < 3 || proof?.key !== 'p') {
    throw malformed('The final message needs channel binding, nonce and proof.')
  }
  return {
    channelBinding: base64(binding.value),
    nonce: nonce.value,
    proof: base64(proof.value),
    withoutProof: message.slice(0, message.lastIndexOf(',p=')),
  }
}

export interface ServerFirst {
  /** What the server says that it announced (XEP-0474), in base64. */
  readonly announced: string | undefined
  readonly nonce: string
  readonly salt: Uint8Array
  readonly iterations: number
}

export function parseServerFirst(message: string): ServerFirst {
  const [nonce, salt, iterations, ...extensions] = attributes(message)
  if (nonce?.key === 'm') throw malformed('The server wants an extension that is not supported.')
  if (nonce?.key !== 'r' || !isNonce(nonce.value) || salt?.key !== 's' || iterations?.key !== 'i') {
    throw malformed("The server's first message needs nonce, salt and iterations.")
  }
  if (!/^[1-9]\d{0,9}$/.test(iterations.value)) throw malformed('The iterations are not a number.')
  const octets = base64(salt.value)
  if (octets.length === 0 || octets.length > 1024) throw malformed('The salt has no fit length.')
  const announced = extensions.find(({ key }) => key === 'h')?.value
  return { nonce: nonce.value, salt: octets, iterations: Number(iterations.value), announced }
}

/** The server's signature, or the error that it sends instead. */
export function parseServerFinal(message: string): { readonly signature: Uint8Array } | { readonly error: string } {
  const [first] = attributes(message)
  if (first?.key === 'e') return { error: first.value.slice(0, 100) }
  if (first?.key !== 'v') throw malformed("The server's final message has no signature.")
  return { signature: base64(first.value) }
}

interface Attribute {
  readonly key: string
  readonly value: string
}

function attributes(message: string): Attribute[] {
  const found: Attribute[] = []
  const texts = message.split(',', 33)
  if (texts.length > 32) throw malformed('The message has too many attributes.')
  for (const text of texts) {
    if (!/^[A-Za-z]=/.test(text)) throw malformed('The message is not a list of attributes.')
    found.push({ key: text.charAt(0), value: text.slice(2) })
  }
  return found
}

function isNonce(text: string): boolean {
  return /^[\x21-\x2b\x2d-\x7e]+$/.test(text) && text.length <= NONCE_CHARACTERS
}

/** Strict base64, so that there is one spelling of everything. */
function base64(text: string): Buffer {
  const octets = Buffer.from(text, 'base64')
  if (octets.toString('base64') !== text) throw malformed('The message has broken base64.')
  return octets
}

function malformed(text: string): SaslFailure {
  return new SaslFailure('malformed-request', text)
}
