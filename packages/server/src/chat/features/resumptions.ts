// XEP-0198 §5: the streams that may be resumed. They outlive a reload of the configuration.

import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { GUEST } from '../../accounts/roles.ts'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { serviceKey } from '../../kernel/scope.ts'
import type { ManagedStream } from './managed-stream.ts'

/** It is remembered of so many accounts how much was handled of streams that are over. */
const REMEMBERED = 10_000

interface Absence {
  readonly timer: Timer
  /** When it is given up. Milliseconds since the epoch. */
  readonly until: number
}

export class Resumptions {
  readonly #clock: Clock
  readonly #streams = new Map<string, ManagedStream>()
  /** Those whose client is away, the longest first. */
  readonly #away = new Map<ManagedStream, Absence>()
  /** By account: stanzas handled, by stream. */
  readonly #over = new RecentMap<string, RecentMap<string, number>>(REMEMBERED)
  /** What all that are away hold, in characters. */
  #held = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get held(): number {
    return this.#held
  }

  get all(): Iterable<ManagedStream> {
    return this.#streams.values()
  }

  /** Those whose client is away, the longest first. */
  get away(): Iterable<ManagedStream> {
    return this.#away.keys()
  }

  add(stream: ManagedStream): void {
    this.#streams.set(stream.id, stream)
  }

  /** The stream with that id, if it is the account's. Guests have nothing but the id, which is a secret, to show that they are the same (XEP-0198 §11). */
  find(id: string, { id: account, role, domain }: Account): ManagedStream | undefined {
    const stream = this.#streams.get(id)
    const owner = stream?.session.account.account
    const same = owner?.id === account || (role === GUEST && owner?.role === GUEST && owner.domain === domain)
    return same ? stream : undefined
  }

  /** How many stanzas of a stream that is over were handled. */
  handled(id: string, account: string): number | undefined {
    return this.#over.peek(account)?.peek(id)
  }

  /** The client has gone away; `expired` is called unless it comes back in `ms`. */
  leave(stream: ManagedStream, ms: number, expired: () => void): void {
    this.#held += stream.characters
    this.#away.set(stream, { timer: this.#clock.timeout(ms, expired), until: this.#clock.now() + ms })
  }

  /** When a client that is away is given up. */
  until(stream: ManagedStream): number | undefined {
    return this.#away.get(stream)?.until
  }

  /** The client is back, or will not come back any more. */
  back(stream: ManagedStream): void {
    const absence = this.#away.get(stream)
    if (absence === undefined) return
    absence.timer.cancel()
    this.#away.delete(stream)
    this.#held -= stream.characters
  }

  /** The queue of somebody who is away has changed. */
  grown(stream: ManagedStream, by: number): void {
    if (this.#away.has(stream)) this.#held += by
  }

  /** It is over. Of so many of the account it is remembered how much was handled. */
  remove(stream: ManagedStream, remembered: number): void {
    if (!this.forget(stream)) return
    const { account, handled } = stream.session
    const { id } = account.account
    const over = this.#over.get(id) ?? new RecentMap<string, number>(remembered)
    over.set(stream.id, handled)
    this.#over.set(id, over)
  }

  /** It goes on elsewhere. False where it was not known. */
  forget(stream: ManagedStream): boolean {
    this.back(stream)
    return this.#streams.delete(stream.id)
  }
}

export const RESUMPTIONS = serviceKey<Resumptions>('chat-resumptions')
