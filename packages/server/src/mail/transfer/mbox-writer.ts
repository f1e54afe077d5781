// RFC 4155, in the form that can be undone (mboxrd): messages as an mbox holds them, with LF line ends.

import { Headers } from '@aviso/mime'
import { formatFromLine } from './from-line.ts'
import { statusFields, WRITTEN_FIELDS } from './mbox-status.ts'
import { withoutFields } from './mbox-reader.ts'

export interface MboxEntry {
  /** With CRLF line ends. */
  readonly bytes: Uint8Array
  readonly flags: readonly string[]
  /** Milliseconds since the epoch: the date of the From_ line, to the second, in UTC. */
  readonly internalDate: number
}

/** One message with its From_ line, its flags in fields at the end of its header, and the empty line after it. */
export function mboxEntry({ bytes, flags, internalDate }: MboxEntry): Buffer {
  const message = withoutFields(withLf(bytes), WRITTEN_FIELDS)
  const headers = Headers.parse(message)
  let headerEnd = 0
  for (const field of headers.fields()) headerEnd = field.end
  const sender = /^<([^<>]*)>/.exec(headers.get('Return-Path') ?? '')?.[1] ?? ''
  const header = message.subarray(0, headerEnd)
  const body = message.subarray(headerEnd)
  return Buffer.concat([
    Buffer.from(formatFromLine(sender, internalDate), 'latin1'),
    quoted(header),
    Buffer.from(`${header.length > 0 && header.at(-1) !== LF ? '\n' : ''}${statusFields(flags)}`, 'latin1'),
    body.length === 0 ? Buffer.from('\n') : quoted(body),
    Buffer.from(body.length > 0 && body.at(-1) !== LF ? '\n\n' : '\n'),
  ])
}

const CR = 0x0d
const LF = 0x0a
const QUOTE = 0x3e
const FROM = Buffer.from('From ')
const MARK = Buffer.from('>')

/** Every CRLF as LF. */
export function withLf(bytes: Uint8Array): Buffer {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let cr = from.indexOf(CR)
  if (cr < 0) return from
  const out = Buffer.allocUnsafe(from.length)
  let length = 0
  let copied = 0
  for (; cr >= 0; cr = from.indexOf(CR, cr + 1)) {
    if (from[cr + 1] !== LF) continue
    length += from.copy(out, length, copied, cr)
    copied = cr + 1
  }
  length += from.copy(out, length, copied)
  return out.subarray(0, length)
}

/** One `>` more before every line that begins with `From `, or with `>`s and `From `. */
function quoted(text: Buffer): Buffer {
  const pieces: Buffer[] = []
  let copied = 0
  for (let at = text.indexOf(FROM); at >= 0; at = text.indexOf(FROM, at + FROM.length)) {
    let start = at
    while (start > 0 && text[start - 1] === QUOTE) start--
    if (start > 0 && text[start - 1] !== LF) continue
    pieces.push(text.subarray(copied, start), MARK)
    copied = start
  }
  return copied === 0 && pieces.length === 0 ? text : Buffer.concat([...pieces, text.subarray(copied)])
}
