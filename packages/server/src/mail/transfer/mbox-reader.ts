// RFC 4155: mbox files, read as they drip in. Only one message is ever held, and of one that is too large nothing.

import { Headers } from '@aviso/mime'
import { type FromLine, MAX_FROM_LINE, parseFromLine } from './from-line.ts'
import { mboxStatus, STATUS_FIELDS } from './mbox-status.ts'

/**
 * How lines of a message that begin with `From ` were kept from being read as From_ lines. `mboxrd`: one `>` more than they had; `mboxo`: `>From ` for `From ` and
 * nothing else, so that `>>From ` stands for itself. Content-Length (mboxcl) is not believed: whoever edits such a file by hand leaves it wrong.
 */
export type Quoting = 'mboxrd' | 'mboxo'

export interface MboxOptions {
  /** Octets of the largest message that is given. */
  readonly limit: number
  readonly quoting: Quoting
}

/** What an mbox holds. `offset` is where its From_ line begins, `end` where the next one does. */
export type MboxItem =
  | {
      readonly kind: 'message'
      readonly offset: number
      readonly end: number
      /** Without quoting and without the fields that say how it was kept. */
      readonly bytes: Uint8Array
      readonly from: FromLine
      readonly flags: readonly string[]
    }
  /** Deleted and not compacted, or a record about the folder itself. */
  | { readonly kind: 'void'; readonly offset: number; readonly end: number }
  | { readonly kind: 'too-large'; readonly offset: number; readonly end: number; readonly octets: number }

/** The octets are no mbox: they do not begin with a From_ line. */
export class NoMbox extends Error {}

const LF = 0x0a
const CR = 0x0d
const NEEDLE = Buffer.from('\nFrom ')
/** White space that may stand before the first From_ line. */
const MAX_BLANK = 4096
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

/** Cuts octets into messages. Give it pieces with `push`, and `end` for the last message. */
export class MboxReader {
  readonly #options: MboxOptions
  /** The octets at the end of what came that may be part of a From_ line. */
  #carry: Buffer = Buffer.alloc(0)
  /** Octets at the beginning of `#carry` that no message gets: the end of the From_ line before, whose LF may begin the next one. */
  #dealt = 0
  /** Offset in the file of `#carry`. */
  #at = 0
  #current: Open | undefined

  constructor(options: MboxOptions) {
    this.#options = options
  }

  /** Takes a piece, which must not change afterwards; gives the messages that it ends. Throws `NoMbox`. */
  push(piece: Uint8Array): MboxItem[] {
    const view = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    return this.#read(this.#carry.length === 0 ? view : Buffer.concat([this.#carry, view]), false)
  }

  /** No more comes. */
  end(): MboxItem[] {
    const items = this.#read(this.#carry, true)
    const current = this.#current
    this.#current = undefined
    if (current !== undefined) items.push(...current.finish(this.#at))
    return items
  }

  #read(bytes: Buffer, last: boolean): MboxItem[] {
    const items: MboxItem[] = []
    let from = this.#dealt
    /** Where the search for the next From_ line goes on. */
    let search = 0
    if (this.#current === undefined) {
      const start = this.#first(bytes, last)
      if (start === undefined) return items
      from = start
      search = Math.max(0, from - 1)
    }
    for (;;) {
      const found = bytes.indexOf(NEEDLE, search)
      if (found < 0) break
      const lineStart = found + 1
      const lineEnd = bytes.indexOf(LF, lineStart)
      if (lineEnd < 0 && !last && bytes.length - lineStart <= MAX_FROM_LINE) {
        // The rest of the line is still to come.
        this.#keep(bytes, from, found)
        return items
      }
      const line = lineText(bytes, lineStart, lineEnd < 0 ? bytes.length : lineEnd)
      const parsed = line === undefined ? undefined : parseFromLine(line)
      if (parsed === undefined) {
        search = lineStart
        continue
      }
      this.#current?.take(bytes.subarray(from, Math.max(from, lineStart)))
      items.push(...(this.#current?.finish(this.#at + lineStart) ?? []))
      this.#current = new Open(this.#at + lineStart, parsed, this.#options)
      from = lineEnd < 0 ? bytes.length : lineEnd + 1
      search = lineEnd < 0 ? bytes.length : lineEnd
    }
    // The last octets may be the beginning of `\nFrom `.
    this.#keep(bytes, from, last ? bytes.length : Math.max(search, bytes.length - NEEDLE.length + 1))
    return items
  }

  /** Gives [from, to) to the message, and keeps what follows `to` for the next piece. */
  #keep(bytes: Buffer, from: number, to: number): void {
    if (to > from) this.#current?.take(bytes.subarray(from, to))
    this.#dealt = Math.max(0, from - to)
    this.#carry = Buffer.from(bytes.subarray(to))
    this.#at += to
  }

  /** Where the first message begins; undefined when more must come first. */
  #first(bytes: Buffer, last: boolean): number | undefined {
    let start = this.#at === 0 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0
    while (start < bytes.length && start < MAX_BLANK && (bytes[start] === LF || bytes[start] === CR)) start++
    const lineEnd = bytes.indexOf(LF, start)
    if (lineEnd < 0 && !last && bytes.length - start <= MAX_FROM_LINE) {
      this.#carry = Buffer.from(bytes)
      return undefined
    }
    if (start === bytes.length && last) {
      this.#at += bytes.length
      this.#carry = Buffer.alloc(0)
      return undefined
    }
    const line = lineText(bytes, start, lineEnd < 0 ? bytes.length : lineEnd)
    const parsed = line === undefined ? undefined : parseFromLine(line)
    if (parsed === undefined) throw new NoMbox('it does not begin with a From_ line')
    this.#current = new Open(this.#at + start, parsed, this.#options)
    return lineEnd < 0 ? bytes.length : lineEnd + 1
  }
}

function lineText(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start > MAX_FROM_LINE) return undefined
  return bytes.toString('latin1', start, end > start && bytes[end - 1] === CR ? end - 1 : end)
}

/** The message that is being read. */
class Open {
  readonly #offset: number
  readonly #from: FromLine
  readonly #options: MboxOptions
  #pieces: Buffer[] = []
  #octets = 0

  constructor(offset: number, from: FromLine, options: MboxOptions) {
    this.#offset = offset
    this.#from = from
    this.#options = options
  }

  take(piece: Buffer): void {
    this.#octets += piece.length
    if (this.#octets > this.#options.limit) this.#pieces = []
    else if (piece.length > 0) this.#pieces.push(piece)
  }

  finish(end: number): MboxItem[] {
    const offset = this.#offset
    if (this.#octets > this.#options.limit) return [{ kind: 'too-large', offset, end, octets: this.#octets }]
    const [only] = this.#pieces
    const raw = withoutBlankEnd(this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces))
    // Two From_ lines with nothing between.
    if (raw.length === 0) return [{ kind: 'void', offset, end }]
    const headers = Headers.parse(raw)
    const { flags, expunged, internal } = mboxStatus(headers)
    if (expunged || internal) return [{ kind: 'void', offset, end }]
    const bytes = withoutFields(unquoted(raw, this.#options.quoting), STATUS_FIELDS)
    return [{ kind: 'message', offset, end, bytes, from: this.#from, flags }]
  }
}

/** Without the empty line that belongs to the next From_ line; unless it is the one that ends the header. */
function withoutBlankEnd(raw: Buffer): Buffer {
  const { length } = raw
  if (length === 0 || raw[length - 1] !== LF) return raw
  const blank = raw[length - 2] === CR ? length - 2 : length - 1
  // The line before must be over: else the LF ends a line with something in it.
  if (blank === 0 || raw[blank - 1] !== LF) return blank === 0 ? raw.subarray(0, 0) : raw
  const headerEnd = Math.min(...['\n\n', '\n\r\n'].map((end) => raw.indexOf(end)).filter((at) => at >= 0))
  return headerEnd === blank - 1 && raw[0] !== LF && raw[0] !== CR ? raw : raw.subarray(0, blank)
}

const QUOTED = Buffer.from('>From ')
const QUOTE = 0x3e

/** Takes the `>` off that the writer put before `From `. */
function unquoted(raw: Buffer, quoting: Quoting): Buffer {
  let out: Buffer | undefined
  let length = 0
  let copied = 0
  for (let at = raw.indexOf(QUOTED); at >= 0; at = raw.indexOf(QUOTED, at + QUOTED.length)) {
    let start = at
    if (quoting === 'mboxrd') while (start > 0 && raw[start - 1] === QUOTE) start--
    if (start > 0 && raw[start - 1] !== LF) continue
    out ??= Buffer.allocUnsafe(raw.length)
    length += raw.copy(out, length, copied, start)
    copied = start + 1
  }
  if (out === undefined) return raw
  length += raw.copy(out, length, copied)
  return out.subarray(0, length)
}

/** The message without these header fields (names in lower case). */
export function withoutFields(message: Buffer, names: readonly string[]): Buffer {
  const pieces: Buffer[] = []
  let copied = 0
  for (const { name, start, end } of Headers.parse(message).fields()) {
    if (!names.includes(name.toLowerCase())) continue
    pieces.push(message.subarray(copied, start))
    copied = end
  }
  return copied === 0 ? message : Buffer.concat([...pieces, message.subarray(copied)])
}
