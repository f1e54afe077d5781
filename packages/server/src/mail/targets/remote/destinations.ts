// How many connections one destination gets at a time, and how many messages in a time: as its administrators would want it.

import type { Clock, Timer } from '../../../kernel/clock.ts'
import { answer, Undeliverable } from './answers.ts'

/** Limits of one destination. */
export interface DestinationLimits {
  /** Messages under way at the same time. */
  readonly concurrency: number
  /** Messages that may be begun in `per` milliseconds; undefined for as many as there are. */
  readonly rate: { readonly messages: number; readonly per: number } | undefined
}

interface Waiting {
  readonly go: () => void
  readonly timer: Timer
}

interface Destination {
  busy: number
  /** Messages that may be begun now. */
  tokens: number
  at: number
  readonly limits: DestinationLimits
  readonly waiting: Waiting[]
  wake: Timer | undefined
}

/** Milliseconds that a message waits for its turn before it is put off. */
const PATIENCE = 30_000

/** Gives each message its turn. A destination that nobody uses is forgotten. */
export class Destinations {
  readonly #clock: Clock
  readonly #destinations = new Map<string, Destination>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Destinations that are remembered: those in use, and those whose rate has not recovered. */
  get size(): number {
    return this.#destinations.size
  }

  /**
   * Resolves, with the way to give it back, when it is this message's turn. Rejects with Undeliverable (451 4.4.5) when that takes longer than half a minute,
   * or with the signal's reason.
   */
  async turn(key: string, limits: DestinationLimits, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    const destination = this.#destination(key, limits)
    if (destination.waiting.length > 0 || !this.#take(destination)) await this.#wait(destination, key, signal)
    let given = false
    return () => {
      if (given) return
      given = true
      destination.busy--
      this.#next(destination, key)
    }
  }

  #destination(key: string, limits: DestinationLimits): Destination {
    const known = this.#destinations.get(key)
    if (known !== undefined) return known
    const fresh: Destination = {
      busy: 0,
      tokens: limits.rate?.messages ?? 0,
      at: this.#clock.monotonic(),
      limits,
      waiting: [],
      wake: undefined,
    }
    this.#destinations.set(key, fresh)
    return fresh
  }

  #take(destination: Destination): boolean {
    this.#fill(destination)
    const { rate, concurrency } = destination.limits
    if (destination.busy >= concurrency || (rate !== undefined && destination.tokens < 1)) return false
    destination.busy++
    if (rate !== undefined) destination.tokens--
    return true
  }

  #fill(destination: Destination): void {
    const { rate } = destination.limits
    if (rate === undefined) return
    const now = this.#clock.monotonic()
    destination.tokens = Math.min(
      rate.messages,
      destination.tokens + ((now - destination.at) * rate.messages) / rate.per,
    )
    destination.at = now
  }

  #wait(destination: Destination, key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        waiting.timer.cancel()
        signal.removeEventListener('abort', abort)
        const at = destination.waiting.indexOf(waiting)
        if (at >= 0) destination.waiting.splice(at, 1)
      }
      const fail = (reason: unknown): void => {
        leave()
        reject(reason as Error)
        this.#next(destination, key)
      }
      const abort = (): void => fail(signal.reason)
      const waiting: Waiting = {
        go: () => {
          leave()
          resolve()
        },
        timer: this.#clock.timeout(PATIENCE, () =>
          fail(new Undeliverable(answer(451, '4.4.5', `Too many messages are on their way to ${key}`))),
        ),
      }
      destination.waiting.push(waiting)
      signal.addEventListener('abort', abort, { once: true })
      this.#next(destination, key)
    })
  }

  /** Lets those go whose turn it is, and sees to it that the others are looked at again. */
  #next(destination: Destination, key: string): void {
    for (let first = destination.waiting[0]; first !== undefined; first = destination.waiting[0]) {
      if (!this.#take(destination)) break
      first.go()
    }
    const { rate, concurrency } = destination.limits
    destination.wake?.cancel()
    destination.wake = undefined
    if (rate !== undefined) {
      this.#fill(destination)
      const short = destination.waiting.length > 0 ? (destination.busy < concurrency ? 1 : Infinity) : rate.messages
      if (destination.tokens < short && short !== Infinity) {
        const ms = Math.max(1, Math.ceil(((short - destination.tokens) * rate.per) / rate.messages))
        destination.wake = this.#clock.timeout(ms, () => this.#next(destination, key))
        return
      }
    }
    if (destination.busy === 0 && destination.waiting.length === 0) this.#destinations.delete(key)
  }
}
