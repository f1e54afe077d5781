// Elements that need not hold up those behind them.

/** What a handler answers for an element that is on its way: others are handled meanwhile, as far as they may follow. */
export class Underway {
  readonly done: Promise<void>
  /** What it takes in memory, roughly. Octets. */
  readonly octets: number

  constructor(done: Promise<void>, octets: number) {
    this.done = done
    this.octets = octets
  }
}

/** So many elements of one stream may be underway, and so many octets. */
const MOST = 32
const MOST_OCTETS = 65_536

/** What is underway on one stream, and what waits until all of it has arrived. */
export class Traffic {
  #count = 0
  #octets = 0
  #held: (() => void) | undefined

  get empty(): boolean {
    return this.#count === 0
  }

  /** True where nothing may be added. */
  get full(): boolean {
    return this.#count >= MOST || this.#octets >= MOST_OCTETS
  }

  begin({ octets }: Underway): void {
    this.#count++
    this.#octets += octets
  }

  end({ octets }: Underway): void {
    this.#count--
    this.#octets -= octets
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
