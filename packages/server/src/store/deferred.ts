// Calls that are in the journal and not yet in their databases. They are carried out many at a time, and before anybody could miss them.

import type { Operation } from './contracts.ts'
import { defineStore } from './contracts.ts'
import type { Entry, Journal } from './journal.ts'
import type { SqliteDatabase } from './sqlite.ts'

/** So many of one database are carried out at once. */
const MANY = 256
/** The same in characters of their arguments, roughly. */
const LONG = 512 * 1024
/** How long one may wait, in milliseconds. */
export const WAITS = 10_000

const applied = (scale: 'account' | 'service') =>
  defineStore({
    name: `journal-${scale}`,
    scale,
    // Which calls of a run are in the database: those up to `seq`.
    migrations: ['CREATE TABLE journal_applied (run TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;'],
    operations: {},
  })

/** Tables that the journal needs in the databases themselves. */
export const journalStores = [applied('account'), applied('service')] as const

/** The calls that wait for one database, in their order. */
export class Waiting {
  readonly entries: Entry[] = []
  readonly stores = new Set<string>()
  /** When the first one came. */
  since: number
  #length = 0

  constructor(since: number) {
    this.since = since
  }

  add(entry: Entry): void {
    this.entries.push(entry)
    this.stores.add(entry[3])
    this.#length += lengthOf(entry[5])
  }

  /** True when there is enough to be worth a transaction. */
  get enough(): boolean {
    return this.entries.length >= MANY || this.#length >= LONG
  }
}

const lengthOf = (args: unknown): number => {
  let length = 0
  if (typeof args === 'object' && args !== null)
    for (const value of Object.values(args)) if (typeof value === 'string') length += value.length
  return length
}

/** Finds an operation: `store.name`. */
export type Operations = (store: string, name: string) => Operation<never, unknown> | undefined

/**
 * Carries out what waits for a database, each call once whatever happened before, in one transaction. The sync is left to the database's next one, or to `SqliteDatabase.syncLog`:
 * until then the journal has it.
 * @returns those that failed by their own fault: they fail again however often they are tried
 */
export async function carryOut(
  database: SqliteDatabase,
  operations: Operations,
  { run }: Pick<Journal, 'run'>,
  entries: readonly Entry[],
): Promise<readonly { readonly entry: Entry; readonly error: unknown }[]> {
  const done = Number(database.get('SELECT seq FROM journal_applied WHERE run = ?', run)?.[0] ?? 0)
  const left = entries.filter(([seq]) => seq > done)
  const last = left.at(-1)
  if (last === undefined) return []
  return (
    (await attempt(database, operations, run, left, last[0], false)) ??
    (await attempt(database, operations, run, left, last[0], true)) ??
    []
  )
}

async function attempt(
  database: SqliteDatabase,
  operations: Operations,
  run: string,
  entries: readonly Entry[],
  last: number,
  fenced: boolean,
): Promise<readonly { readonly entry: Entry; readonly error: unknown }[] | undefined> {
  const failed: { readonly entry: Entry; readonly error: unknown }[] = []
  database.beginUnsynced()
  try {
    for (const entry of entries) {
      const [, , , store, name, args, now] = entry
      database.now = now
      if (fenced) database.run('SAVEPOINT one')
      try {
        const operation = operations(store, name)
        if (operation === undefined) throw new Error(`the store has no operation ${store}.${name}`)
        await operation.run(database, args as never)
        if (fenced) database.run('RELEASE one')
      } catch (error) {
        // A full disk is nobody's fault: all of it is tried again later.
        if (!fenced || !database.inTransaction || isFault(error)) throw error
        database.script('ROLLBACK TO one; RELEASE one')
        failed.push({ entry, error })
      }
    }
    database.run('DELETE FROM journal_applied WHERE run <> ?', run)
    database.run(
      'INSERT INTO journal_applied (run, seq) VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET seq = excluded.seq',
      run,
      last,
    )
    database.commitUnsynced()
  } catch (error) {
    if (database.inTransaction) database.rollback()
    database.endUnsynced()
    if (fenced || isFault(error)) throw error
    return undefined
  } finally {
    database.dropChanges(0)
  }
  return failed
}

/** SQLite's or the system's complaint about the disk, and no complaint of an operation. */
const isFault = (error: unknown): boolean => {
  const { errcode, code } = error as { readonly errcode?: number; readonly code?: unknown }
  // SQLITE_CONSTRAINT and SQLITE_MISMATCH are an operation's own.
  return (errcode !== undefined && (errcode & 0xff) !== 19 && (errcode & 0xff) !== 20) || code === 'ENOSPC'
}
