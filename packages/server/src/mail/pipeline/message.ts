// A message on its way: its header in memory, its body wherever it came to lie. Edits make a new header and never touch or copy the body.

import { Headers } from '@aviso/mime'

/** Octets that came from a client: small ones lie in memory, large ones in a file. */
export interface Octets {
  readonly size: number
  /** Undefined when they lie in a file. */
  readonly bytes: Uint8Array | undefined
  /** The octets from `start` (default 0) in pieces. */
  chunks(start?: number): AsyncIterable<Uint8Array>
}

/** What is done to the header. */
export interface HeaderEdit {
  /** Fields to put on top, each `Name: value` without its line end; the first one ends up topmost. */
  readonly prepend?: readonly string[]
  /** Fields to put at the end of the header. */
  readonly append?: readonly string[]
  /** Names of fields to take out, all of that name. */
  readonly remove?: readonly string[]
  /** One field each: the `index`th (from 1) of that name becomes `value`, or goes when that is null. */
  readonly change?: readonly { readonly name: string; readonly index: number; readonly value: string | null }[]
  /** Fields to put between others: `field` comes to stand before the `at`th field (from 1), or at the end where there are fewer. */
  readonly insert?: readonly { readonly at: number; readonly field: string }[]
}

const CRLF = '\r\n'
/** RFC 5322 §2.2: a name of printable characters, then a colon. */
const FIELD = /^[!-9;-~]+:/
/** A CR or LF that is no folding (RFC 5322 §2.2.3), or NUL. */
const STRAY_BREAK = /\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n|\0/

/** One message. Immutable. */
export class Message {
  /** The header section with its empty line, where it has one. */
  readonly head: Uint8Array
  readonly #octets: Octets
  /** Where the body begins in the octets. */
  readonly #bodyAt: number
  #header: Headers | undefined

  private constructor(head: Uint8Array, octets: Octets, bodyAt: number, header?: Headers) {
    this.head = head
    this.#octets = octets
    this.#bodyAt = bodyAt
    this.#header = header
  }

  /** A message in memory. */
  static of(bytes: Uint8Array): Message {
    const end = headerEnd(bytes)
    return new Message(bytes.subarray(0, end), inMemory(bytes), end)
  }

  /** A message whose octets may lie in a file; `head` are those of its header section, with its empty line. */
  static from(head: Uint8Array, octets: Octets): Message {
    return new Message(head, octets, head.byteLength)
  }

  get header(): Headers {
    return (this.#header ??= Headers.parse(this.head))
  }

  /** Octets. */
  get size(): number {
    return this.head.byteLength + this.bodySize
  }

  get bodySize(): number {
    return this.#octets.size - this.#bodyAt
  }

  /** Header section and body, when both lie in memory: the message is these two, one after the other. */
  get pieces(): readonly [head: Uint8Array, body: Uint8Array] | undefined {
    const { bytes } = this.#octets
    return bytes === undefined ? undefined : [this.head, bytes.subarray(this.#bodyAt)]
  }

  /** The body in pieces; one piece when it lies in memory. */
  async *body(): AsyncGenerator<Uint8Array> {
    const { bytes } = this.#octets
    if (bytes === undefined) yield* this.#octets.chunks(this.#bodyAt)
    else yield bytes.subarray(this.#bodyAt)
  }

  /** The whole message in pieces, from octet `start`. */
  async *chunks(start = 0): AsyncGenerator<Uint8Array> {
    if (start < this.head.byteLength) yield this.head.subarray(start)
    const from = this.#bodyAt + Math.max(0, start - this.head.byteLength)
    const { bytes } = this.#octets
    if (bytes === undefined) yield* this.#octets.chunks(from)
    else if (from < bytes.byteLength) yield bytes.subarray(from)
  }

  /** The whole message, with `prefix` before it, in one piece of memory. */
  async whole(prefix?: Uint8Array): Promise<Uint8Array> {
    const before = prefix === undefined ? [] : [prefix]
    const { pieces } = this
    if (pieces !== undefined) return Buffer.concat([...before, ...pieces])
    const all: Uint8Array[] = [...before]
    for await (const chunk of this.chunks()) all.push(chunk)
    return Buffer.concat(all)
  }

  /** The same header, another body. */
  withBody(body: Uint8Array): Message {
    return new Message(this.head, inMemory(body), 0, this.#header)
  }

  /**
   * The message with all edits made; the first edit's fields end up topmost. Fields taken out or changed are those of the original. Throws RangeError for a new
   * field that is none, or is more than one: whatever a peer chose of its value must not become a field of its own, or the end of the header.
   */
  edited(edits: readonly HeaderEdit[]): Message {
    const removed: string[] = []
    const changes: NonNullable<HeaderEdit['change']>[number][] = []
    const inserts: NonNullable<HeaderEdit['insert']>[number][] = []
    const above: string[] = []
    const below: string[] = []
    for (const { remove = [], change = [], insert = [], prepend = [], append = [] } of edits) {
      for (const name of remove) if (this.header.has(name)) removed.push(name.toLowerCase())
      // One by one: there may be more of them than a call can have arguments.
      for (const one of change) changes.push(one)
      for (const one of insert) inserts.push(one)
      above.push(...prepend)
      below.push(...append)
    }
    const remade = removed.length + changes.length + inserts.length > 0
    if (!remade && above.length + below.length === 0) return this
    const kept = remade ? this.#remade(new Set(removed), changes, inserts) : [this.head]
    const top = fields(above)
    const bottom = fields(below)
    const head =
      bottom.byteLength === 0 ? Buffer.concat([top, ...kept]) : withFields(Buffer.concat([top, ...kept]), bottom)
    return new Message(head, this.#octets, this.#bodyAt)
  }

  #remade(
    removed: ReadonlySet<string>,
    changes: NonNullable<HeaderEdit['change']>,
    inserts: NonNullable<HeaderEdit['insert']>,
  ): readonly Uint8Array[] {
    const pieces: Uint8Array[] = []
    const seen = new Map<string, number>()
    const all = [...this.header.fields()]
    // Looked up, not searched for: a header has as many fields as a stranger likes. Of two changes to one field the last counts.
    const changed = new Map(changes.map((change) => [`${change.name.toLowerCase()} ${change.index}`, change]))
    const inserted = Map.groupBy(inserts, ({ at }) => at)
    let from = 0
    for (const [i, { name, start, end }] of all.entries()) {
      const before = inserted.get(i + 1)
      if (before !== undefined) {
        pieces.push(this.head.subarray(from, start), fields(before.map(({ field }) => field)))
        from = start
      }
      const lower = name.toLowerCase()
      const index = (seen.get(lower) ?? 0) + 1
      seen.set(lower, index)
      const change = changed.get(`${lower} ${index}`)
      if (!removed.has(lower) && change === undefined) continue
      pieces.push(this.head.subarray(from, start))
      if (!removed.has(lower) && change !== undefined && change.value !== null)
        pieces.push(fields([`${name}: ${change.value}`]))
      from = end
    }
    const behind = inserts.filter(({ at }) => at < 1 || at > all.length)
    if (behind.length === 0) return [...pieces, this.head.subarray(from)]
    const rest = Buffer.from(this.head.subarray(from))
    return [...pieces, withFields(rest, fields(behind.map(({ field }) => field)))]
  }
}

/** Octets that lie in memory. */
export function inMemory(bytes: Uint8Array): Octets {
  return {
    size: bytes.byteLength,
    bytes,
    async *chunks(start = 0) {
      yield bytes.subarray(start)
    },
  }
}

/** Where the body begins: behind the first empty line, or at the end. */
function headerEnd(bytes: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer[0] === 0x0d && buffer[1] === 0x0a) return 2
  const end = buffer.indexOf('\r\n\r\n', 0, 'latin1')
  return end < 0 ? buffer.byteLength : end + 4
}

function fields(list: readonly string[]): Buffer {
  for (const field of list)
    if (!FIELD.test(field) || STRAY_BREAK.test(field))
      throw new RangeError(`not one header field: ${JSON.stringify(field)}`)
  return Buffer.from(list.map((field) => field + CRLF).join(''), 'utf8')
}

/** Puts fields at the end of a header section, before its empty line if it has one. */
function withFields(head: Buffer, more: Buffer): Buffer {
  const ended =
    head.byteLength === 2
      ? head.toString('latin1') === CRLF
      : head.toString('latin1', head.byteLength - 4) === CRLF + CRLF
  if (ended) return Buffer.concat([head.subarray(0, -2), more, head.subarray(-2)])
  const lineEnd = head.byteLength === 0 || head.at(-1) === 0x0a ? [] : [Buffer.from(CRLF)]
  return Buffer.concat([head, ...lineEnd, more])
}
