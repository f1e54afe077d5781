// Time, as sessions and clients use it: handed in, so that a test can turn it by hand.

/** A timer that was set. */
export interface ClockTimer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds on a scale that never goes back. */
  now(): number
  after(milliseconds: number, action: () => void): ClockTimer
}

/** The clock on the wall. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, action) {
    const timer = setTimeout(action, milliseconds)
    return { cancel: () => clearTimeout(timer) }
  },
}
