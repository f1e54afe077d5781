// Elements that need not hold up those behind them.

/**
 * What a handler answers for an element that is on its way: others are handled meanwhile, as far as they may follow. One may be answered for several elements in a row, which arrive
 * together. `done` rejects with what ends the stream.
 */
export class Underway {
  readonly done: Promise<void>
  #elements = 0
  #octets = 0

  constructor(done: Promise<void>) {
    this.done = done
  }

  /** How many elements are part of it. */
  get elements(): number {
    return this.#elements
  }

  /** What they take in memory, roughly. */
  get octets(): number {
    return this.#octets
  }

  /** One more element is part of it. `octets`: what it takes in memory, roughly. */
  with(octets: number): this {
    this.#elements++
    this.#octets += octets
    return this
  }
}

/** So many elements of one stream may be underway, and so many octets. */
const MOST = 32
const MOST_OCTETS = 65_536

/** What is underway on one stream, and what waits until all of it has arrived. */
export class Traffic {
  readonly #underway = new Set<Underway>()
  #held: (() => void) | undefined

  get empty(): boolean {
    return this.#underway.size === 0
  }

  /** True where nothing may be added. */
  get full(): boolean {
    let count = 0
    let size = 0
    for (const { elements, octets } of this.#underway) {
      count += elements
      size += octets
    }
    return count >= MOST || size >= MOST_OCTETS
  }

  /** False where it is known already. */
  begin(underway: Underway): boolean {
    const isNew = !this.#underway.has(underway)
    this.#underway.add(underway)
    return isNew
  }

  end(underway: Underway): void {
    this.#underway.delete(underway)
  }

  /** Keeps what is to be done when everything has arrived: one thing, as nothing further is read meanwhile. */
  hold(act: () => void): void {
    this.#held = act
  }

  /** What was held. */
  release(): (() => void) | undefined {
    const held = this.#held
    this.#held = undefined
    return held
  }
}
