// What a store worker does: takes the operations that wait, groups them by database, and commits each group once.

import { appendFileSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Batch,
  type BatchOutcome,
  type Broken,
  type Call,
  failure,
  type Fault,
  faultOf,
  type Outcome,
  type RoundDone,
} from './calls.ts'
import type { Change, Operation, Scale, StoreDefinition } from './contracts.ts'
import { databasePath, Databases } from './databases.ts'
import { carryOut, journalStores, Waiting, WAITS } from './deferred.ts'
import { type Committed, Group, refused } from './group.ts'
import { type Entry, Journal, leftJournals, readJournal } from './journal.ts'
import { number, placesOf, scaleAndName, without } from './lines.ts'
import { free, memoryOf } from './moving.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'
import { Unsettled } from './unsettled.ts'

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

/** Databases that one round brings up to date for the journal's sake, beyond what it was asked for. */
const TIDIED_AT_ONCE = 4

/** The databases of one worker. Not re-entrant: one `run` at a time. */
export class Engine {
  readonly #options: EngineOptions
  readonly #operations = new Map<string, Map<string, Operation<never, unknown>>>()
  readonly #databases: Databases
  readonly #journal: Journal
  /** What is in the journal only, by database. */
  readonly #waiting = new Map<string, Waiting>()
  /** What is in the journal and in transactions that are not committed yet. */
  readonly #unsettled = new Map<SqliteDatabase, Unsettled>()
  /** Databases that could not be brought up to date, and when that is tried again. */
  readonly #postponed = new Map<string, number>()
  #seq = 0
  #broken: Broken[] = []

  constructor(options: EngineOptions) {
    this.#options = options
    this.#journal = new Journal(journalFolder(options.folder), options.run)
    this.#databases = new Databases(
      { ...options, definitions: [...options.definitions, ...journalStores] },
      {
        closing: (key, database) => this.#finish(key, database),
        cooling: (database) => this.#cool(database),
      },
      (key) => this.#journal.release(key),
    )
    for (const { name, operations } of options.definitions)
      this.#operations.set(name, new Map(Object.entries(operations)))
  }

  get openDatabases(): number {
    return this.#databases.size
  }

  /** Runs all calls: those on one database in their order and in one transaction with one sync. What was appended comes before them. Never rejects. */
  async run(calls: readonly Call[], now: number, batches: readonly Batch[] = []): Promise<RoundDone> {
    const outcomes: Outcome[] = []
    const returned: (Uint8Array | undefined)[] = []
    const changes: [Scale, string, Change][] = []
    const tell = ({ group, outcomes: done, changes: made }: Committed): void => {
      const [, scale, name] = group.calls[0] as Call
      outcomes.push(...done)
      for (const [index, [, failed, result]] of done.entries())
        if (!failed) returned.push(...(group.operation(group.calls[index])?.returned?.(result) ?? []))
      for (const change of made) changes.push([scale, name, change])
    }
    const groups = new Map<string, Group>()
    for (const call of calls) {
      const key = `${call[1]}/${call[2]}`
      let group = groups.get(key)
      if (group === undefined) groups.set(key, (group = new Group(key, this.#find)))
      group.calls.push(call)
    }
    const appending = await this.#appending(batches, now)
    // What is asked of a database behind an append finds it there, and safe: a round of its own.
    const behind = [...groups.values()].filter(({ key }) => appending.keys.has(key))
    for (const { key } of behind) groups.delete(key)
    await this.#round([...groups.values()], now, tell, appending)
    await this.#round(behind, now, tell)
    const broken = this.#broken
    this.#broken = []
    const moving = memoryOf(returned)
    // Megabytes that would lie here until V8 looks for them: an idle thread does not.
    for (const [, , , store, operation, args] of calls)
      for (const memory of memoryOf(this.#find(store, operation)?.given?.(args as never) ?? []))
        if (!moving.includes(memory)) free(memory)
    return { outcomes, batches: appending.outcomes, changes, broken, moving }
  }

  /** Runs groups, each on a database of its own, and makes safe what is appended. */
  async #round(
    groups: readonly Group[],
    now: number,
    tell: (committed: Committed) => void,
    appending?: Appending,
  ): Promise<void> {
    const appends = appending !== undefined && appending.keys.size > 0
    const alone = !appends && groups.filter((group) => group.isJournaled(false)).length === 1
    const entries: Entry[] = []
    const unsafe: Unsafe[] = []
    for (const group of groups) {
      const journaled = group.isJournaled(alone)
      let database: SqliteDatabase
      try {
        database = await this.#ready(group, journaled)
      } catch (error) {
        tell({ group, outcomes: group.calls.map(([id]) => failure(id, error)), changes: [] })
        continue
      }
      database.now = now
      this.#databases.warmUp(database)
      if (!journaled) {
        tell(await group.run(database))
        continue
      }
      const committed = await this.#runOpen(group, database)
      const own = this.#entriesOf(committed, now)
      if (own.length === 0) {
        // Nothing to be found in the journal, nothing to be committed.
        if (database.inTransaction && !this.#unsettled.has(database)) database.undo()
        tell(committed)
        continue
      }
      entries.push(...own)
      unsafe.push({ committed, database, entries: own })
    }
    if (!appends && entries.length === 0) return
    const keys = [...(appending?.keys ?? []), ...unsafe.map(({ committed }) => committed.group.key)]
    const fault = this.#write(appending?.octets ?? [], entries, keys)
    for (const one of unsafe)
      tell(fault === undefined ? await this.#journaled(one, now) : await this.#alone(one, fault))
    if (appending === undefined) return
    if (fault === undefined) await this.#keep(appending, now)
    else appending.refuse(fault)
  }

  /** The database of a group, with everything done that the group must find there. Throws what the disk says. */
  async #ready(group: Group, journaled: boolean): Promise<SqliteDatabase> {
    const { key, calls } = group
    const [, scale, name] = calls[0] as Call
    const database = await this.#databases.open(key, scale, name)
    const unsettled = this.#unsettled.get(database)
    // With a full disk, what is kept in memory must have an end; what is there can be read.
    if (unsettled !== undefined && !group.readsOnly && (!journaled || unsettled.enough)) await this.#settle(database)
    else if (unsettled?.undone === true) await this.#redo(database, unsettled)
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined && calls.some(([, , , store]) => waiting.stores.has(store)))
      await this.#carryOut(key, database)
    return database
  }

  /** Runs a group in the database's open transaction. Never rejects. */
  async #runOpen(group: Group, database: SqliteDatabase): Promise<Committed> {
    const unsettled = this.#unsettled.get(database)
    let committed = await group.runOpen(database, false)
    if (unsettled !== undefined && !database.inTransaction) unsettled.undone = true
    if (committed !== undefined) return committed
    try {
      await this.#settle(database)
    } catch (error) {
      return { group, outcomes: group.calls.map(([id]) => failure(id, error)), changes: [] }
    }
    committed = await group.runOpen(database, true)
    return committed ?? { group, outcomes: [], changes: [] }
  }

  #entriesOf({ group, outcomes }: Committed, now: number): readonly Entry[] {
    const entries: Entry[] = []
    for (const [index, call] of group.calls.entries()) {
      if (!group.writes(call) || outcomes[index]?.[1] !== false) continue
      const [, scale, name, store, operation, args] = call
      entries.push([++this.#seq, 'done', scale, name, store, operation, args, now])
    }
    return entries
  }

  /** What was done is safe: its transaction stays open as long as that is worth it. */
  async #journaled({ committed, database, entries }: Unsafe, now: number): Promise<Committed> {
    let unsettled = this.#unsettled.get(database)
    if (unsettled === undefined) {
      unsettled = new Unsettled(committed.group.key, now)
      this.#unsettled.set(database, unsettled)
    }
    unsettled.add(entries)
    // Should it fail now, it is tried again before the database's next call.
    if (unsettled.enough) await this.#settle(database).catch(() => {})
    return committed
  }

  /** Makes what was done safe in the database itself, as the journal could not be written, because of `fault`. */
  async #alone({ committed, database }: Unsafe, fault: Error): Promise<Committed> {
    try {
      if (!this.#unsettled.has(database)) database.commitUnsynced()
      // What was undone with it is in the journal, but this is not.
      else if (!(await this.#settle(database))) return refused(committed, fault)
      database.syncLog()
      return committed
    } catch (error) {
      if (database.inTransaction) database.undo()
      return refused(committed, storeError(error, database.path))
    }
  }

  /** Numbers the lines of the batches, and looks whether their databases can be had. */
  async #appending(batches: readonly Batch[], now: number): Promise<Appending> {
    const faults = new Map<string, Fault>()
    const keys = new Set<string>()
    for (const { octets } of batches) {
      const lines = asBuffer(octets)
      for (const { start, database } of placesOf(lines)) {
        number(lines, start, ++this.#seq, now)
        if (keys.has(database) || faults.has(database)) continue
        try {
          await this.#databases.open(database, ...scaleAndName(database))
          keys.add(database)
        } catch (error) {
          faults.set(database, faultOf(error))
        }
      }
    }
    const octets = batches.map((batch) => asBuffer(batch.octets))
    return new Appending(
      batches,
      faults.size === 0 ? octets : octets.map((lines) => without(lines, faults)),
      keys,
      faults,
    )
  }

  /** Keeps what is safe until it is carried out. */
  async #keep({ octets, keys }: Appending, now: number): Promise<void> {
    for (const lines of octets)
      for (const place of placesOf(lines)) {
        const key = place.database
        let waiting = this.#waiting.get(key)
        if (waiting === undefined) this.#waiting.set(key, (waiting = new Waiting(now)))
        waiting.add(lines, place)
      }
    for (const key of keys) {
      const database = this.#databases.peek(key)
      if (this.#waiting.get(key)?.enough === true && database !== undefined)
        // They are safe already: should it fail now, it is tried again with the next ones.
        await this.#carryOut(key, database).catch(() => {})
    }
  }

  /** Closes the account's database and removes its folder. */
  erase(account: string): void {
    const key = `account/${account}`
    this.#waiting.delete(key)
    const database = this.#databases.peek(key)
    if (database !== undefined) this.#unsettled.delete(database)
    this.#databases.erase(account)
  }

  async close(): Promise<void> {
    for (const key of this.#databases.keys) await this.#databases.close(key)
    this.#journal.close()
  }

  /** Brings some databases up to date that have waited long, or that an old file of the journal waits for; with `leisure`, any that the journal waits for. */
  async tidy(now: number, leisure: boolean): Promise<readonly Broken[]> {
    const due: string[] = []
    for (const [key, { since }] of this.#waiting) {
      if (due.length === TIDIED_AT_ONCE || now - since < WAITS) break
      due.push(key)
    }
    for (const { key, since } of this.#unsettled.values()) {
      if (due.length >= TIDIED_AT_ONCE || now - since < WAITS) break
      if (!due.includes(key)) due.push(key)
    }
    for (const key of this.#journal.needed(!leisure)) {
      if (due.length >= TIDIED_AT_ONCE) break
      // What waits has its own time.
      if ((leisure && this.#waits(key)) || due.includes(key)) continue
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
        const database = this.#databases.peek(key)
        const unsettled = database && this.#unsettled.get(database)
        if (database !== undefined && unsettled !== undefined) {
          this.#unsettled.delete(database)
          this.#unsettled.set(database, unsettled)
          unsettled.since = now
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
        const database = await this.#databases.open(key, scale, name)
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
  #write(lines: readonly Uint8Array[], entries: readonly Entry[], keys: Iterable<string>): Error | undefined {
    try {
      this.#journal.write(lines, entries, keys)
      return undefined
    } catch (error) {
      return storeError(error, journalFolder(this.#options.folder)) as Error
    }
  }

  /** True where something has its own time to be committed or carried out. */
  #waits(key: string): boolean {
    const database = this.#databases.peek(key)
    return this.#waiting.has(key) || (database !== undefined && this.#unsettled.has(database))
  }

  /** Commits what is open; where that cannot be, it is carried out again before the database is used. Never throws. */
  #cool(database: SqliteDatabase): void {
    const unsettled = this.#unsettled.get(database)
    if (unsettled === undefined || unsettled.undone) return
    try {
      unsettled.commit(database, this.#journal.run)
      this.#unsettled.delete(database)
    } catch {
      // It is undone, and in the journal.
    }
  }

  /** Commits what is open. What had to be undone is carried out again, and false is answered then. Throws what the disk says: the journal has it. */
  async #settle(database: SqliteDatabase): Promise<boolean> {
    this.#cool(database)
    const undone = this.#unsettled.get(database)
    if (undone === undefined) return true
    await this.#redo(database, undone)
    if (database.inTransaction) undone.commit(database, this.#journal.run)
    this.#unsettled.delete(database)
    return false
  }

  /** Carries out again what was undone, and leaves it open. Throws what the disk says. */
  async #redo(database: SqliteDatabase, unsettled: Unsettled): Promise<void> {
    await this.#fromJournal(database, unsettled.entries, true)
    unsettled.undone = false
  }

  /** Carries out what the journal has. Throws what the disk says. */
  async #fromJournal(database: SqliteDatabase, entries: readonly Entry[], open = false): Promise<void> {
    try {
      this.#complain(await carryOut(database, this.#find, this.#journal, entries, open))
    } catch (error) {
      throw storeError(error, database.path)
    }
  }

  /** Commits and carries out everything that there is for the database. */
  async #finish(key: string, database: SqliteDatabase): Promise<void> {
    await this.#settle(database)
    await this.#carryOut(key, database)
  }

  async #carryOut(key: string, database: SqliteDatabase): Promise<void> {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    await this.#settle(database)
    this.#databases.warmUp(database)
    await this.#fromJournal(database, waiting.entries)
    this.#waiting.delete(key)
  }

  async #bringUpToDate(key: string): Promise<void> {
    const [scale, name] = scaleAndName(key)
    const database = await this.#databases.open(key, scale, name)
    await this.#finish(key, database)
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

  readonly #find = (store: string, name: string): Operation<never, unknown> | undefined =>
    this.#operations.get(store)?.get(name)
}

/** What was done in a database and is not safe yet. */
interface Unsafe {
  readonly committed: Committed
  readonly database: SqliteDatabase
  readonly entries: readonly Entry[]
}

/** What a round is to append. */
class Appending {
  readonly octets: readonly Buffer[]
  /** The databases that take it. */
  readonly keys: ReadonlySet<string>
  readonly #batches: readonly Batch[]
  readonly #faults: readonly (readonly [database: string, fault: Fault])[]
  #refused: Fault | undefined

  constructor(
    batches: readonly Batch[],
    octets: readonly Buffer[],
    keys: ReadonlySet<string>,
    faults: ReadonlyMap<string, Fault>,
  ) {
    this.#batches = batches
    this.octets = octets
    this.keys = keys
    this.#faults = [...faults]
  }

  /** Nothing of it is safe. */
  refuse(error: Error): void {
    this.#refused = faultOf(error)
  }

  get outcomes(): readonly BatchOutcome[] {
    const refused = this.#refused
    const faults =
      refused === undefined ? this.#faults : [...this.#faults, ...[...this.keys].map((key) => [key, refused] as const)]
    return this.#batches.map(({ id }) => ({ id, faults }))
  }
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, byteLength)
