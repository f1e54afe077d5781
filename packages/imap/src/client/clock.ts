// Time, as the client uses it: handed in, so that a test can turn it by hand.

/** A timer that was set. */
export interface ClockTimer {
  /** Starts the full time again, also after the timer went off. */
  refresh(): void
  cancel(): void
}

/** Timers, handed in so that a test can turn the clock by hand. Times are milliseconds. */
export interface Clock {
  after(milliseconds: number, action: () => void): ClockTimer
}

/** The clock on the wall. Its timers keep no process alive: the connection does. */
export const systemClock: Clock = {
  after(milliseconds, action) {
    const timer = setTimeout(action, milliseconds)
    return { refresh: () => void timer.refresh(), cancel: () => clearTimeout(timer) }
  },
}

/** Resolves after a time, or as soon as `signal` is aborted. */
export function pause(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.after(milliseconds, done)
    signal?.addEventListener('abort', done)
  })
}
