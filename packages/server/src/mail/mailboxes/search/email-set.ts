// A set of emails by their numbers, one bit each: numbers are given one after the other, so a set of all of them is small.

export class EmailSet {
  #bits = new Uint32Array(64)

  add(emails: Uint32Array): void {
    for (const email of emails) {
      const word = email >>> 5
      if (word >= this.#bits.length) this.#grow(word)
      this.#bits[word] = (this.#bits[word] ?? 0) | (1 << (email & 31))
    }
  }

  addAll(set: EmailSet): void {
    const others = set.#bits
    if (others.length > this.#bits.length) this.#grow(others.length - 1)
    for (let i = 0; i < others.length; i++) this.#bits[i] = (this.#bits[i] ?? 0) | (others[i] ?? 0)
  }

  /** Keeps those that are in `others` too. */
  keep(set: EmailSet): void {
    const others = set.#bits
    for (let i = 0; i < this.#bits.length; i++) this.#bits[i] = (this.#bits[i] ?? 0) & (others[i] ?? 0)
  }

  has(email: number): boolean {
    return (((this.#bits[email >>> 5] ?? 0) >>> (email & 31)) & 1) === 1
  }

  get size(): number {
    let size = 0
    for (let bits of this.#bits)
      while (bits !== 0) {
        bits = (bits & (bits - 1)) >>> 0
        size++
      }
    return size
  }

  /** Ascending. */
  list(): Uint32Array {
    const emails = new Uint32Array(this.size)
    let count = 0
    for (let word = 0; word < this.#bits.length; word++) {
      let bits = this.#bits[word] ?? 0
      while (bits !== 0) {
        emails[count++] = word * 32 + (31 - Math.clz32(bits & -bits))
        bits &= bits - 1
      }
    }
    return emails
  }

  #grow(word: number): void {
    const grown = new Uint32Array(Math.max(this.#bits.length * 2, word + 1))
    grown.set(this.#bits)
    this.#bits = grown
  }
}
