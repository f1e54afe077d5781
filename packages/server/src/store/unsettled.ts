// Transactions that stay open: their calls are safe in the journal, and many of them share one commit, which is what costs most of a small one.

import { markApplied, sizeOf } from './deferred.ts'
import type { Entry } from './journal.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'

/** So many calls share a commit. */
const MANY = 64
/** The same in octets of their arguments, roughly: they are kept until then. */
const LONG = 512 * 1024
/** Octets of a call beside its arguments, roughly. */
const CALL = 256

/** The calls in the open transaction of one database. What is read there has them already. */
export class Unsettled {
  /** The database's key. */
  readonly key: string
  /** When the first one came. */
  since: number
  readonly entries: Entry[] = []
  /** The transaction was rolled back: its calls are in the journal only, and are to be carried out again before anything else is asked of the database. */
  undone = false
  /** Octets that it keeps, roughly. */
  length = 0

  constructor(key: string, since: number) {
    this.key = key
    this.since = since
  }

  /** True where there is enough to be worth a commit. */
  get enough(): boolean {
    return this.entries.length >= MANY || this.length >= LONG
  }

  /** Commits; `last`: the last call that is in it. Where that fails, everything since the last commit is undone, and what the disk said is thrown. */
  commit(database: SqliteDatabase, run: string, last = this.entries.at(-1)?.[0]): void {
    try {
      if (last !== undefined) markApplied(database, run, 'done', last)
      database.commitUnsynced()
    } catch (error) {
      this.undone = true
      database.undo()
      throw storeError(error, database.path)
    }
  }
}

/** The open transactions of one engine, those that are open longest first. */
export class OpenTransactions {
  readonly #all = new Map<SqliteDatabase, Unsettled>()
  readonly #run: string
  readonly #again: (database: SqliteDatabase, entries: readonly Entry[]) => Promise<void>
  #length = 0

  /** `run`: of the journal. `again` carries out calls that the journal has, and leaves their transaction open; it throws what the disk says. */
  constructor(run: string, again: (database: SqliteDatabase, entries: readonly Entry[]) => Promise<void>) {
    this.#run = run
    this.#again = again
  }

  /** Octets that all of them keep, roughly. */
  get length(): number {
    return this.#length
  }

  get(database: SqliteDatabase): Unsettled | undefined {
    return this.#all.get(database)
  }

  all(): Iterable<Unsettled> {
    return this.#all.values()
  }

  /** Calls that were made in the database's open transaction, and are in the journal. */
  add(database: SqliteDatabase, key: string, now: number, entries: readonly Entry[]): Unsettled {
    let unsettled = this.#all.get(database)
    if (unsettled === undefined) this.#all.set(database, (unsettled = new Unsettled(key, now)))
    for (const entry of entries) {
      const length = CALL + sizeOf(entry[6])
      unsettled.entries.push(entry)
      unsettled.length += length
      this.#length += length
    }
    return unsettled
  }

  /** Nothing of it is to be kept. */
  forget(database: SqliteDatabase): void {
    this.#length -= this.#all.get(database)?.length ?? 0
    this.#all.delete(database)
  }

  /** It could not be committed: others come before it. */
  postpone(database: SqliteDatabase, now: number): void {
    const unsettled = this.#all.get(database)
    if (unsettled === undefined) return
    this.#all.delete(database)
    this.#all.set(database, unsettled)
    unsettled.since = now
  }

  /** A transaction that is gone, as SQLite ends one on some errors by itself, is known to be undone. */
  look(database: SqliteDatabase): void {
    const unsettled = this.#all.get(database)
    if (unsettled === undefined || unsettled.undone || database.inTransaction) return
    unsettled.undone = true
    database.undo()
  }

  /** Commits what is open, with calls up to `last`; where that cannot be, it is carried out again before the database is used. Never throws. */
  cool(database: SqliteDatabase, last?: number): void {
    const unsettled = this.#all.get(database)
    if (unsettled === undefined || unsettled.undone) return
    try {
      unsettled.commit(database, this.#run, last)
      this.forget(database)
    } catch {
      // It is undone, and in the journal.
    }
  }

  /**
   * Commits what is open, with calls up to `last`. What had to be undone is carried out again, without those that the journal does not have, and false is answered then. Throws what the disk
   * says: the journal has it.
   */
  async settle(database: SqliteDatabase, last?: number): Promise<boolean> {
    this.cool(database, last)
    const undone = this.#all.get(database)
    if (undone === undefined) return true
    await this.redo(database)
    if (database.inTransaction) undone.commit(database, this.#run)
    this.forget(database)
    return false
  }

  /** Carries out again what was undone, and leaves it open. Throws what the disk says. */
  async redo(database: SqliteDatabase): Promise<void> {
    const unsettled = this.#all.get(database)
    if (unsettled?.undone !== true) return
    await this.#again(database, unsettled.entries)
    unsettled.undone = false
  }
}
