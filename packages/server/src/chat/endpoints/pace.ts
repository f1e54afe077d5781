// How fast a peer may be: above its limits it is read more slowly.

import type { Element } from '@aviso/xmpp'
import type { Clock } from '../../kernel/clock.ts'
import type { Limits } from '../../net/contracts.ts'

/** How long a peer that is too fast waits before its next stanza is tried again. */
const SLOWED_MS = 250
/** A stanza that is larger than what is let through at once is paid for in pieces of so many octets. */
const PIECE = 64

/** The limits `c2s-stanzas` and `c2s-octets`, or those of `s2s`. */
export class Pace {
  readonly #limits: Limits | undefined
  readonly #clock: Clock
  readonly #stanzas: string
  readonly #octets: string

  constructor(limits: Limits | undefined, clock: Clock, protocol: 'c2s' | 's2s') {
    this.#limits = limits
    this.#clock = clock
    this.#stanzas = `${protocol}-stanzas`
    this.#octets = `${protocol}-octets`
  }

  /**
   * Counts a stanza of the peer `key`. Undefined: it may be handled now. Else nothing further is to be read until the promise resolves: with true when the stanza may be handled,
   * with false when `goesOn` says that nobody waits for that any more.
   */
  admit(key: string, stanza: Element, goesOn: () => boolean): Promise<boolean> | undefined {
    const limits = this.#limits
    if (limits === undefined) return undefined
    const octets = stanza.raw?.length ?? 0
    const counted = limits.take(this.#stanzas, key)
    if (counted && limits.take(this.#octets, key, octets)) return undefined
    return this.#slowed(limits, key, counted, octets, goesOn)
  }

  async #slowed(
    limits: Limits,
    key: string,
    counted: boolean,
    octets: number,
    goesOn: () => boolean,
  ): Promise<boolean> {
    let isCounted = counted
    let left = octets
    const isPaid = (): boolean => {
      isCounted ||= limits.take(this.#stanzas, key)
      if (!isCounted) return false
      for (; left > 0; left -= PIECE) if (!limits.take(this.#octets, key, Math.min(left, PIECE))) return false
      return true
    }
    do await new Promise<void>((resolve) => this.#clock.timeout(SLOWED_MS, resolve))
    while (goesOn() && !isPaid())
    return goesOn()
  }
}
