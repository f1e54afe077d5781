// What a store worker does: takes the operations that wait, groups them by database, and commits each group once.

import { type Batch, type Broken, type Call, failure, type Outcome, type RoundDone } from './calls.ts'
import { type Change, type Operation, type Scale, type StoreDefinition, StoreError } from './contracts.ts'
import { Appending } from './appending.ts'
import { Databases } from './databases.ts'
import { carryOut, journalStores, markApplied, WaitingLines } from './deferred.ts'
import { type Committed, type Group, groupsOf, refused } from './group.ts'
import { type Entry, Journal } from './journal.ts'
import { placesOf, scaleAndName } from './lines.ts'
import { free, memoryOf } from './moving.ts'
import { carryOutHeld, Complaints, dropHeld, journalFolder, replay } from './replay.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'
import { OpenTransactions } from './unsettled.ts'
import { Upkeep } from './upkeep.ts'

export interface EngineOptions {
  /** The data folder. */
  readonly folder: string
  readonly definitions: readonly StoreDefinition[]
  /** Databases held open at the same time. */
  readonly open: number
  /** A name that no engine had before: of its journal. */
  readonly run: string
}

/** Databases of which calls share one sync of the journal: all of them are open then, with what is not committed in memory. */
const AT_ONCE = 256

/** The databases of one worker. Not re-entrant: one `run` at a time. */
export class Engine {
  readonly #options: EngineOptions
  readonly #operations = new Map<string, Map<string, Operation<never, unknown>>>()
  readonly #databases: Databases
  readonly #journal: Journal
  readonly #complaints: Complaints
  /** What is in the journal only. */
  readonly #waiting = new WaitingLines()
  /** What is in the journal and in transactions that are not committed yet. */
  readonly #open: OpenTransactions
  /** Databases whose open transaction is worth a commit: when what was asked is answered. */
  readonly #ripe = new Set<string>()
  /** Databases in which something was done that is not in the journal yet: they keep their transaction. */
  readonly #held = new Set<SqliteDatabase>()
  /** Databases that were committed, but could not be synced, with something that is not in the journal: nothing may be built on that. */
  readonly #unsynced = new Set<SqliteDatabase>()
  /** Databases that were erased, and when, which the journal does not know yet. */
  readonly #erased = new Map<string, number>()
  readonly #upkeep: Upkeep
  #seq = 0

  constructor(options: EngineOptions) {
    const { folder, definitions, run } = options
    this.#options = options
    this.#complaints = new Complaints(folder)
    this.#journal = new Journal(journalFolder(folder), run)
    this.#open = new OpenTransactions(run, (database, entries) => this.#fromJournal(database, entries, true))
    this.#databases = new Databases(
      { ...options, definitions: [...definitions, ...journalStores] },
      {
        opening: (key) => this.#markErased(key),
        opened: (key, database) => carryOutHeld(folder, key, database, this.#find, this.#complaints),
        closing: (key, database) => this.#finish(key, database),
        cooling: (database) => this.#open.cool(database),
        held: (database) => this.#held.has(database),
      },
      (key) => this.#journal.release(key),
    )
    this.#upkeep = new Upkeep({
      waiting: this.#waiting,
      open: this.#open,
      journal: this.#journal,
      databases: this.#databases,
      complaints: this.#complaints,
      bringUpToDate: (key) => this.#bringUpToDate(key),
    })
    for (const { name, operations } of definitions) this.#operations.set(name, new Map(Object.entries(operations)))
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
    const groups = groupsOf(calls, this.#find, now)
    const appending = await Appending.of(
      batches,
      now,
      () => ++this.#seq,
      (key) => this.#takesLines(key),
    )
    // What is asked of a database behind an append finds it there, and safe: a round of its own.
    const behind = [...groups.values()].filter(({ key }) => appending.keys.has(key))
    for (const { key } of behind) groups.delete(key)
    // Those that are open first: where more accounts are in use than may be open, each round would else close those that it is about to need.
    const open = [...groups.values()].filter(({ key }) => this.#databases.peek(key) !== undefined)
    for (const { key } of open) groups.delete(key)
    await this.#rounds([...open, ...groups.values()], now, tell, appending)
    await this.#rounds(behind, now, tell)
    await this.#upkeep.relieve(now)
    const moving = memoryOf(returned)
    // Megabytes that would lie here until V8 looks for them: an idle thread does not.
    for (const [, , , store, operation, args] of calls)
      for (const memory of memoryOf(this.#find(store, operation)?.given?.(args as never) ?? []))
        if (!moving.includes(memory)) free(memory)
    return { outcomes, batches: appending.outcomes, changes, broken: this.#complaints.take(), moving }
  }

  /** Runs groups, each on a database of its own, and makes safe what is appended: as many at a time as can be open beside the core database. */
  async #rounds(
    groups: readonly Group[],
    now: number,
    tell: (committed: Committed) => void,
    appending?: Appending,
  ): Promise<void> {
    const most = Math.min(AT_ONCE, this.#options.open - 1)
    await this.#round(groups.slice(0, most), now, tell, appending)
    for (let at = most; at < groups.length; at += most) await this.#round(groups.slice(at, at + most), now, tell)
  }

  /** One sync of the journal. Until it is done, the databases of the groups stay open, and their transactions too. */
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
      this.#databases.warmUp(database)
      if (!journaled) {
        tell(await group.run(database))
        this.#open.look(database)
        continue
      }
      const committed = await this.#runOpen(group, database)
      const own = group.entries(committed.outcomes, () => ++this.#seq)
      if (own.length === 0) {
        // Nothing to be found in the journal, nothing to be committed.
        if (database.inTransaction && this.#open.get(database) === undefined) database.undo()
        tell(committed)
        continue
      }
      for (const entry of own) entries.push(entry)
      unsafe.push({ committed, database, entries: own })
      this.#held.add(database)
    }
    if (!appends && entries.length === 0) return
    const keys = [...(appending?.keys ?? []), ...unsafe.map(({ committed }) => committed.group.key)]
    const fault = this.#write(appending?.octets ?? [], entries, keys)
    for (const one of unsafe) {
      tell(fault === undefined ? this.#journaled(one, now) : await this.#alone(one, fault))
      this.#held.delete(one.database)
    }
    this.#databases.cool()
    if (appending === undefined) return
    if (fault === undefined) await this.#keep(appending, now)
    else appending.refuse(fault)
  }

  /** The database of a group, with everything done that the group must find there. Throws what the disk says. */
  async #ready(group: Group, journaled: boolean): Promise<SqliteDatabase> {
    const { key, calls } = group
    const [scale, name] = scaleAndName(key)
    const database = await this.#databases.open(key, scale, name)
    if (!group.readsOnly && this.#unsynced.has(database)) this.#sync(database)
    // What the journal could not take, and did not let go of, must not come after what is done now.
    if (!group.readsOnly && !journaled && scale !== 'core') this.#mend()
    const unsettled = this.#open.get(database)
    if (journaled && unsettled === undefined && this.#upkeep.isFull) throw tooMuch()
    // With a full disk, what is kept in memory must have an end; what is there can be read.
    if (unsettled !== undefined && !group.readsOnly && (!journaled || unsettled.enough || this.#upkeep.isFull))
      await this.#open.settle(database)
    else await this.#open.redo(database)
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined && calls.some(([, , , store]) => waiting.stores.has(store)))
      await this.#carryOut(key, database)
    return database
  }

  /** Looks whether the database takes lines. Throws what the disk says. */
  async #takesLines(key: string): Promise<void> {
    if (this.#upkeep.isFull) throw tooMuch()
    const database = await this.#databases.open(key, ...scaleAndName(key))
    if (this.#unsynced.has(database)) this.#sync(database)
    if (this.#waiting.get(key)?.enough === true) await this.#carryOut(key, database)
  }

  /** Runs a group in the database's open transaction. Never rejects. */
  async #runOpen(group: Group, database: SqliteDatabase): Promise<Committed> {
    let committed = await group.runOpen(database, false)
    this.#open.look(database)
    if (committed !== undefined) return committed
    try {
      await this.#open.settle(database)
    } catch (error) {
      return { group, outcomes: group.calls.map(([id]) => failure(id, error)), changes: [] }
    }
    committed = await group.runOpen(database, true)
    return committed ?? { group, outcomes: [], changes: [] }
  }

  /** What was done is safe: its transaction stays open as long as that is worth it. */
  #journaled({ committed, database, entries }: Unsafe, now: number): Committed {
    const { key } = committed.group
    // Who asked need not wait for the commit.
    if (this.#open.add(database, key, now, entries).enough) this.#ripe.add(key)
    return committed
  }

  /** Makes what was done safe in the database itself, as the journal could not be written, because of `fault`. What reached the journal even so is not carried out again. */
  async #alone({ committed, database, entries }: Unsafe, fault: Error): Promise<Committed> {
    const last = entries.at(-1)?.[0] ?? 0
    try {
      if (this.#open.get(database) === undefined) {
        markApplied(database, this.#journal.run, 'done', last)
        database.commitUnsynced()
      } else if (!(await this.#open.settle(database, last)))
        // What was undone with it is in the journal, but this is not.
        return refused(committed, fault)
      this.#unsynced.add(database)
      this.#sync(database)
      return committed
    } catch (error) {
      if (database.inTransaction) database.undo()
      return refused(committed, storeError(error, database.path))
    }
  }

  /** Throws what the disk says. */
  #sync(database: SqliteDatabase): void {
    try {
      database.syncLog()
      this.#unsynced.delete(database)
    } catch (error) {
      throw storeError(error, database.path)
    }
  }

  /** Keeps what is safe until it is carried out. */
  async #keep({ octets, keys }: Appending, now: number): Promise<void> {
    for (const lines of octets) for (const place of placesOf(lines)) this.#waiting.add(lines, place, now)
    for (const key of keys) {
      const database = this.#databases.peek(key)
      if (this.#waiting.get(key)?.enough === true && database !== undefined)
        // They are safe already: should it fail now, it is tried again with the next ones.
        await this.#carryOut(key, database).catch(() => {})
    }
  }

  /** Closes the account's database and removes its folder; returns when it stays gone. Throws what the disk says. */
  erase(account: string, now: number): void {
    const key = `account/${account}`
    const database = this.#databases.peek(key)
    this.#waiting.forget(key)
    if (database !== undefined) {
      this.#open.forget(database)
      this.#unsynced.delete(database)
    }
    try {
      this.#databases.erase(account, `${this.#journal.run}-${++this.#seq}`)
      dropHeld(this.#options.folder, key)
      this.#erased.set(key, now)
      this.#markErased(key)
    } catch (error) {
      throw storeError(error, key)
    }
  }

  /** Should there be an account of that name again, what was done in the one that was erased is not done there. Throws what the disk says: there cannot be one then. */
  #markErased(key: string): void {
    const at = this.#erased.get(key)
    if (at === undefined) return
    const [scale, name] = scaleAndName(key)
    if (this.#journal.files > 0)
      this.#journal.write([], [[++this.#seq, 'erased', scale, name, '', '', undefined, at]], [])
    this.#erased.delete(key)
    this.#journal.release(key)
  }

  /** Closes all databases. Throws where one could not be brought up to date: the journal has it for the next start. */
  async close(): Promise<void> {
    const faults = await this.#databases.closeAll()
    this.#journal.close()
    if (faults.length > 0) throw faults[0]
  }

  /** Does what waits to be done in some databases (`Upkeep`). */
  async tidy(now: number, leisure: boolean): Promise<readonly Broken[]> {
    for (const key of this.#ripe) {
      const database = this.#databases.peek(key)
      // Should it fail now, it is tried again before the database's next call.
      if (database !== undefined) await this.#open.settle(database).catch(() => {})
    }
    this.#ripe.clear()
    await this.#upkeep.tidy(now, leisure)
    return this.#complaints.take()
  }

  /** Carries out what journals of engines that died hold, and deletes them; those of one run, or all. Nothing else may have been done with their databases. */
  async replay(run?: string): Promise<readonly Broken[]> {
    await replay(this.#options.folder, this.#databases, this.#find, this.#complaints, run)
    return this.#complaints.take()
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

  /** Throws what the disk says. */
  #mend(): void {
    try {
      this.#journal.mend()
    } catch (error) {
      throw storeError(error, journalFolder(this.#options.folder))
    }
  }

  /** Carries out what the journal has. Throws what the disk says. */
  async #fromJournal(database: SqliteDatabase, entries: readonly Entry[], open = false): Promise<void> {
    try {
      this.#complaints.putAside(await carryOut(database, this.#find, this.#journal, entries, open))
    } catch (error) {
      throw storeError(error, database.path)
    }
  }

  /** Commits and carries out everything that there is for the database. */
  async #finish(key: string, database: SqliteDatabase): Promise<void> {
    await this.#open.settle(database)
    await this.#carryOut(key, database)
    if (this.#unsynced.has(database)) this.#sync(database)
  }

  async #carryOut(key: string, database: SqliteDatabase): Promise<void> {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    await this.#open.settle(database)
    this.#databases.warmUp(database)
    await this.#fromJournal(database, waiting.entries)
    this.#waiting.forget(key)
  }

  async #bringUpToDate(key: string): Promise<void> {
    if (this.#erased.has(key)) return this.#markErased(key)
    const database = await this.#databases.open(key, ...scaleAndName(key))
    await this.#finish(key, database)
    database.syncLog()
    this.#journal.release(key)
  }

  readonly #find = (store: string, name: string): Operation<never, unknown> | undefined =>
    this.#operations.get(store)?.get(name)
}

const tooMuch = (): StoreError => new StoreError('unavailable', 'too much waits for the databases: is a disk full?')

/** What was done in a database and is not safe yet. */
interface Unsafe {
  readonly committed: Committed
  readonly database: SqliteDatabase
  readonly entries: readonly Entry[]
}
