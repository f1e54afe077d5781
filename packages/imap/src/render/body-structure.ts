// RFC 9051 §7.5.2 BODYSTRUCTURE and BODY: wire octets from the tree of parts.

import { Headers, type Part } from '@aviso/mime'
import { Gathering } from '../wire/encode.ts'
import { nstring, renderEnvelope } from './envelope.ts'

/** RFC 2231 §4 form of a value beyond ASCII: clients expect ASCII here. */
function addParameter(out: Gathering, [name, value]: readonly [string, string]): void {
  if (/^[\0-\x7f]*$/.test(value)) {
    out.add(nstring(name)).add(' ').add(nstring(value))
    return
  }
  const encoded = encodeURIComponent(value.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  out
    .add(nstring(`${name}*`))
    .add(' ')
    .add(nstring(`utf-8''${encoded}`))
}

function addParameters(out: Gathering, list: readonly (readonly [string, string])[]): void {
  if (list.length === 0) {
    out.add('NIL')
    return
  }
  for (const [i, one] of list.entries()) {
    out.add(i === 0 ? '(' : ' ')
    addParameter(out, one)
  }
  out.add(')')
}

function addDisposition(out: Gathering, { disposition }: Part): void {
  if (disposition === undefined) {
    out.add('NIL')
    return
  }
  out.add('(').add(nstring(disposition.type)).add(' ')
  addParameters(out, disposition.parameters)
  out.add(')')
}

function addLanguages(out: Gathering, { languages = [] }: Part): void {
  if (languages.length < 2) {
    out.add(nstring(languages[0]))
    return
  }
  for (const [i, language] of languages.entries()) out.add(i === 0 ? '(' : ' ').add(nstring(language))
  out.add(')')
}

/** Disposition, languages and location, which all parts have in BODYSTRUCTURE. */
function addExtensions(out: Gathering, part: Part): void {
  out.add(' ')
  addDisposition(out, part)
  out.add(' ')
  addLanguages(out, part)
  out.add(' ').add(nstring(part.location))
}

function render(out: Gathering, part: Part, bytes: Uint8Array, extended: boolean): void {
  const type = part.type.toLowerCase()
  out.add('(')
  if (type === 'multipart') {
    if (part.children.length === 0) {
      // The grammar wants at least one part: an empty text, as if the multipart held only its preamble.
      out.add(
        extended
          ? '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL NIL)'
          : '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)',
      )
    }
    for (const child of part.children) render(out, child, bytes, extended)
    out.add(' ').add(nstring(part.subtype.toUpperCase()))
    if (extended) {
      out.add(' ')
      addParameters(out, part.parameters)
      addExtensions(out, part)
    }
    out.add(')')
    return
  }
  const message = part.message
  // A message/rfc822 whose inside was not read (nested too deep) cannot be shown as one: it has no envelope.
  const opaque = type === 'message' && message === undefined && /^(rfc822|global)$/i.test(part.subtype)
  if (opaque) out.add('"APPLICATION" "OCTET-STREAM"')
  else out.add(nstring(part.type.toUpperCase())).add(' ').add(nstring(part.subtype.toUpperCase()))
  out.add(' ')
  addParameters(out, part.parameters)
  out.add(' ').add(nstring(part.id)).add(' ').add(nstring(part.description)).add(' ')
  out.add(nstring(part.encoding === '' ? '7BIT' : part.encoding)).add(` ${part.bodyEnd - part.bodyStart}`)
  if (message !== undefined) {
    out
      .add(' ')
      .add(renderEnvelope(Headers.parse(bytes, message.headerStart, message.bodyStart)))
      .add(' ')
    render(out, message, bytes, extended)
    out.add(` ${part.lines}`)
  } else if (type === 'text') {
    out.add(` ${part.lines}`)
  }
  if (extended) {
    out.add(' ').add(nstring(part.md5))
    addExtensions(out, part)
  }
  out.add(')')
}

/** BODYSTRUCTURE (`extended`) or BODY of a message. `part` is its root, `bytes` the message that the offsets count in. */
export function renderBodyStructure(part: Part, bytes: Uint8Array, extended: boolean): Uint8Array {
  const out = new Gathering()
  render(out, part, bytes, extended)
  return out.octets()
}
