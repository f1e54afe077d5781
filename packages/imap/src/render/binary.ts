// RFC 3516 §4.3, RFC 9051 §6.4.5.1: what BINARY[...] and BINARY.SIZE[...] answer.

import { decodeBody, type Part } from '@aviso/mime'
import { encodeLiteral, encodeString } from '../wire/encode.ts'
import { no } from '../wire/errors.ts'

/** Content-Transfer-Encodings that can be taken off; the first three change nothing. */
const KNOWN: ReadonlySet<string> = new Set(['7BIT', '8BIT', 'BINARY', '', 'BASE64', 'QUOTED-PRINTABLE'])

/**
 * The body of a part without its transfer encoding; `bytes` is the whole message. A view into it when nothing was encoded. Its length is BINARY.SIZE.
 * A part of parts is answered as it is (nothing but an identity encoding is legal for it). Throws NO with UNKNOWN-CTE when the encoding is not known.
 * `BINARY[]`, without a number, is not for this: it is the message as BODY[] has it.
 */
export function binarySection(part: Part, bytes: Uint8Array): Uint8Array {
  const type = part.type.toLowerCase()
  if (type === 'multipart' || part.message !== undefined) return bytes.subarray(part.bodyStart, part.bodyEnd)
  if (!KNOWN.has(part.encoding))
    throw no(`The transfer encoding of this part, ${part.encoding.slice(0, 40)}, is not known here`, 'UNKNOWN-CTE')
  return decodeBody(part, bytes)
}

/** Octets as `string`, or as literal8 where they hold NUL: the client sees from that whether they do (RFC 3516 §4.3). */
export function encodeBinary(octets: Uint8Array): Uint8Array {
  if (!octets.includes(0)) return encodeString(octets)
  return Buffer.concat([TILDE, encodeLiteral(octets)])
}

const TILDE = Buffer.from('~', 'latin1')
