// Calls that are in the journal and not yet in their databases. They are carried out many at a time, and before anybody could miss them.

import type { Operation } from './contracts.ts'
import { defineStore } from './contracts.ts'
import type { Entry, EntryKind, Journal } from './journal.ts'
import { type LinePlace, readLines } from './lines.ts'
import { isFault, type SqliteDatabase } from './sqlite.ts'

/** So many of one database are carried out at once. */
const MANY = 256
/** The same in octets. */
const LONG = 512 * 1024
/** Octets that are taken for the first of them. */
const SMALL = 1024
/** How long one may wait, in milliseconds. */
export const WAITS = 10_000

const applied = (scale: 'account' | 'service') =>
  defineStore({
    name: `journal-${scale}`,
    scale,
    // Which calls of a run are in the database: those up to `seq`.
    migrations: [
      'CREATE TABLE journal_applied (run TEXT NOT NULL, kind TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (run, kind)) STRICT, WITHOUT ROWID;',
    ],
    operations: {},
  })

/** Tables that the journal needs in the databases themselves. */
export const journalStores = [applied('account'), applied('service')] as const

/** The lines that wait for one database, in their order. */
export class Waiting {
  readonly stores = new Set<string>()
  /** When the first one came. */
  since: number
  #octets = Buffer.allocUnsafeSlow(SMALL)
  #length = 0
  #count = 0

  constructor(since: number) {
    this.since = since
  }

  /** Takes a copy: the batch may be of many databases. */
  add(batch: Buffer, { start, end, store }: LinePlace): void {
    const length = this.#length + end - start
    if (length > this.#octets.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, this.#octets.length * 2))
      this.#octets.copy(grown, 0, 0, this.#length)
      this.#octets = grown
    }
    batch.copy(this.#octets, this.#length, start, end)
    this.#length = length
    this.#count++
    this.stores.add(store)
  }

  get length(): number {
    return this.#length
  }

  get entries(): readonly Entry[] {
    return readLines(this.#octets.subarray(0, this.#length))
  }

  /** True when there is enough to be worth a transaction. */
  get enough(): boolean {
    return this.#count >= MANY || this.#length >= LONG
  }
}

/** The lines that wait for the databases of one engine, those that wait longest first. */
export class WaitingLines {
  readonly #all = new Map<string, Waiting>()
  #length = 0

  /** Octets of all of them. */
  get length(): number {
    return this.#length
  }

  get(key: string): Waiting | undefined {
    return this.#all.get(key)
  }

  all(): Iterable<readonly [key: string, waiting: Waiting]> {
    return this.#all
  }

  add(lines: Buffer, place: LinePlace, now: number): void {
    let waiting = this.#all.get(place.database)
    if (waiting === undefined) this.#all.set(place.database, (waiting = new Waiting(now)))
    const before = waiting.length
    waiting.add(lines, place)
    this.#length += waiting.length - before
  }

  /** They are in their database, or it is gone. */
  forget(key: string): void {
    this.#length -= this.#all.get(key)?.length ?? 0
    this.#all.delete(key)
  }

  /** They could not be carried out: others come before them. */
  postpone(key: string, now: number): void {
    const waiting = this.#all.get(key)
    if (waiting === undefined) return
    this.#all.delete(key)
    this.#all.set(key, waiting)
    waiting.since = now
  }
}

/** So deep in a call's arguments lie texts and octets: a list of messages, each with its octets. */
const DEPTH = 4

/** Octets of a call's arguments, roughly: of what is long in them. */
export function sizeOf(args: unknown, depth = DEPTH): number {
  if (typeof args === 'string') return args.length
  if (typeof args !== 'object' || args === null) return 0
  if (ArrayBuffer.isView(args)) return args.byteLength
  let size = 0
  if (depth > 0) for (const name in args) size += sizeOf((args as Readonly<Record<string, unknown>>)[name], depth - 1)
  return size
}

/** Finds an operation: `store.name`. */
export type Operations = (store: string, name: string) => Operation<never, unknown> | undefined

/** Remembers in the database, and in its transaction, which calls of a run it has. */
export function markApplied(database: SqliteDatabase, run: string, kind: EntryKind, seq: number): void {
  if (database.markedBy !== run) {
    // What runs before this one left was carried out before this one began.
    database.run('DELETE FROM journal_applied WHERE run <> ?', run)
    database.markedBy = run
  }
  database.run(
    'INSERT INTO journal_applied (run, kind, seq) VALUES (?, ?, ?) ON CONFLICT (run, kind) DO UPDATE SET seq = excluded.seq',
    run,
    kind,
    seq,
  )
}

function isApplied(database: SqliteDatabase, run: string): (entry: Entry) => boolean {
  const done = new Map(
    database
      .all('SELECT kind, seq FROM journal_applied WHERE run = ?', run)
      .map(([kind, seq]) => [String(kind), Number(seq)]),
  )
  return ([seq, kind]) => seq <= (done.get(kind) ?? 0)
}

/** A call that failed by its own fault: it fails again however often it is tried. */
export interface Failed {
  readonly entry: Entry
  readonly error: unknown
}

/**
 * Carries out what the journal has for a database, each call once whatever happened before, in one transaction. The sync is left to the database's next one, or to
 * `SqliteDatabase.syncLog`: until then the journal has it. With `open`, that transaction is left open, and unmarked.
 */
export async function carryOut(
  database: SqliteDatabase,
  operations: Operations,
  { run }: Pick<Journal, 'run'>,
  entries: readonly Entry[],
  open = false,
): Promise<readonly Failed[]> {
  const known = isApplied(database, run)
  const left = entries.filter((entry) => !known(entry))
  if (left.length === 0) return []
  const end = (): void => {
    if (open) return
    const last = new Map<EntryKind, number>()
    for (const [seq, kind] of left) last.set(kind, seq)
    for (const [kind, seq] of last) markApplied(database, run, kind, seq)
    database.commitUnsynced()
  }
  return (await attempt(database, operations, left, end, false)) ?? attempt(database, operations, left, end, true)
}

async function attempt<Fenced extends boolean>(
  database: SqliteDatabase,
  operations: Operations,
  entries: readonly Entry[],
  end: () => void,
  fenced: Fenced,
): Promise<readonly Failed[] | (Fenced extends true ? never : undefined)> {
  const failed: Failed[] = []
  try {
    database.beginUnsynced()
    for (let at = 0; at < entries.length;) {
      const several = fenced ? entries.slice(at, at + 1) : alike(entries, at, operations)
      const entry = several[0] as Entry
      at += several.length
      const [, , , , store, name, args, now] = entry
      database.now = now
      if (fenced) database.fence()
      try {
        const operation = operations(store, name)
        if (operation === undefined) throw new Error(`the store has no operation ${store}.${name}`)
        if (several.length === 1) await operation.run(database, args as never)
        else await operation.runAll?.(database, several.map((each) => each[6]) as never[])
        if (fenced) database.endFence()
      } catch (error) {
        // A full disk is nobody's fault: all of it is tried again later.
        if (!fenced || !database.inTransaction || isFault(error)) throw error
        database.undoFence()
        failed.push({ entry, error })
      }
    }
    end()
    return failed
  } catch (error) {
    database.undo()
    if (fenced || isFault(error)) throw error
    return undefined as Fenced extends true ? never : undefined
  } finally {
    database.dropChanges(0)
  }
}

/** The entries from `at` on that can be carried out at once. */
function alike(entries: readonly Entry[], at: number, operations: Operations): readonly Entry[] {
  const [, , , , store, name] = entries[at] as Entry
  let end = at + 1
  if (operations(store, name)?.runAll !== undefined)
    while (entries[end]?.[4] === store && entries[end]?.[5] === name) end++
  return entries.slice(at, end)
}
