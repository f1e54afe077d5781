// From ids (numbers that are hashes) to places, for many of them: a Map of as many numbers would cost three times as much.

/** Holds any number of ids; none is 0. */
export class IdTable {
  #keys: Float64Array
  #values: Int32Array
  #mask: number
  #size = 0
  readonly #number = new Float64Array(1)
  readonly #bits = new Uint32Array(this.#number.buffer)

  /** Room for about this many ids before it grows. */
  constructor(expected: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, expected * 2)))
    this.#keys = new Float64Array(capacity)
    this.#values = new Int32Array(capacity)
    this.#mask = capacity - 1
  }

  /** The value of an id, which becomes `value` if it had none. */
  getOrSet(id: number, value: number): number {
    const slot = this.#slot(id)
    if (this.#keys[slot] === id) return this.#values[slot] ?? 0
    this.#keys[slot] = id
    this.#values[slot] = value
    if (++this.#size * 2 > this.#keys.length) this.#grow()
    return value
  }

  /** Where the id is, or the empty place where it belongs. */
  #slot(id: number): number {
    this.#number[0] = id
    let slot = (Math.imul((this.#bits[0] ?? 0) ^ ((this.#bits[1] ?? 0) << 7), 0x9e3779b1) >>> 3) & this.#mask
    while (this.#keys[slot] !== 0 && this.#keys[slot] !== id) slot = (slot + 1) & this.#mask
    return slot
  }

  #grow(): void {
    const keys = this.#keys
    const values = this.#values
    this.#keys = new Float64Array(keys.length * 2)
    this.#values = new Int32Array(keys.length * 2)
    this.#mask = this.#keys.length - 1
    for (let from = 0; from < keys.length; from++) {
      const id = keys[from] ?? 0
      if (id === 0) continue
      const slot = this.#slot(id)
      this.#keys[slot] = id
      this.#values[slot] = values[from] ?? 0
    }
  }
}
