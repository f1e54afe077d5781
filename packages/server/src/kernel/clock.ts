// Time, handed in: a test turns it by hand.

/** Something that will happen and can be called off. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds of a clock that never goes back, for durations. */
  monotonic(): number
  timeout(ms: number, callback: () => void): Timer
  interval(ms: number, callback: () => void): Timer
}

/** The longest that Node's timers can wait, some 24 days; asked for more they fire at once. */
const LONGEST = 2 ** 31 - 1

/** The machine's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timeout(ms, callback) {
    let left = ms
    let timer: NodeJS.Timeout
    const wait = (): void => {
      const step = Math.min(left, LONGEST)
      left -= step
      timer = setTimeout(left > 0 ? wait : callback, step).unref()
    }
    wait()
    return { cancel: () => clearTimeout(timer) }
  },
  interval(ms, callback) {
    const timer = setInterval(callback, Math.min(ms, LONGEST)).unref()
    return { cancel: () => clearInterval(timer) }
  },
}

interface Waiting {
  at: number
  readonly every: number | undefined
  readonly callback: () => void
}

/** A clock that stands still until it is turned. */
export class HandClock implements Clock {
  #now: number
  #waiting: Waiting[] = []

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  timeout(ms: number, callback: () => void): Timer {
    return this.#wait({ at: this.#now + ms, every: undefined, callback })
  }

  interval(ms: number, callback: () => void): Timer {
    return this.#wait({ at: this.#now + ms, every: Math.max(1, ms), callback })
  }

  /** Moves time forward by `ms`, running what falls due on the way, in order. */
  turn(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#waiting.filter((w) => w.at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#now = next.at
      if (next.every === undefined) this.#drop(next)
      else next.at += next.every
      next.callback()
    }
    this.#now = end
  }

  #wait(waiting: Waiting): Timer {
    this.#waiting.push(waiting)
    return { cancel: () => this.#drop(waiting) }
  }

  #drop(waiting: Waiting): void {
    this.#waiting = this.#waiting.filter((w) => w !== waiting)
  }
}
