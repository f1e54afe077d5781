// Octets that grow, and ascending numbers in few of them: gaps as varints, a run of neighbours as a zero and its length.

export class Octets {
  #bytes: Uint8Array
  #length = 0

  constructor(room = 1024) {
    this.#bytes = new Uint8Array(room)
  }

  get length(): number {
    return this.#length
  }

  octet(octet: number): void {
    if (this.#length === this.#bytes.byteLength) this.#grow(1)
    this.#bytes[this.#length++] = octet
  }

  /** Seven bits in an octet, the lowest first; the high bit says that more follow. */
  varint(value: number): void {
    if (this.#length + 8 > this.#bytes.byteLength) this.#grow(8)
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  /** The octets [start, end) of `bytes`. */
  append(bytes: Uint8Array, start = 0, end = bytes.byteLength): void {
    if (this.#length + end - start > this.#bytes.byteLength) this.#grow(end - start)
    // A view costs more than to copy what is as short as a word.
    if (end - start > 64) this.#bytes.set(bytes.subarray(start, end), this.#length)
    else for (let i = start, to = this.#length; i < end; i++) this.#bytes[to++] = bytes[i] ?? 0
    this.#length += end - start
  }

  /** The numbers [from, to) of `numbers`: ascending, each once. */
  numbers(numbers: Uint32Array, from: number, to: number): void {
    // Most words are in one email of a segment only.
    if (to - from === 1) {
      this.varint((numbers[from] ?? 0) + 1)
      return
    }
    let last = -1
    let neighbours = 0
    for (let i = from; i < to; i++) {
      const number = numbers[i] ?? 0
      if (number === last + 1) neighbours++
      else {
        if (neighbours > 0) this.#neighbours(neighbours)
        neighbours = 0
        this.varint(number - last)
      }
      last = number
    }
    this.#neighbours(neighbours)
  }

  /** A copy of what was written; the next writing starts anew. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }

  #neighbours(count: number): void {
    if (count > 2) {
      this.varint(0)
      this.varint(count)
    } else for (let i = 0; i < count; i++) this.octet(1)
  }

  #grow(more: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.byteLength * 2, this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** Reads what `Octets` wrote. */
export class OctetReader {
  readonly bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  varint(): number {
    let value = this.bytes[this.at++] ?? 0
    if (value < 0x80) return value
    value &= 0x7f
    for (let factor = 0x80; ; factor *= 0x80) {
      const octet = this.bytes[this.at++] ?? 0
      if (octet < 0x80) return value + octet * factor
      value += (octet & 0x7f) * factor
    }
  }

  /** Adds the numbers that stand up to the place `end`, each plus `offset`, to `list`. */
  numbers(end: number, offset: number, list: Numbers): void {
    let last = offset - 1
    while (this.at < end) {
      const gap = this.varint()
      if (gap > 0) list.add((last += gap))
      else for (let count = this.varint(); count > 0; count--) list.add(++last)
    }
  }
}

/** Numbers below 2^32 that grow in number. Emails are counted in them: one account would need four billion. */
export class Numbers {
  values = new Uint32Array(256)
  count = 0

  add(number: number): void {
    if (this.count === this.values.length) {
      const grown = new Uint32Array(this.count * 2)
      grown.set(this.values)
      this.values = grown
    }
    this.values[this.count++] = number
  }

  /** Exactly the numbers added. */
  list(): Uint32Array {
    return this.values.slice(0, this.count)
  }
}

/** The order of octets, what is shorter first: negative, zero or positive. */
export function compareOctets(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const common = Math.min(aEnd - aStart, bEnd - bStart)
  for (let i = 0; i < common; i++) {
    const difference = (a[aStart + i] ?? 0) - (b[bStart + i] ?? 0)
    if (difference !== 0) return difference
  }
  return aEnd - aStart - (bEnd - bStart)
}
