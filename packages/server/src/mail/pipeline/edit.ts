// Applies header edits without touching a byte that nobody asked to change.

import type { Content, HeaderEdit } from './contracts.ts'

const CRLF = '\r\n'
/** RFC 5322 §2.2: a name of printable characters, then a colon. */
const FIELD = /^[!-9;-~]+:/
/** A CR or LF that is no folding (RFC 5322 §2.2.3), or NUL. */
const STRAY_BREAK = /\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n|\0/

/**
 * The message with all edits applied; the first edit's fields end up topmost. Fields taken out are those of the original. Throws RangeError for a new field
 * that is none, or is more than one: whatever a peer chose of its value must not become a field of its own, or the end of the header.
 */
export function edited(content: Content, edits: readonly HeaderEdit[]): Uint8Array {
  for (const field of edits.flatMap((edit) => edit.prepend ?? []))
    if (!FIELD.test(field) || STRAY_BREAK.test(field))
      throw new RangeError(`not one header field: ${JSON.stringify(field)}`)
  const removed = new Set(edits.flatMap((edit) => (edit.remove ?? []).map((name) => name.toLowerCase())))
  const top = Buffer.from(
    edits
      .flatMap((edit) => edit.prepend ?? [])
      .map((field) => field + CRLF)
      .join(''),
    'utf8',
  )
  return Buffer.concat([top, ...(removed.size === 0 ? [content.bytes] : without(content, removed))])
}

function without({ bytes, header }: Content, removed: ReadonlySet<string>): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let from = 0
  for (const { name, start, end } of header.fields()) {
    if (!removed.has(name.toLowerCase())) continue
    pieces.push(bytes.subarray(from, start))
    from = end
  }
  pieces.push(bytes.subarray(from))
  return pieces
}
