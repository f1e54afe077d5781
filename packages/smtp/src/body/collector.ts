// Holds the octets of a message while it arrives: never more than allowed, and without a heap of tiny pieces when they drip in.

/** What all sessions of a server may hold together, in octets. */
export class MemoryBudget {
  readonly #limit: number
  #used = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get used(): number {
    return this.#used
  }

  /** Takes `octets` if they are there. */
  take(octets: number): boolean {
    if (this.#used + octets > this.#limit) return false
    this.#used += octets
    return true
  }

  give(octets: number): void {
    this.#used -= octets
  }
}

/** Pieces from here on are kept as they came: a socket's read is allocated to its size, so keeping it wastes nothing. */
const KEEP_WHOLE = 4096
const MAX_BLOCK = 65_536

export class BodyCollector {
  readonly #budget: MemoryBudget
  readonly #max: number
  #parts: Buffer[] = []
  #block: Buffer | undefined
  #filled = 0
  #size = 0
  #held = 0
  #overflow: 'size' | 'memory' | undefined

  /** `max` in octets: one more and the message is dropped, though still counted. */
  constructor(max: number, budget: MemoryBudget) {
    this.#max = max
    this.#budget = budget
  }

  /** Octets pushed, dropped ones included. */
  get size(): number {
    return this.#size
  }

  /** Why nothing is kept any more: the message is too big, or the server's memory is promised to others. */
  get overflow(): 'size' | 'memory' | undefined {
    return this.#overflow
  }

  push(piece: Buffer): void {
    this.#size += piece.length
    if (this.#overflow !== undefined || piece.length === 0) return
    if (this.#size > this.#max) return this.#drop('size')
    if (!this.#budget.take(piece.length)) return this.#drop('memory')
    this.#held += piece.length
    if (piece.length >= KEEP_WHOLE) {
      this.#seal()
      this.#parts.push(piece)
    } else {
      this.#copy(piece)
    }
  }

  /** All octets without the last `cut` of them. The collector must not be used afterwards, save for {@link release}. */
  take(cut: number): Buffer {
    this.#seal()
    const parts = this.#parts
    this.#parts = []
    const length = this.#size - cut
    const only = parts[0]
    // A block may be much larger than what stands in it, so it is left behind; a whole piece is not.
    if (parts.length === 1 && only !== undefined && only.length >= KEEP_WHOLE) return only.subarray(0, length)
    return Buffer.concat(parts, length)
  }

  /** Gives back to the budget what was taken, once the message is no longer held. May be called again. */
  release(): void {
    this.#parts = []
    this.#block = undefined
    this.#budget.give(this.#held)
    this.#held = 0
  }

  #drop(why: 'size' | 'memory'): void {
    this.#overflow = why
    this.release()
  }

  #copy(piece: Buffer): void {
    let from = 0
    while (from < piece.length) {
      this.#block ??= Buffer.allocUnsafeSlow(Math.min(MAX_BLOCK, Math.max(KEEP_WHOLE, this.#held)))
      const copied = piece.copy(this.#block, this.#filled, from)
      from += copied
      this.#filled += copied
      if (this.#filled === this.#block.length) {
        this.#parts.push(this.#block)
        this.#block = undefined
        this.#filled = 0
      }
    }
  }

  /** Ends the part that was being filled, so that the next piece stands behind it; its room goes on being used. */
  #seal(): void {
    if (this.#block === undefined || this.#filled === 0) return
    this.#parts.push(this.#block.subarray(0, this.#filled))
    this.#block = this.#block.subarray(this.#filled)
    this.#filled = 0
  }
}
