// What a store worker does: takes the operations that wait, groups them by database, and commits each group once.

import { appendFileSync, existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Change, Operation, Scale, StoreDefinition } from './contracts.ts'
import { StoreError } from './contracts.ts'
import { carryOut, journalStores, markApplied, sizeOf, Waiting, WAITS } from './deferred.ts'
import { type Entry, Journal, leftJournals, readJournal } from './journal.ts'
import { migrate } from './migrate.ts'
import { free, memoryOf } from './moving.ts'
import { SqliteDatabase, storeError } from './sqlite.ts'

/** One operation asked for: [call id, scale, database name, store, operation, arguments]. A tuple, as thousands of them cross the threads each second. */
export type Call = readonly [
  id: number,
  scale: Scale,
  database: string,
  store: string,
  operation: string,
  args: unknown,
]

/** What became of one call. */
export type Outcome =
  | readonly [id: number, failed: false, result: unknown]
  | readonly [
      id: number,
      failed: true,
      error: { readonly code?: string; readonly message: string; readonly stack?: string },
    ]

/** The outcomes of one round and the changes to publish, in the order of their commits: [database, scale, change]. */
export interface Round {
  readonly outcomes: readonly Outcome[]
  readonly changes: readonly (readonly [scale: Scale, database: string, change: Change])[]
  /** Calls that were safe already and then failed by their own fault: for the log. */
  readonly broken: readonly Broken[]
}

/** An `append` that failed. */
export interface Broken {
  readonly what: string
  readonly database: string
  readonly message: string
}

/** A round, and the memory of what goes over to the callers with it. */
export interface RoundDone extends Round {
  readonly moving: readonly ArrayBuffer[]
}

export interface EngineOptions {
  /** The data folder. */
  readonly folder: string
  readonly definitions: readonly StoreDefinition[]
  /** Databases held open at the same time. */
  readonly open: number
  /** A name that no engine had before: of its journal. */
  readonly run: string
}

/** Where the journals lie. */
export const journalFolder = (folder: string): string => join(folder, 'journal')

/** Octets of arguments that are rather synced in their database than written twice. */
const TWICE = 512 * 1024

/** Databases that one round brings up to date for the journal's sake, beyond what it was asked for. */
const TIDIED_AT_ONCE = 4

/** Databases of which pages are kept in memory, beyond the moment in which they are used: the others hold half as much. */
const WARM = 32

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/

/** Where a database lives in the data folder. Account ids are spread over folders, so that none grows to many thousands of entries. */
export function databasePath(folder: string, scale: Scale, database: string): string {
  if (!NAME.test(database)) throw new StoreError('invalid-name', `'${database}' cannot name a database`)
  if (scale === 'core') return join(folder, 'core.db')
  if (scale === 'service') return join(folder, 'services', `${database}.db`)
  return join(folder, 'accounts', database.slice(-2), database, 'account.db')
}

/** What is to be appended, by database. */
type Appends = Map<string, readonly Call[]>

/** What was done in one database. */
interface Committed {
  readonly key: string
  readonly database: SqliteDatabase
  readonly group: readonly Call[]
  readonly outcomes: readonly Outcome[]
  readonly changes: readonly Change[]
}

/** Syncs the database itself, as the journal could not be written. */
function synced(committed: Committed): Committed {
  const { database, group } = committed
  try {
    database.syncLog()
    return committed
  } catch (error) {
    const fault = storeError(error, database.path)
    return { ...committed, outcomes: group.map(([id]) => failure(id, fault)), changes: [] }
  }
}

/** The databases of one worker. Not re-entrant: one `run` at a time. */
export class Engine {
  readonly #options: EngineOptions
  readonly #operations = new Map<string, Operation<never, unknown>>()
  /** Least recently used first. */
  readonly #open = new Map<string, SqliteDatabase>()
  /** Those of them that keep pages, least recently used first. */
  readonly #warm = new Set<SqliteDatabase>()
  readonly #journal: Journal
  /** What is in the journal only, by database. */
  readonly #waiting = new Map<string, Waiting>()
  /** Databases that could not be brought up to date, and when that is tried again. */
  readonly #postponed = new Map<string, number>()
  #seq = 0
  #broken: Broken[] = []

  constructor(options: EngineOptions) {
    this.#options = { ...options, definitions: [...options.definitions, ...journalStores] }
    this.#journal = new Journal(journalFolder(options.folder), options.run)
    for (const definition of options.definitions)
      for (const [name, operation] of Object.entries(definition.operations))
        this.#operations.set(`${definition.name}.${name}`, operation)
  }

  get openDatabases(): number {
    return this.#open.size
  }

  /** Runs all calls: those on one database in their order and in one transaction with one sync. Never rejects. */
  async run(calls: readonly Call[], now: number): Promise<RoundDone> {
    const outcomes: Outcome[] = []
    const returned: (Uint8Array | undefined)[] = []
    const changes: [Scale, string, Change][] = []
    const groups = new Map<string, Call[]>()
    const tell = ({ group, outcomes: done, changes: made }: Committed): void => {
      const [, scale, name] = group[0] as Call
      outcomes.push(...done)
      for (const [index, [, failed, result]] of done.entries())
        if (!failed) returned.push(...(this.#operation(group[index])?.returned?.(result) ?? []))
      for (const change of made) changes.push([scale, name, change])
    }
    for (const call of calls) {
      const key = `${call[1]}/${call[2]}`
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [call])
      else group.push(call)
    }
    // One sync for many databases instead of one for each; a database that is alone is its own journal.
    const journaled = [...groups.values()].filter((group) => this.#isJournaled(group)).length > 1
    const entries: Entry[] = []
    const appends: Appends = new Map()
    const unsynced: Committed[] = []
    for (const [key, group] of groups) {
      const [, scale, name] = group[0] as Call
      let database: SqliteDatabase
      try {
        database = await this.#database(key, scale, name)
        if (scale !== 'core' && group.every((call) => this.#operation(call)?.mode === 'append')) {
          for (const [, , , store, operation, args] of group)
            entries.push([++this.#seq, 'waiting', scale, name, store, operation, args, now])
          appends.set(key, group)
          continue
        }
        const waiting = this.#waiting.get(key)
        if (waiting !== undefined && group.some(([, , , store]) => waiting.stores.has(store)))
          await this.#carryOut(key, database)
      } catch (error) {
        for (const [id] of group) outcomes.push(failure(id, error))
        continue
      }
      database.now = now
      const withJournal = journaled && this.#isJournaled(group)
      const done = await this.#runGroup(database, group, withJournal)
      const committed = { key, database, group, outcomes: done, changes: database.takeChanges() }
      if (withJournal) {
        for (const [index, [, scale, name, store, operation, args]] of group.entries())
          if (this.#operation(group[index])?.mode !== 'read' && done[index]?.[1] === false)
            entries.push([++this.#seq, 'done', scale, name, store, operation, args, now])
        unsynced.push(committed)
      } else tell(committed)
    }
    if (entries.length > 0) {
      const fault = this.#write(entries, [...appends.keys(), ...unsynced.map(({ key }) => key)])
      for (const committed of unsynced) tell(fault === undefined ? committed : synced(committed))
      outcomes.push(...(await this.#append(entries, appends, fault, now)))
    } else for (const committed of unsynced) tell(committed)
    const broken = this.#broken
    this.#broken = []
    const moving = memoryOf(returned)
    // Megabytes that would lie here until V8 looks for them: an idle thread does not.
    for (const call of calls)
      for (const memory of memoryOf(this.#operation(call)?.given?.(call[5] as never) ?? []))
        if (!moving.includes(memory)) free(memory)
    return { outcomes, changes, broken, moving }
  }

  /** Closes the account's database and removes its folder. */
  erase(account: string): void {
    const key = `account/${account}`
    this.#waiting.delete(key)
    this.#shut(key)
    rmSync(dirname(databasePath(this.#options.folder, 'account', account)), { recursive: true, force: true })
  }

  async close(): Promise<void> {
    for (const key of this.#open.keys()) await this.#close(key)
    this.#journal.close()
  }

  /** Brings some databases up to date that have waited long, or that an old file of the journal waits for; with `leisure`, any that the journal waits for. */
  async tidy(now: number, leisure: boolean): Promise<readonly Broken[]> {
    const due: string[] = []
    for (const [key, { since }] of this.#waiting) {
      if (due.length === TIDIED_AT_ONCE || now - since < WAITS) break
      due.push(key)
    }
    for (const key of this.#journal.needed(!leisure)) {
      if (due.length >= TIDIED_AT_ONCE) break
      // What waits has its own time.
      if (leisure && this.#waiting.has(key)) continue
      if ((this.#postponed.get(key) ?? 0) <= now) due.push(key)
    }
    for (const key of due)
      try {
        await this.#bringUpToDate(key)
        this.#postponed.delete(key)
      } catch (error) {
        this.#postponed.set(key, now + WAITS)
        const waiting = this.#waiting.get(key)
        if (waiting !== undefined) {
          // To the end of the queue.
          this.#waiting.delete(key)
          this.#waiting.set(key, waiting)
          waiting.since = now
        }
        this.#broken.push({ what: 'the journal', database: key, message: String(error) })
      }
    const broken = this.#broken
    this.#broken = []
    return broken
  }

  /** Carries out what journals of engines that died hold, and deletes them; those of one run, or all. Nothing else may have been done with their databases. */
  async replay(run?: string): Promise<readonly Broken[]> {
    for (const left of leftJournals(journalFolder(this.#options.folder), run)) {
      const byDatabase = new Map<string, Entry[]>()
      for (const entry of readJournal(left.path)) {
        const key = `${entry[2]}/${entry[3]}`
        const entries = byDatabase.get(key)
        if (entries === undefined) byDatabase.set(key, [entry])
        else entries.push(entry)
      }
      for (const [key, entries] of byDatabase) {
        const [, , scale, name] = entries[0] as Entry
        // Of an account that was erased meanwhile.
        if (!existsSync(databasePath(this.#options.folder, scale, name))) continue
        const database = await this.#database(key, scale, name)
        this.#complain(await carryOut(database, this.#find, left, entries))
        database.syncLog()
      }
      rmSync(left.path)
    }
    const broken = this.#broken
    this.#broken = []
    return broken
  }

  /** Writes to the journal; answers why that could not be done. */
  #write(entries: readonly Entry[], keys: Iterable<string>): Error | undefined {
    try {
      this.#journal.write(entries, keys)
      return undefined
    } catch (error) {
      return storeError(error, journalFolder(this.#options.folder)) as Error
    }
  }

  /** True for a group that the journal can make safe: it writes, and not so much that writing it twice would cost more than a sync. */
  #isJournaled(group: readonly Call[]): boolean {
    if (group[0]?.[1] === 'core' || this.#isDerived(group)) return false
    let writes = false
    let size = 0
    for (const call of group) {
      if (this.#operation(call)?.mode === 'read') continue
      writes = true
      size += sizeOf(call[5])
    }
    return writes && size <= TWICE
  }

  /** True for a group that writes only what can be made anew. */
  #isDerived(group: readonly Call[]): boolean {
    return group.every((call) => {
      const operation = this.#operation(call)
      return operation?.mode === 'read' || operation?.derived === true
    })
  }

  /** Makes calls safe that are carried out later: those of `groups` among the entries, which are in the journal unless there was a `fault`. */
  async #append(
    entries: readonly Entry[],
    groups: Appends,
    fault: Error | undefined,
    now: number,
  ): Promise<readonly Outcome[]> {
    const calls = [...groups.values()].flat()
    if (fault !== undefined) return calls.map(([id]) => failure(id, fault))
    for (const entry of entries) {
      const key = `${entry[2]}/${entry[3]}`
      if (!groups.has(key)) continue
      let waiting = this.#waiting.get(key)
      if (waiting === undefined) this.#waiting.set(key, (waiting = new Waiting(now)))
      waiting.add(entry)
    }
    for (const key of groups.keys()) {
      const database = this.#open.get(key)
      if (this.#waiting.get(key)?.enough === true && database !== undefined)
        // They are safe already: should it fail now, it is tried again with the next ones.
        await this.#carryOut(key, database).catch(() => {})
    }
    return calls.map(([id]) => [id, false, undefined])
  }

  async #carryOut(key: string, database: SqliteDatabase): Promise<void> {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    this.#warmUp(database)
    this.#complain(await carryOut(database, this.#find, this.#journal, waiting.entries))
    this.#waiting.delete(key)
  }

  async #bringUpToDate(key: string): Promise<void> {
    const [scale, name] = key.split('/') as [Scale, string]
    const database = await this.#database(key, scale, name)
    await this.#carryOut(key, database)
    database.syncLog()
    this.#journal.release(key)
  }

  #complain(failed: Awaited<ReturnType<typeof carryOut>>): void {
    for (const { entry, error } of failed) {
      const [, , scale, database, store, operation, args, now] = entry
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const aside = JSON.stringify({ scale, database, store, operation, args, now, message })
      appendFileSync(join(journalFolder(this.#options.folder), 'broken.jsonl'), `${aside}\n`, { mode: 0o600 })
      this.#broken.push({ what: `${store}.${operation}`, database, message })
    }
  }

  /** With `journaled`, the sync is left to the journal, and the database remembers that these calls are in it. */
  async #runGroup(database: SqliteDatabase, group: readonly Call[], journaled: boolean): Promise<readonly Outcome[]> {
    this.#warmUp(database)
    const writes = group.reduce((count, call) => count + (this.#operation(call)?.mode === 'read' ? 0 : 1), 0)
    if (writes === 0) {
      const outcomes: Outcome[] = []
      for (const call of group) outcomes.push(await this.#runOne(database, call, false))
      return outcomes
    }
    // Fences cost more than they seem: SQLite keeps a copy of every page for them, and each statement pays for the copies that are there already. Most
    // groups need none; in one that does, everything runs once more.
    return (await this.#transact(database, group, journaled, false)) ?? this.#transact(database, group, journaled, true)
  }

  /** Runs the group in one transaction. Without fences, a write that fails undoes its neighbours too: then undefined is answered, and nothing was done. */
  async #transact<Fenced extends boolean>(
    database: SqliteDatabase,
    group: readonly Call[],
    journaled: boolean,
    fenced: Fenced,
  ): Promise<readonly Outcome[] | (Fenced extends true ? never : undefined)> {
    const outcomes: Outcome[] = []
    const unsynced = journaled || this.#isDerived(group)
    try {
      if (unsynced) database.beginUnsynced()
      else database.begin()
      for (const call of group) {
        const outcome = await this.#runOne(database, call, fenced)
        outcomes.push(outcome)
        if (!outcome[1] || fenced || this.#operation(call)?.mode === 'read') continue
        this.#giveUp(database, unsynced)
        // A single operation that failed leaves nothing worth a sync.
        return group.length === 1 ? outcomes : (undefined as Fenced extends true ? never : undefined)
      }
      // A full disk may have ended the transaction already.
      if (!database.inTransaction)
        throw new StoreError('unavailable', `${database.path}: the transaction was rolled back`)
      if (journaled) {
        const written = group.filter((call, at) => !outcomes[at]?.[1] && this.#operation(call)?.mode !== 'read')
        // All that failed leaves nothing to be found in the journal.
        if (written.length > 0) markApplied(database, this.#journal.run, 'done', this.#seq + written.length)
      }
      if (unsynced) database.commitUnsynced()
      else database.commit()
      return outcomes
    } catch (error) {
      this.#giveUp(database, unsynced)
      // What failed by itself keeps its own reason, all others did not become durable.
      return group.map((call, index) => {
        const own = outcomes[index]
        return own?.[1] === true ? own : failure(call[0], storeError(error, database.path))
      })
    }
  }

  #giveUp(database: SqliteDatabase, unsynced: boolean): void {
    database.dropChanges(0)
    database.rollback()
    if (unsynced) database.endUnsynced()
  }

  /** One operation; with `fenced`, in a savepoint of its own, so that its failure undoes nothing of its neighbours. */
  async #runOne(database: SqliteDatabase, call: Call, fenced: boolean): Promise<Outcome> {
    const operation = this.#operation(call)
    if (operation === undefined) return failure(call[0], new Error(`the store has no operation ${call[3]}.${call[4]}`))
    const fence = fenced && operation.mode !== 'read'
    const published = database.published
    try {
      if (fence) database.fence()
      const result = await operation.run(database, call[5] as never)
      if (fence) database.endFence()
      return [call[0], false, result]
    } catch (error) {
      database.dropChanges(published)
      if (fence) database.undoFence()
      return failure(call[0], storeError(error, database.path))
    }
  }

  readonly #find = (store: string, name: string): Operation<never, unknown> | undefined =>
    this.#operations.get(`${store}.${name}`)

  #operation(call: Call | undefined): Operation<never, unknown> | undefined {
    return call && this.#find(call[3], call[4])
  }

  async #database(key: string, scale: Scale, name: string): Promise<SqliteDatabase> {
    let database = this.#open.get(key)
    if (database !== undefined) {
      this.#open.delete(key)
      this.#open.set(key, database)
      return database
    }
    const path = databasePath(this.#options.folder, scale, name)
    database = new SqliteDatabase(path, name)
    try {
      migrate(
        database,
        this.#options.definitions.filter((definition) => definition.scale === scale),
      )
    } catch (error) {
      database.close()
      throw storeError(error, path)
    }
    this.#open.set(key, database)
    this.#warmUp(database)
    if (this.#open.size > this.#options.open) {
      const [oldest] = this.#open.keys()
      if (oldest !== undefined) await this.#close(oldest)
    }
    return database
  }

  /** Pages of the database are about to be read, or were: one that has rested longest lets go of its own. */
  #warmUp(database: SqliteDatabase): void {
    this.#warm.delete(database)
    this.#warm.add(database)
    if (this.#warm.size <= WARM) return
    const [coldest] = this.#warm
    if (coldest === undefined) return
    this.#warm.delete(coldest)
    coldest.shrink()
  }

  async #close(key: string): Promise<void> {
    const database = this.#open.get(key)
    if (database === undefined) return
    // Should it fail, the journal has it for the next start.
    await this.#carryOut(key, database)
    this.#shut(key)
  }

  /** Closes a database of which nothing waits: SQLite takes its log into it, and syncs. */
  #shut(key: string): void {
    const database = this.#open.get(key)
    this.#open.delete(key)
    if (database !== undefined) this.#warm.delete(database)
    database?.close()
    this.#journal.release(key)
  }
}

function failure(id: number, error: unknown): Outcome {
  if (error instanceof StoreError) return [id, true, { code: error.code, message: error.message }]
  if (error instanceof Error)
    return [id, true, { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) }]
  return [id, true, { message: String(error) }]
}
