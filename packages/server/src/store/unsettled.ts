// Transactions that stay open: their calls are safe in the journal, and many of them share one commit, which is what costs most of a small one.

import { markApplied, sizeOf } from './deferred.ts'
import type { Entry } from './journal.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'

/** So many calls share a commit. */
const MANY = 64
/** The same in octets of their arguments, roughly: they are kept until then. */
const LONG = 512 * 1024

/** The calls in the open transaction of one database. What is read there has them already. */
export class Unsettled {
  /** The database's key. */
  readonly key: string
  /** When the first one came. */
  since: number
  readonly entries: Entry[] = []
  /** The transaction was rolled back: its calls are in the journal only, and are to be carried out again before anything else is asked of the database. */
  undone = false
  #length = 0

  constructor(key: string, since: number) {
    this.key = key
    this.since = since
  }

  /** Calls that were made in the transaction, and are in the journal. */
  add(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.entries.push(entry)
      this.#length += sizeOf(entry[6])
    }
  }

  get enough(): boolean {
    return this.entries.length >= MANY || this.#length >= LONG
  }

  /** Commits. Where that fails, everything since the last commit is undone, and what the disk said is thrown. */
  commit(database: SqliteDatabase, run: string): void {
    try {
      const last = this.entries.at(-1)
      if (last !== undefined) markApplied(database, run, 'done', last[0])
      database.commitUnsynced()
    } catch (error) {
      this.undone = true
      database.undo()
      throw storeError(error, database.path)
    }
  }
}
