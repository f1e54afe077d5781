// The calls of one round on one database: one transaction.

import type { Call, Outcome } from './calls.ts'
import { failure } from './calls.ts'
import { type Change, type Operation, StoreError } from './contracts.ts'
import { type Operations, sizeOf } from './deferred.ts'
import type { Entry } from './journal.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'

/** Octets of arguments that are rather synced in their database than written twice; of those that share their sync with nobody. */
const TWICE = 512 * 1024
const TWICE_ALONE = 64 * 1024

/** What was done in one database. */
export interface Committed {
  readonly group: Group
  readonly outcomes: readonly Outcome[]
  readonly changes: readonly Change[]
}

/** The calls by their databases, those of each in their order. */
export function groupsOf(calls: readonly Call[], operations: Operations, now: number): Map<string, Group> {
  const groups = new Map<string, Group>()
  for (const call of calls) {
    const key = `${call[1]}/${call[2]}`
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = new Group(key, operations, now)))
    group.calls.push(call)
  }
  return groups
}

export class Group {
  readonly key: string
  readonly calls: Call[] = []
  readonly #operations: Operations
  readonly #now: number

  constructor(key: string, operations: Operations, now: number) {
    this.key = key
    this.#operations = operations
    this.#now = now
  }

  operation(call: Call | undefined): Operation<never, unknown> | undefined {
    return call && this.#operations(call[3], call[4])
  }

  /** True for a call that changes something. */
  writes(call: Call): boolean {
    return this.operation(call)?.mode !== 'read'
  }

  get readsOnly(): boolean {
    return !this.calls.some((call) => this.writes(call))
  }

  /** True for a group that the journal can make safe: it writes, and not so much that writing it twice would cost more than a sync. `alone`: nobody shares that. */
  isJournaled(alone: boolean): boolean {
    if (this.calls[0]?.[1] === 'core' || this.#isDerived) return false
    let size = 0
    for (const call of this.calls) {
      if (!this.writes(call)) continue
      // What moves is gone when the call is over: it cannot be carried out again.
      if (this.operation(call)?.given !== undefined) return false
      size += sizeOf(this.#needed(call))
    }
    return size <= (alone ? TWICE_ALONE : TWICE)
  }

  /** The arguments that the journal keeps. */
  #needed(call: Call): unknown {
    const operation = this.operation(call)
    return operation?.needed === undefined ? call[5] : operation.needed(call[5] as never)
  }

  /** True for a group that writes only what can be made anew, or nothing. */
  get #isDerived(): boolean {
    return this.calls.every((call) => !this.writes(call) || this.operation(call)?.derived === true)
  }

  /** What the journal is to have of it when that was its outcome; `next` numbers it. */
  entries(outcomes: readonly Outcome[], next: () => number): readonly Entry[] {
    const entries: Entry[] = []
    for (const [index, call] of this.calls.entries()) {
      if (!this.writes(call) || outcomes[index]?.[1] !== false) continue
      const [, scale, name, store, operation] = call
      entries.push([next(), 'done', scale, name, store, operation, this.#needed(call), this.#now])
    }
    return entries
  }

  /** Runs the group in a transaction of its own, which is safe from power loss at the end, unless it can all be made anew. Never rejects. */
  async run(database: SqliteDatabase): Promise<Committed> {
    database.now = this.#now
    return this.#done(database, await this.#run(database))
  }

  /**
   * Runs the group in the transaction that is open, or begins one, and leaves it open: the journal makes it safe. Without fences, a write that fails undoes the whole
   * transaction: then undefined is answered where others were undone with it that may be tried again. Never rejects.
   */
  async runOpen(database: SqliteDatabase, fenced: boolean): Promise<Committed | undefined> {
    const outcomes: Outcome[] = []
    database.now = this.#now
    try {
      if (!database.inTransaction) database.beginUnsynced()
      if (!(await this.#runAll(database, fenced, outcomes))) {
        database.undo()
        return this.calls.length === 1 ? this.#done(database, outcomes) : undefined
      }
    } catch (error) {
      database.undo()
      return this.#done(database, this.#failed(database, outcomes, error))
    }
    return this.#done(database, outcomes)
  }

  #done(database: SqliteDatabase, outcomes: readonly Outcome[]): Committed {
    return { group: this, outcomes, changes: database.takeChanges() }
  }

  async #run(database: SqliteDatabase): Promise<readonly Outcome[]> {
    if (this.readsOnly) {
      const outcomes: Outcome[] = []
      for (const call of this.calls) outcomes.push(await this.#runOne(database, call, false))
      return outcomes
    }
    // Fences cost more than they seem: SQLite keeps a copy of every page for them, and each statement pays for the copies that are there already. Most
    // groups need none; in one that does, everything runs once more.
    return (await this.#transact(database, false)) ?? this.#transact(database, true)
  }

  /** Runs the group in one transaction. Without fences, a write that fails undoes its neighbours too: then undefined is answered, and nothing was done. */
  async #transact<Fenced extends boolean>(
    database: SqliteDatabase,
    fenced: Fenced,
  ): Promise<readonly Outcome[] | (Fenced extends true ? never : undefined)> {
    const outcomes: Outcome[] = []
    const unsynced = this.#isDerived
    const giveUp = (): void => {
      if (unsynced) return database.undo()
      database.dropChanges(0)
      database.rollback()
    }
    try {
      if (unsynced) database.beginUnsynced()
      else database.begin()
      if (!(await this.#runAll(database, fenced, outcomes))) {
        giveUp()
        // A single operation that failed leaves nothing worth a sync.
        return this.calls.length === 1 ? outcomes : (undefined as Fenced extends true ? never : undefined)
      }
      if (unsynced) database.commitUnsynced()
      else database.commit()
      return outcomes
    } catch (error) {
      giveUp()
      return this.#failed(database, outcomes, error)
    }
  }

  /** Runs the calls one after the other; false as soon as a write fails that has no fence. Throws where the transaction is over before its time. */
  async #runAll(database: SqliteDatabase, fenced: boolean, outcomes: Outcome[]): Promise<boolean> {
    for (const call of this.calls) {
      const outcome = await this.#runOne(database, call, fenced)
      outcomes.push(outcome)
      if (outcome[1] && !fenced && this.writes(call)) return false
    }
    // A full disk may have ended the transaction already.
    if (!database.inTransaction)
      throw new StoreError('unavailable', `${database.path}: the transaction was rolled back`)
    return true
  }

  /** What failed by itself keeps its own reason, all others did not become durable. */
  #failed(database: SqliteDatabase, outcomes: readonly Outcome[], error: unknown): readonly Outcome[] {
    return this.calls.map((call, index) => {
      const own = outcomes[index]
      return own?.[1] === true ? own : failure(call[0], storeError(error, database.path))
    })
  }

  /** One operation; with `fenced`, in a savepoint of its own, so that its failure undoes nothing of its neighbours. */
  async #runOne(database: SqliteDatabase, call: Call, fenced: boolean): Promise<Outcome> {
    const operation = this.operation(call)
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
}

/** The group, had its changes not become durable. */
export function refused({ group }: Committed, error: unknown): Committed {
  return { group, outcomes: group.calls.map(([id]) => failure(id, error)), changes: [] }
}
