// RFC 9051 §6.4.5 BODY[HEADER.FIELDS (...)]: chosen fields of a header, found in one pass without an object for each field.

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const TAB = 0x09
const COLON = 0x3a

/** The fields with certain names, of header after header. */
export class FieldFilter {
  /** Names in lower case by their length. */
  readonly #byLength: (readonly Uint8Array[])[] = []
  /** Ends of the pieces found last: start, end, start, end ... */
  readonly #ranges: number[] = []

  constructor(names: Iterable<string>) {
    for (const name of names) {
      const octets = Buffer.from(name.toLowerCase(), 'latin1')
      this.#byLength[octets.length] = [...(this.#byLength[octets.length] ?? []), octets]
    }
  }

  /**
   * Where the chosen fields lie in `header`: pairs of start and end, in their order, neighbours joined. Valid until the next call.
   * Agrees with `Headers.filter` of @aviso/mime: bare LF ends a line, blanks before the colon do not belong to the name.
   */
  ranges(header: Uint8Array): readonly number[] {
    const ranges = this.#ranges
    ranges.length = 0
    let at = 0
    while (at < header.length) {
      const first = header[at]
      if (first === LF || (first === CR && header[at + 1] === LF)) break
      const start = at
      at = fieldEnd(header, at)
      if (!this.#chosen(header, start, at)) continue
      if (ranges.length > 0 && ranges[ranges.length - 1] === start) ranges[ranges.length - 1] = at
      else ranges.push(start, at)
    }
    return ranges
  }

  #chosen(header: Uint8Array, start: number, end: number): boolean {
    let nameEnd = start
    while (nameEnd < end && header[nameEnd] !== COLON && header[nameEnd] !== LF) nameEnd++
    if (header[nameEnd] !== COLON) return false
    while (nameEnd > start && isBlank(header[nameEnd - 1])) nameEnd--
    const candidates = this.#byLength[nameEnd - start]
    if (candidates === undefined || nameEnd === start) return false
    for (const name of candidates) if (sameName(header, start, name)) return true
    return false
  }
}

/** Behind the line end of the field that begins at `at`, its continuation lines included. */
function fieldEnd(header: Uint8Array, at: number): number {
  for (;;) {
    const end = header.indexOf(LF, at)
    if (end < 0) return header.length
    at = end + 1
    if (!isBlank(header[at])) return at
  }
}

const isBlank = (octet: number | undefined): boolean => octet === SPACE || octet === TAB

function sameName(header: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) {
    const octet = header[start + i] ?? 0
    if ((octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet) !== name[i]) return false
  }
  return true
}
