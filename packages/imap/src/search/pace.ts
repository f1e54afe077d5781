// Long work on the event loop: done in slices, with a word to the client when it takes long (RFC 9585).

import type { ImapServerSession } from '../server/session.ts'
import { quote } from '../wire/encode.ts'

/** What a long loop asks: is it time to let others have their turn? */
export interface Pace {
  readonly winded: boolean
  breathe(): Promise<void>
}

/** The pace of a search: it also hears how far the search is. */
export interface SearchPace extends Pace {
  /** Messages to look at from here on; what was done before counts no more. Undefined: not known. */
  begin(goal: number | undefined): void
  /** So many messages are done since `begin`. */
  reached(done: number): void
}

/** Elements that a tight loop works through between two questions. */
export const STRIDE = 8192

/** Milliseconds of work before the first `INPROGRESS`, and between two of them. */
const FIRST = 5000
const NEXT = 10_000

/** The pace of one command, which says how far it is. Nothing else may be half written while it works. */
export class Progress implements SearchPace {
  readonly #session: ImapServerSession
  readonly #tag: string
  #due: number
  #done = 0
  #goal: number | undefined

  constructor(session: ImapServerSession, tag: string) {
    this.#session = session
    // RFC 9585 §3: a tag that could be taken for the end of the response code is left out.
    this.#tag = tag.includes(']') ? 'NIL' : quote(tag)
    this.#due = this.#now() + FIRST
  }

  #now(): number {
    return this.#session.options.now?.() ?? performance.now()
  }

  begin(goal: number | undefined): void {
    this.#done = 0
    this.#goal = goal === 0 ? undefined : goal
  }

  reached(done: number): void {
    this.#done = this.#goal === undefined ? done : Math.min(done, this.#goal)
  }

  get winded(): boolean {
    return this.#session.winded
  }

  async breathe(): Promise<void> {
    if (this.#now() >= this.#due) {
      this.#due = this.#now() + NEXT
      this.#session.out.untagged(
        `OK [INPROGRESS (${this.#tag} ${Math.floor(this.#done)} ${this.#goal ?? 'NIL'})] Still working on it`,
      )
      this.#session.out.flush()
    }
    await this.#session.breathe()
  }
}

/** Work that no command waits for: nothing is said of it. */
export const quietly = (session: ImapServerSession): SearchPace => ({
  get winded() {
    return session.winded
  },
  breathe: () => session.breathe(),
  begin: () => undefined,
  reached: () => undefined,
})
