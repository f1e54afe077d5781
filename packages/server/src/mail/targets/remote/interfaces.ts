// The addresses of this machine's network interfaces.

import { networkInterfaces } from 'node:os'
import type { Clock } from '../../../kernel/clock.ts'

/** Milliseconds that they are taken to stay the same: asking the system takes longer than all else that is done to route a message. */
const FRESH = 30_000

export class Interfaces {
  readonly #clock: Clock
  #addresses: ReadonlySet<string> = new Set()
  #until = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** All but loopback. */
  addresses(): ReadonlySet<string> {
    const now = this.#clock.monotonic()
    if (now >= this.#until) {
      const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
      this.#addresses = new Set(all.filter(({ internal }) => !internal).map(({ address }) => address))
      this.#until = now + FRESH
    }
    return this.#addresses
  }
}
