// Password hashing costs tens of milliseconds of a core: this many at a time, that many waiting, no more.

/** Too many wait already: the peer is told to try again later. */
export class HashingBusy extends Error {
  constructor() {
    super('too many logins wait for their password to be checked')
    this.name = 'HashingBusy'
  }
}

export class HashingQueue {
  readonly #concurrency: number
  readonly #most: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(concurrency: number, most: number) {
    this.#concurrency = concurrency
    this.#most = most
  }

  /** True when a hash would begin at once. */
  get idle(): boolean {
    return this.#running < this.#concurrency
  }

  /** Runs `work` when it is its turn. Throws `HashingBusy`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#concurrency) {
      if (this.#waiting.length >= this.#most) throw new HashingBusy()
      // The place is handed over by who finishes: the count stays.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
