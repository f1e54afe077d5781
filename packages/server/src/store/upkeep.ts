// When databases are brought up to date with the journal: what waits for them has an end, in time and in memory.

import type { Databases } from './databases.ts'
import { WAITS, type WaitingLines } from './deferred.ts'
import type { Journal } from './journal.ts'
import type { Complaints } from './replay.ts'
import type { OpenTransactions } from './unsettled.ts'

/** Databases that one round brings up to date for the journal's sake, beyond what it was asked for. */
const AT_ONCE = 4

/** Octets that may be kept in memory of what is in the journal and not yet in its database: beyond it, who waits longest is brought up to date. */
const KEPT = 32 * 1024 * 1024

/** What there is of one engine. */
interface Parts {
  readonly waiting: WaitingLines
  readonly open: OpenTransactions
  readonly journal: Pick<Journal, 'needed'>
  readonly databases: Pick<Databases, 'peek'>
  readonly complaints: Complaints
  /** Makes safe in the database `key` what the journal has for it. Throws what the disk says. */
  bringUpToDate(key: string): Promise<void>
}

export class Upkeep {
  readonly #parts: Parts
  /** Databases that could not be brought up to date, and when that is tried again. */
  readonly #postponed = new Map<string, number>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** True where so much is kept that nothing can be added, as the databases do not take it. */
  get isFull(): boolean {
    return this.#kept > 2 * KEPT
  }

  get #kept(): number {
    return this.#parts.open.length + this.#parts.waiting.length
  }

  /** Brings databases up to date until little enough is kept. */
  async relieve(now: number): Promise<void> {
    const { waiting, open } = this.#parts
    while (this.#kept > KEPT) {
      const [lines] = waiting.all()
      const [oldest] = open.all()
      const key =
        lines !== undefined && (oldest === undefined || lines[1].since <= oldest.since) ? lines[0] : oldest?.key
      // All have been tried lately.
      if (key === undefined || (this.#postponed.get(key) ?? 0) > now) return
      await this.#bring(key, now)
    }
  }

  /** Brings some databases up to date that have waited long, or that an old file of the journal waits for; with `leisure`, any that the journal waits for. */
  async tidy(now: number, leisure: boolean): Promise<void> {
    const { waiting, open, journal } = this.#parts
    const due: string[] = []
    for (const [key, { since }] of waiting.all()) {
      if (due.length === AT_ONCE || now - since < WAITS) break
      due.push(key)
    }
    for (const { key, since } of open.all()) {
      if (due.length >= AT_ONCE || now - since < WAITS) break
      if (!due.includes(key)) due.push(key)
    }
    for (const key of journal.needed(!leisure)) {
      if (due.length >= AT_ONCE) break
      // What waits has its own time.
      if ((leisure && this.#waits(key)) || due.includes(key)) continue
      if ((this.#postponed.get(key) ?? 0) <= now) due.push(key)
    }
    for (const key of due) await this.#bring(key, now)
  }

  /** True where something has its own time to be committed or carried out. */
  #waits(key: string): boolean {
    const { waiting, open, databases } = this.#parts
    const database = databases.peek(key)
    return waiting.get(key) !== undefined || (database !== undefined && open.get(database) !== undefined)
  }

  /** Where it fails, others are tried before it, and it is told. */
  async #bring(key: string, now: number): Promise<void> {
    const { waiting, open, databases, complaints, bringUpToDate } = this.#parts
    try {
      await bringUpToDate(key)
      this.#postponed.delete(key)
    } catch (error) {
      this.#postponed.set(key, now + WAITS)
      waiting.postpone(key, now)
      const database = databases.peek(key)
      if (database !== undefined) open.postpone(database, now)
      complaints.add('the journal', key, error)
    }
  }
}
