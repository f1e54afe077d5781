// What a store worker does: takes the operations that wait, groups them by database, and commits each group once.

import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Change, Operation, Scale, StoreDefinition } from './contracts.ts'
import { StoreError } from './contracts.ts'
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
}

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/

/** Where a database lives in the data folder. Account ids are spread over folders, so that none grows to many thousands of entries. */
export function databasePath(folder: string, scale: Scale, database: string): string {
  if (!NAME.test(database)) throw new StoreError('invalid-name', `'${database}' cannot name a database`)
  if (scale === 'core') return join(folder, 'core.db')
  if (scale === 'service') return join(folder, 'services', `${database}.db`)
  return join(folder, 'accounts', database.slice(-2), database, 'account.db')
}

/** The databases of one worker. Not re-entrant: one `run` at a time. */
export class Engine {
  readonly #options: EngineOptions
  readonly #operations = new Map<string, Operation<never, unknown>>()
  /** Least recently used first. */
  readonly #open = new Map<string, SqliteDatabase>()

  constructor(options: EngineOptions) {
    this.#options = options
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
    for (const call of calls) {
      const key = `${call[1]}/${call[2]}`
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [call])
      else group.push(call)
    }
    for (const [key, group] of groups) {
      const [, scale, name] = group[0] as Call
      let database: SqliteDatabase
      try {
        database = this.#database(key, scale, name)
      } catch (error) {
        for (const [id] of group) outcomes.push(failure(id, error))
        continue
      }
      database.now = now
      const done = await this.#runGroup(database, group)
      outcomes.push(...done)
      for (const [index, [, failed, result]] of done.entries())
        if (!failed) returned.push(...(this.#operation(group[index])?.returned?.(result) ?? []))
      for (const change of database.takeChanges()) changes.push([scale, name, change])
    }
    const moving = memoryOf(returned)
    // Megabytes that would lie here until V8 looks for them: an idle thread does not.
    for (const call of calls)
      for (const memory of memoryOf(this.#operation(call)?.given?.(call[5] as never) ?? []))
        if (!moving.includes(memory)) free(memory)
    return { outcomes, changes, moving }
  }

  /** Closes the account's database and removes its folder. */
  erase(account: string): void {
    this.#close(`account/${account}`)
    rmSync(dirname(databasePath(this.#options.folder, 'account', account)), { recursive: true, force: true })
  }

  close(): void {
    for (const key of this.#open.keys()) this.#close(key)
  }

  async #runGroup(database: SqliteDatabase, group: readonly Call[]): Promise<readonly Outcome[]> {
    const writes = group.reduce((count, call) => count + (this.#operation(call)?.mode === 'write' ? 1 : 0), 0)
    if (writes === 0) {
      const outcomes: Outcome[] = []
      for (const call of group) outcomes.push(await this.#runOne(database, call, false))
      return outcomes
    }
    // Fences cost more than they seem: SQLite keeps a copy of every page for them, and each statement pays for the copies that are there already. Most
    // groups need none; in one that does, everything runs once more.
    return (await this.#transact(database, group, false)) ?? this.#transact(database, group, true)
  }

  /** Runs the group in one transaction. Without fences, a write that fails undoes its neighbours too: then undefined is answered, and nothing was done. */
  async #transact<Fenced extends boolean>(
    database: SqliteDatabase,
    group: readonly Call[],
    fenced: Fenced,
  ): Promise<readonly Outcome[] | (Fenced extends true ? never : undefined)> {
    const outcomes: Outcome[] = []
    try {
      database.begin()
      for (const call of group) {
        const outcome = await this.#runOne(database, call, fenced)
        outcomes.push(outcome)
        if (!outcome[1] || fenced || this.#operation(call)?.mode !== 'write') continue
        database.dropChanges(0)
        if (database.inTransaction) database.rollback()
        // A single operation that failed leaves nothing worth a sync.
        return group.length === 1 ? outcomes : (undefined as Fenced extends true ? never : undefined)
      }
      // A full disk may have ended the transaction already.
      if (!database.inTransaction)
        throw new StoreError('unavailable', `${database.path}: the transaction was rolled back`)
      database.commit()
      return outcomes
    } catch (error) {
      database.dropChanges(0)
      if (database.inTransaction) database.rollback()
      // What failed by itself keeps its own reason, all others did not become durable.
      return group.map((call, index) => {
        const own = outcomes[index]
        return own?.[1] === true ? own : failure(call[0], storeError(error, database.path))
      })
    }
  }

  /** One operation; with `fenced`, in a savepoint of its own, so that its failure undoes nothing of its neighbours. */
  async #runOne(database: SqliteDatabase, call: Call, fenced: boolean): Promise<Outcome> {
    const operation = this.#operation(call)
    if (operation === undefined) return failure(call[0], new Error(`the store has no operation ${call[3]}.${call[4]}`))
    const fence = fenced && operation.mode === 'write'
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

  #operation(call: Call | undefined): Operation<never, unknown> | undefined {
    return call && this.#operations.get(`${call[3]}.${call[4]}`)
  }

  #database(key: string, scale: Scale, name: string): SqliteDatabase {
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
    if (this.#open.size > this.#options.open) {
      const [oldest] = this.#open.keys()
      if (oldest !== undefined) this.#close(oldest)
    }
    return database
  }

  #close(key: string): void {
    const database = this.#open.get(key)
    if (database === undefined) return
    this.#open.delete(key)
    database.close()
  }
}

function failure(id: number, error: unknown): Outcome {
  if (error instanceof StoreError) return [id, true, { code: error.code, message: error.message }]
  if (error instanceof Error)
    return [id, true, { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) }]
  return [id, true, { message: String(error) }]
}
