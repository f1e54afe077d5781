// XEP-0198 §5: the streams that may be resumed. They outlive a reload of the configuration.

import { RecentMap } from '../../accounts/recent.ts'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { serviceKey } from '../../kernel/scope.ts'
import type { ManagedStream } from './managed-stream.ts'

/** Of so many streams that are over it is remembered how much was handled. */
const REMEMBERED = 1000

export class Resumptions {
  readonly #clock: Clock
  readonly #streams = new Map<string, ManagedStream>()
  /** Those whose client is away, the longest first. */
  readonly #away = new Map<ManagedStream, Timer>()
  readonly #over = new RecentMap<string, { readonly account: string; readonly handled: number }>(REMEMBERED)
  /** What all that are away hold, in characters. */
  #held = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get held(): number {
    return this.#held
  }

  get away(): readonly ManagedStream[] {
    return [...this.#away.keys()]
  }

  add(stream: ManagedStream): void {
    this.#streams.set(stream.id, stream)
  }

  /** The stream with that id, if it is the account's. */
  find(id: string, account: string): ManagedStream | undefined {
    const stream = this.#streams.get(id)
    return stream?.session.account.account.id === account ? stream : undefined
  }

  /** How many stanzas of a stream that is over were handled. */
  handled(id: string, account: string): number | undefined {
    const over = this.#over.peek(id)
    return over?.account === account ? over.handled : undefined
  }

  /** The client has gone away; `expired` is called unless it comes back in time. */
  leave(stream: ManagedStream, ms: number, expired: () => void): void {
    this.#held += stream.characters
    this.#away.set(stream, this.#clock.timeout(ms, expired))
  }

  /** The client is back, or will not come back any more. */
  back(stream: ManagedStream): void {
    const timer = this.#away.get(stream)
    if (timer === undefined) return
    timer.cancel()
    this.#away.delete(stream)
    this.#held -= stream.characters
  }

  /** The queue of somebody who is away has changed. */
  grown(stream: ManagedStream, by: number): void {
    if (this.#away.has(stream)) this.#held += by
  }

  /** It is over. */
  remove(stream: ManagedStream): void {
    this.back(stream)
    if (!this.#streams.delete(stream.id)) return
    const { account, handled } = stream.session
    this.#over.set(stream.id, { account: account.account.id, handled })
  }
}

export const RESUMPTIONS = serviceKey<Resumptions>('chat-resumptions')
