// RFC 9051 §7.5.2 BODYSTRUCTURE and BODY: wire octets from the tree of parts.

import { Headers, type Part } from '@aviso/mime'
import { join } from '../wire/encode.ts'
import { nstring, renderEnvelope } from './envelope.ts'

type Piece = Uint8Array | string

/** RFC 2231 §4 form of a value beyond ASCII: clients expect ASCII here. */
function parameter([name, value]: readonly [string, string]): Piece[] {
  let ascii = true
  for (let i = 0; ascii && i < value.length; i++) ascii = value.charCodeAt(i) < 0x80
  if (ascii) return [nstring(name), ' ', nstring(value)]
  const encoded = encodeURIComponent(value.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return [nstring(`${name}*`), ' ', nstring(`utf-8''${encoded}`)]
}

function parameters(list: readonly (readonly [string, string])[]): Piece[] {
  if (list.length === 0) return ['NIL']
  const out: Piece[] = ['(']
  for (const [i, one] of list.entries()) {
    if (i > 0) out.push(' ')
    out.push(...parameter(one))
  }
  out.push(')')
  return out
}

function disposition(part: Part): Piece[] {
  if (part.disposition === undefined) return ['NIL']
  return ['(', nstring(part.disposition.type), ' ', ...parameters(part.disposition.parameters), ')']
}

function languages(part: Part): Piece[] {
  const list = part.languages
  if (list === undefined || list.length === 0) return ['NIL']
  if (list.length === 1) return [nstring(list[0])]
  return ['(', ...list.flatMap((language, i): Piece[] => (i > 0 ? [' ', nstring(language)] : [nstring(language)])), ')']
}

function render(out: Piece[], part: Part, bytes: Uint8Array, extended: boolean): void {
  const type = part.type.toLowerCase()
  out.push('(')
  if (type === 'multipart') {
    if (part.children.length === 0) {
      // The grammar wants at least one part: an empty text, as if the multipart held only its preamble.
      out.push(
        extended
          ? '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL NIL)'
          : '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)',
      )
    }
    for (const child of part.children) render(out, child, bytes, extended)
    out.push(' ', nstring(part.subtype.toUpperCase()))
    if (extended)
      out.push(
        ' ',
        ...parameters(part.parameters),
        ' ',
        ...disposition(part),
        ' ',
        ...languages(part),
        ' ',
        nstring(part.location),
      )
    out.push(')')
    return
  }
  const message = part.message
  // A message/rfc822 whose inside was not read (nested too deep) cannot be shown as one: it has no envelope.
  const opaque = type === 'message' && message === undefined && /^(rfc822|global)$/i.test(part.subtype)
  out.push(
    opaque
      ? '"APPLICATION" "OCTET-STREAM"'
      : join([nstring(part.type.toUpperCase()), ' ', nstring(part.subtype.toUpperCase())]),
    ' ',
    ...parameters(part.parameters),
    ' ',
    nstring(part.id),
    ' ',
    nstring(part.description),
    ' ',
    nstring(part.encoding === '' ? '7BIT' : part.encoding),
    ` ${part.bodyEnd - part.bodyStart}`,
  )
  if (message !== undefined) {
    out.push(' ', renderEnvelope(Headers.parse(bytes, message.headerStart, message.bodyStart)), ' ')
    render(out, message, bytes, extended)
    out.push(` ${part.lines}`)
  } else if (type === 'text') {
    out.push(` ${part.lines}`)
  }
  if (extended)
    out.push(' ', nstring(part.md5), ' ', ...disposition(part), ' ', ...languages(part), ' ', nstring(part.location))
  out.push(')')
}

/** BODYSTRUCTURE (`extended`) or BODY of a message. `part` is its root, `bytes` the message that the offsets count in. */
export function renderBodyStructure(part: Part, bytes: Uint8Array, extended: boolean): Uint8Array {
  const out: Piece[] = []
  render(out, part, bytes, extended)
  return join(out)
}
