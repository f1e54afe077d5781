// How late the event loop is: by what a server knows that it has more to do than it can.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Scope } from '../../kernel/scope.ts'

/** Milliseconds between two looks at the clock, and over how many of them a judgement is made. */
const RESOLUTION = 100
const SPAN = 5000
/** Milliseconds by which the event loop is late on average where people begin to feel it. */
const LATE = 50

/** Watches the event loop while its scope lives. */
export class EventLoopStrain {
  #late = false

  constructor(scope: Scope) {
    const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
    delay.enable()
    scope.defer(() => void delay.disable())
    scope.interval(SPAN, () => {
      // What is measured is the time from one look to the next; without any it is NaN, and the loop stood still.
      const mean = delay.mean / 1e6
      this.#late = Number.isNaN(mean) || mean - RESOLUTION > LATE
      delay.reset()
    })
  }

  /** True while the last seconds were too much. */
  get late(): boolean {
    return this.#late
  }
}
