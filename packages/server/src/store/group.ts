// The calls of one round on one database: one transaction, one commit.

import type { Call, Outcome } from './calls.ts'
import { failure } from './calls.ts'
import { type Change, type Operation, StoreError } from './contracts.ts'
import { markApplied, type Operations, sizeOf } from './deferred.ts'
import { type SqliteDatabase, storeError } from './sqlite.ts'

/** Octets of arguments that are rather synced in their database than written twice. */
const TWICE = 512 * 1024

/** What was done in one database. */
export interface Committed {
  readonly group: Group
  readonly outcomes: readonly Outcome[]
  readonly changes: readonly Change[]
}

export class Group {
  readonly key: string
  readonly calls: Call[] = []
  readonly #operations: Operations

  constructor(key: string, operations: Operations) {
    this.key = key
    this.#operations = operations
  }

  operation(call: Call | undefined): Operation<never, unknown> | undefined {
    return call && this.#operations(call[3], call[4])
  }

  /** True for a call that changes something. */
  writes(call: Call): boolean {
    return this.operation(call)?.mode !== 'read'
  }

  /** True for a group that the journal can make safe: it writes, and not so much that writing it twice would cost more than a sync. */
  get isJournaled(): boolean {
    if (this.calls[0]?.[1] === 'core') return false
    let writes = false
    let size = 0
    for (const call of this.calls) {
      if (!this.writes(call)) continue
      writes = true
      size += sizeOf(call[5])
    }
    return writes && size <= TWICE
  }

  /** Runs the group. With `journal`, the sync is left to that, and the database remembers that these calls are in it. Never rejects. */
  async run(database: SqliteDatabase, journal?: { readonly run: string; readonly seq: number }): Promise<Committed> {
    const outcomes = await this.#run(database, journal)
    return { group: this, outcomes, changes: database.takeChanges() }
  }

  async #run(database: SqliteDatabase, journal?: { readonly run: string; readonly seq: number }) {
    if (!this.calls.some((call) => this.writes(call))) {
      const outcomes: Outcome[] = []
      for (const call of this.calls) outcomes.push(await this.#runOne(database, call, false))
      return outcomes
    }
    // Fences cost more than they seem: SQLite keeps a copy of every page for them, and each statement pays for the copies that are there already. Most
    // groups need none; in one that does, everything runs once more.
    return (await this.#transact(database, false, journal)) ?? this.#transact(database, true, journal)
  }

  /** Runs the group in one transaction. Without fences, a write that fails undoes its neighbours too: then undefined is answered, and nothing was done. */
  async #transact<Fenced extends boolean>(
    database: SqliteDatabase,
    fenced: Fenced,
    journal?: { readonly run: string; readonly seq: number },
  ): Promise<readonly Outcome[] | (Fenced extends true ? never : undefined)> {
    const { calls } = this
    const outcomes: Outcome[] = []
    const giveUp = (): void => {
      database.dropChanges(0)
      if (database.inTransaction) database.rollback()
      if (journal !== undefined) database.endUnsynced()
    }
    try {
      if (journal === undefined) database.begin()
      else database.beginUnsynced()
      for (const call of calls) {
        const outcome = await this.#runOne(database, call, fenced)
        outcomes.push(outcome)
        if (!outcome[1] || fenced || !this.writes(call)) continue
        giveUp()
        // A single operation that failed leaves nothing worth a sync.
        return calls.length === 1 ? outcomes : (undefined as Fenced extends true ? never : undefined)
      }
      // A full disk may have ended the transaction already.
      if (!database.inTransaction)
        throw new StoreError('unavailable', `${database.path}: the transaction was rolled back`)
      if (journal === undefined) database.commit()
      else {
        const written = calls.filter((call, at) => !outcomes[at]?.[1] && this.writes(call))
        // All that failed leaves nothing to be found in the journal.
        if (written.length > 0) markApplied(database, journal.run, 'done', journal.seq + written.length)
        database.commitUnsynced()
      }
      return outcomes
    } catch (error) {
      giveUp()
      // What failed by itself keeps its own reason, all others did not become durable.
      return calls.map((call, index) => {
        const own = outcomes[index]
        return own?.[1] === true ? own : failure(call[0], storeError(error, database.path))
      })
    }
  }

  /** One operation; with `fenced`, in a savepoint of its own, so that its failure undoes nothing of its neighbours. */
  async #runOne(database: SqliteDatabase, call: Call, fenced: boolean): Promise<Outcome> {
    const operation = this.operation(call)
    if (operation === undefined) return failure(call[0], new Error(`the store has no operation ${call[3]}.${call[4]}`))
    const fence = fenced && operation.mode !== 'read'
    const published = database.published
    try {
      if (fence) database.run('SAVEPOINT one')
      const result = await operation.run(database, call[5] as never)
      if (fence) database.run('RELEASE one')
      return [call[0], false, result]
    } catch (error) {
      database.dropChanges(published)
      if (fence && database.inTransaction) database.script('ROLLBACK TO one; RELEASE one')
      return failure(call[0], storeError(error, database.path))
    }
  }
}

/** Syncs the database itself, as the journal could not be written. */
export function syncedAlone(committed: Committed, database: SqliteDatabase): Committed {
  try {
    database.syncLog()
    return committed
  } catch (error) {
    const fault = storeError(error, database.path)
    const { group } = committed
    return { group, outcomes: group.calls.map(([id]) => failure(id, fault)), changes: [] }
  }
}
