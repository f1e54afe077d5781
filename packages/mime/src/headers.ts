// RFC 5322 §2.2: a header as an index into its octets.

import { CR, LF, SPACE, TAB, COLON, asBuffer, headerText, unfold } from './octets.ts'

export interface HeaderField {
  /** As written; '' for a line that is no field (a folded first line, an mbox `From ` line). */
  readonly name: string
  /** [start, end) is the whole field with its line end, [valueStart, end) what follows the colon; offsets into the octets given to `parse`. */
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** One header. It keeps the octets it was made from, so hold it briefly or give it a copy. */
export class Headers {
  readonly #bytes: Buffer
  /** Four offsets for each field: start, end of name, start of value, end. */
  readonly #index: number[]

  private constructor(bytes: Buffer, index: number[]) {
    this.#bytes = bytes
    this.#index = index
  }

  /** Indexes the header in [start, end) of `bytes`, up to its empty line. Never throws; bare LF ends a line too. */
  static parse(bytes: Uint8Array, start = 0, end = bytes.length): Headers {
    const buffer = asBuffer(bytes)
    const stop = Math.min(end, buffer.length)
    const index: number[] = []
    let at = start
    while (at < stop) {
      const first = buffer[at]!
      if (first === LF || (first === CR && at + 1 < stop && buffer[at + 1] === LF)) break
      const fieldStart = at
      let colon = -1
      while (at < stop && buffer[at] !== LF) {
        if (buffer[at] === COLON) {
          colon = at
          break
        }
        at++
      }
      for (;;) {
        while (at < stop && buffer[at] !== LF) at++
        if (at >= stop) break
        at++
        if (at >= stop || (buffer[at] !== SPACE && buffer[at] !== TAB)) break
      }
      let nameEnd = colon < 0 ? fieldStart : colon
      // RFC 5322 §4.5: old software put white space before the colon. Inside the name it makes the line something else.
      while (nameEnd > fieldStart && isBlank(buffer[nameEnd - 1]!)) nameEnd--
      for (let i = fieldStart; i < nameEnd; i++) {
        if (isBlank(buffer[i]!)) nameEnd = fieldStart
      }
      index.push(fieldStart, nameEnd, nameEnd === fieldStart ? fieldStart : colon + 1, at)
    }
    return new Headers(buffer, index)
  }

  /** The body of the first field of that name (any case), unfolded and trimmed, encoded-words as they are. */
  get(name: string): string | undefined {
    for (let i = 0; i < this.#index.length; i += 4) if (this.#named(i, name)) return this.#value(i)
    return undefined
  }

  /** The bodies of all fields of that name, in order. */
  all(name: string): string[] {
    const values: string[] = []
    for (let i = 0; i < this.#index.length; i += 4) if (this.#named(i, name)) values.push(this.#value(i))
    return values
  }

  has(name: string): boolean {
    for (let i = 0; i < this.#index.length; i += 4) if (this.#named(i, name)) return true
    return false
  }

  /** All fields in order. */
  *fields(): Generator<HeaderField> {
    const index = this.#index
    for (let i = 0; i < index.length; i += 4) {
      const name = this.#bytes.toString('latin1', index[i]!, index[i + 1]!)
      yield { name, start: index[i]!, valueStart: index[i + 2]!, end: index[i + 3]! }
    }
  }

  /**
   * The octets of the fields with (or with `not`: without) these names, in the order of the header, and an empty line (RFC 9051 §6.4.5:
   * HEADER.FIELDS and HEADER.FIELDS.NOT).
   */
  filter(names: Iterable<string>, not = false): Uint8Array {
    const index = this.#index
    const wanted = new Set<string>()
    for (const name of names) wanted.add(name.toLowerCase())
    const pieces: Uint8Array[] = []
    let from = -1
    // Neighbours are copied together.
    for (let i = 0; i <= index.length; i += 4) {
      const take =
        i < index.length && wanted.has(this.#bytes.toString('latin1', index[i]!, index[i + 1]!).toLowerCase()) !== not
      if (take && from < 0) from = index[i]!
      if (!take && from >= 0) {
        pieces.push(this.#bytes.subarray(from, index[i - 1]!))
        from = -1
      }
    }
    const last = pieces.at(-1)
    if (last && last.at(-1) !== LF) pieces.push(CRLF)
    pieces.push(CRLF)
    return Buffer.concat(pieces)
  }

  #named(i: number, name: string): boolean {
    const start = this.#index[i]!
    if (this.#index[i + 1]! - start !== name.length) return false
    for (let k = 0; k < name.length; k++) {
      const a = this.#bytes[start + k]!
      const b = name.charCodeAt(k)
      if (a !== b && (a >= 0x41 && a <= 0x5a ? a | 0x20 : a) !== (b >= 0x41 && b <= 0x5a ? b | 0x20 : b)) return false
    }
    return name.length > 0
  }

  #value(i: number): string {
    return unfold(headerText(this.#bytes, this.#index[i + 2]!, this.#index[i + 3]!))
  }
}

const CRLF = Uint8Array.of(CR, LF)

function isBlank(octet: number): boolean {
  return octet === SPACE || octet === TAB
}
