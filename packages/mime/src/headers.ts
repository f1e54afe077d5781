// RFC 5322 §2.2: a header as an index into its octets.

import { type AddressOrGroup, parseAddressList } from './address-list.ts'
import { CR, LF, SPACE, TAB, COLON, asBuffer, headerText, unfold } from './octets.ts'

export interface HeaderField {
  /** As written; '' for a line that is no field (a folded first line, an mbox `From ` line). */
  readonly name: string
  /** [start, end) is the whole field with its line end, [valueStart, end) what follows the colon; offsets into the octets given to `parse`. */
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** A field by offsets; `nameEnd` equals `start` for a line that is none. */
interface Place {
  readonly start: number
  readonly nameEnd: number
  readonly valueStart: number
  readonly end: number
  /** Its body, and that as addresses, once somebody wanted them. */
  value: string | undefined
  addresses: readonly AddressOrGroup[] | undefined
}

/** One header. It keeps the octets it was made from, so hold it briefly or give it a copy. */
export class Headers {
  readonly #bytes: Buffer
  readonly #places: readonly Place[]

  private constructor(bytes: Buffer, places: readonly Place[]) {
    this.#bytes = bytes
    this.#places = places
  }

  /** Indexes the header in [start, end) of `bytes`, up to its empty line. Never throws; bare LF ends a line too. */
  static parse(bytes: Uint8Array, start = 0, end = bytes.length): Headers {
    const buffer = asBuffer(bytes)
    const stop = Math.min(end, buffer.length)
    const places: Place[] = []
    let at = start
    while (at < stop) {
      const first = buffer[at]
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
      while (nameEnd > fieldStart && isBlank(buffer[nameEnd - 1])) nameEnd--
      for (let i = fieldStart; i < nameEnd; i++) {
        if (isBlank(buffer[i])) nameEnd = fieldStart
      }
      places.push({
        start: fieldStart,
        nameEnd,
        valueStart: nameEnd === fieldStart ? fieldStart : colon + 1,
        end: at,
        value: undefined,
        addresses: undefined,
      })
    }
    return new Headers(buffer, places)
  }

  /** The body of the first field of that name (any case), unfolded and trimmed, encoded-words as they are. */
  get(name: string): string | undefined {
    const place = this.#first(name)
    return place && this.#value(place)
  }

  /** The addresses in the first field of that name, as `parseAddressList` reads them. */
  addresses(name: string): readonly AddressOrGroup[] {
    const place = this.#first(name)
    return place === undefined ? [] : (place.addresses ??= parseAddressList(this.#value(place)))
  }

  /** The bodies of all fields of that name, in order. */
  all(name: string): string[] {
    const values: string[] = []
    for (const place of this.#places) if (this.#named(place, name)) values.push(this.#value(place))
    return values
  }

  /** True where there is a field of that name; case does not matter. */
  has(name: string): boolean {
    return this.#first(name) !== undefined
  }

  /** All fields in order. */
  *fields(): Generator<HeaderField> {
    for (const place of this.#places) {
      yield { name: this.#name(place), start: place.start, valueStart: place.valueStart, end: place.end }
    }
  }

  /** Name and body of all fields in order, bodies as `get` gives them. */
  *entries(): Generator<readonly [name: string, value: string]> {
    for (const place of this.#places) yield [this.#name(place), this.#value(place)]
  }

  /**
   * The octets of the fields with (or with `not`: without) these names, in the order of the header, and an empty line (RFC 9051 §6.4.5:
   * HEADER.FIELDS and HEADER.FIELDS.NOT).
   */
  filter(names: Iterable<string>, not = false): Uint8Array {
    const wanted = new Set<string>()
    for (const name of names) wanted.add(name.toLowerCase())
    return this.pick(wanted, not)
  }

  /** As `filter`, with the names in lower case: where the same ones are asked for again and again. */
  pick(wanted: ReadonlySet<string>, not = false): Uint8Array {
    const pieces: Uint8Array[] = []
    let from = 0
    let to = 0
    const take = (): void => {
      if (from < to) pieces.push(this.#bytes.subarray(from, to))
    }
    for (const place of this.#places) {
      if (wanted.has(this.#name(place).toLowerCase()) === not) continue
      // What stands side by side is one piece.
      if (place.start !== to) {
        take()
        from = place.start
      }
      to = place.end
    }
    take()
    if (from < to && this.#bytes[to - 1] !== LF) pieces.push(CRLF)
    pieces.push(CRLF)
    return Buffer.concat(pieces)
  }

  #first(name: string): Place | undefined {
    for (const place of this.#places) if (this.#named(place, name)) return place
    return undefined
  }

  #name(place: Place): string {
    return this.#bytes.toString('latin1', place.start, place.nameEnd)
  }

  #named({ start, nameEnd }: Place, name: string): boolean {
    if (nameEnd - start !== name.length) return false
    for (let i = 0; i < name.length; i++) {
      if (lowerCase(this.#bytes[start + i] ?? 0) !== lowerCase(name.charCodeAt(i))) return false
    }
    return name.length > 0
  }

  #value(place: Place): string {
    return (place.value ??= unfold(headerText(this.#bytes, place.valueStart, place.end)))
  }
}

function lowerCase(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet
}

const CRLF = Uint8Array.of(CR, LF)

function isBlank(octet: number | undefined): boolean {
  return octet === SPACE || octet === TAB
}
