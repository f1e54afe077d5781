// Applies header edits without touching a byte that nobody asked to change.

import type { Content, HeaderEdit } from './contracts.ts'

const CRLF = '\r\n'

/** The message with all edits applied; the first edit's fields end up topmost. Fields taken out are those of the original. */
export function edited(content: Content, edits: readonly HeaderEdit[]): Uint8Array {
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
