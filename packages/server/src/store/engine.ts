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
import { type Committed, Group, syncedAlone } from './group.ts'
import { type Entry, Journal, leftJournals, readJournal } from './journal.ts'
import { number, placesOf, scaleAndName, without } from './lines.ts'
import { free, memoryOf } from './moving.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'

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
  /** Databases that could not be brought up to date, and when that is tried again. */
  readonly #postponed = new Map<string, number>()
  #seq = 0
  #broken: Broken[] = []

  constructor(options: EngineOptions) {
    this.#options = options
    this.#journal = new Journal(journalFolder(options.folder), options.run)
    this.#databases = new Databases(
      { ...options, definitions: [...options.definitions, ...journalStores] },
      (key, database) => this.#carryOut(key, database),
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
    // Those that are open first: where more accounts are in use than may be open, each round would else close those that it is about to need.
    const open = [...groups.values()].filter(({ key }) => this.#databases.peek(key) !== undefined)
    for (const { key } of open) groups.delete(key)
    await this.#round([...open, ...groups.values()], now, tell, appending)
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
    // One sync for many databases instead of one for each; a database that is alone is its own journal.
    const appends = appending !== undefined && appending.keys.size > 0
    const journaled = groups.filter(({ isJournaled }) => isJournaled).length > (appends ? 0 : 1)
    const entries: Entry[] = []
    const unsynced: [Committed, SqliteDatabase][] = []
    for (const group of groups) {
      const { key, calls } = group
      const [, scale, name] = calls[0] as Call
      let database: SqliteDatabase
      try {
        database = await this.#databases.open(key, scale, name)
        const waiting = this.#waiting.get(key)
        if (waiting !== undefined && calls.some(([, , , store]) => waiting.stores.has(store)))
          await this.#carryOut(key, database)
      } catch (error) {
        tell({ group, outcomes: calls.map(([id]) => failure(id, error)), changes: [] })
        continue
      }
      database.now = now
      this.#databases.warmUp(database)
      if (!journaled || !group.isJournaled) {
        tell(await group.run(database))
        continue
      }
      const committed = await group.run(database, { run: this.#journal.run, seq: this.#seq })
      for (const [index, call] of calls.entries())
        if (group.writes(call) && committed.outcomes[index]?.[1] === false)
          entries.push([++this.#seq, 'done', scale, name, call[3], call[4], call[5], now])
      unsynced.push([committed, database])
    }
    if (!appends && entries.length === 0) {
      for (const [committed] of unsynced) tell(committed)
      return
    }
    const keys = [...(appending?.keys ?? []), ...unsynced.map(([{ group }]) => group.key)]
    const fault = this.#write(appending?.octets ?? [], entries, keys)
    for (const [committed, database] of unsynced)
      tell(fault === undefined ? committed : syncedAlone(committed, database))
    if (appending === undefined) return
    if (fault === undefined) await this.#keep(appending, now)
    else appending.refuse(fault)
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
    this.#waiting.delete(`account/${account}`)
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

  async #carryOut(key: string, database: SqliteDatabase): Promise<void> {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    this.#databases.warmUp(database)
    this.#complain(await carryOut(database, this.#find, this.#journal, waiting.entries))
    this.#waiting.delete(key)
  }

  async #bringUpToDate(key: string): Promise<void> {
    const [scale, name] = scaleAndName(key)
    const database = await this.#databases.open(key, scale, name)
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

  readonly #find = (store: string, name: string): Operation<never, unknown> | undefined =>
    this.#operations.get(store)?.get(name)
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
