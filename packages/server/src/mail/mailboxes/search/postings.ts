// Ascending numbers in few octets: gaps as varints, a run of neighbours as a zero and its length.

/** Octets that grow. */
export class Octets {
  #bytes = new Uint8Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Seven bits in an octet, the lowest first; the high bit says that more follow. */
  varint(value: number): void {
    this.#need(8)
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[this.#length++] = rest
  }

  append(bytes: Uint8Array): void {
    this.#need(bytes.byteLength)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.byteLength
  }

  /** `numbers` ascending, each once. */
  numbers(numbers: readonly number[]): void {
    let last = -1
    let neighbours = 0
    for (const number of numbers) {
      if (number === last + 1) neighbours++
      else {
        this.#neighbours(neighbours)
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
    } else for (let i = 0; i < count; i++) this.varint(1)
  }

  #need(more: number): void {
    if (this.#length + more <= this.#bytes.byteLength) return
    const grown = new Uint8Array(Math.max(this.#bytes.byteLength * 2, this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** Reads what `Octets` wrote. */
export class OctetReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  varint(): number {
    let value = 0
    let factor = 1
    for (;;) {
      const octet = this.#bytes[this.#at++] ?? 0
      if (octet < 0x80) return value + octet * factor
      value += (octet & 0x7f) * factor
      factor *= 0x80
    }
  }

  /** Calls `each` with the numbers that stand up to the place `end`. */
  numbers(end: number, each: (number: number) => void): void {
    let last = -1
    while (this.#at < end) {
      const gap = this.varint()
      if (gap > 0) each((last += gap))
      else for (let count = this.varint(); count > 0; count--) each(++last)
    }
  }
}
