// The databases that one engine has open.

import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Scale, type StoreDefinition, StoreError } from './contracts.ts'
import { migrate } from './migrate.ts'
import { SqliteDatabase, storeError } from './sqlite.ts'

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

/** What is to be done with a database before something else is. */
interface Before {
  /** It is about to be closed: what waits for it is to be carried out. */
  closing(key: string, database: SqliteDatabase): Promise<void>
  /** It is about to let go of its pages: a transaction is to be ended. Must not throw. */
  cooling(database: SqliteDatabase): void
}

export class Databases {
  readonly #folder: string
  readonly #definitions: readonly StoreDefinition[]
  /** How many may be open. */
  readonly #most: number
  readonly #before: Before
  readonly #closed: (key: string) => void
  /** Least recently used first. */
  readonly #open = new Map<string, SqliteDatabase>()
  /** Those of them that keep pages, least recently used first. */
  readonly #warm = new Set<SqliteDatabase>()

  constructor(
    { folder, definitions, open }: { folder: string; definitions: readonly StoreDefinition[]; open: number },
    before: Before,
    closed: (key: string) => void,
  ) {
    this.#folder = folder
    this.#definitions = definitions
    this.#most = open
    this.#before = before
    this.#closed = closed
  }

  get size(): number {
    return this.#open.size
  }

  get keys(): readonly string[] {
    return [...this.#open.keys()]
  }

  /** The database, if it is open. */
  peek(key: string): SqliteDatabase | undefined {
    return this.#open.get(key)
  }

  /** Opens the database if it is not; `key` is `scale/name`. Throws `StoreError`. */
  async open(key: string, scale: Scale, name: string): Promise<SqliteDatabase> {
    let database = this.#open.get(key)
    if (database !== undefined) {
      this.#open.delete(key)
      this.#open.set(key, database)
      return database
    }
    const path = databasePath(this.#folder, scale, name)
    database = new SqliteDatabase(path, name)
    try {
      migrate(
        database,
        this.#definitions.filter((definition) => definition.scale === scale),
      )
    } catch (error) {
      database.close()
      throw storeError(error, path)
    }
    this.#open.set(key, database)
    this.warmUp(database)
    if (this.#open.size > this.#most) {
      const [oldest] = this.#open.keys()
      if (oldest !== undefined) await this.close(oldest)
    }
    return database
  }

  /** Pages of the database are about to be read, or were: one that has rested longest lets go of its own. */
  warmUp(database: SqliteDatabase): void {
    this.#warm.delete(database)
    this.#warm.add(database)
    if (this.#warm.size <= WARM) return
    const [coldest] = this.#warm
    if (coldest === undefined) return
    this.#warm.delete(coldest)
    this.#before.cooling(coldest)
    coldest.shrink()
  }

  async close(key: string): Promise<void> {
    const database = this.#open.get(key)
    if (database === undefined) return
    // Should it fail, the journal has it for the next start.
    await this.#before.closing(key, database)
    this.#shut(key)
  }

  /** Closes the account's database and removes its folder. */
  erase(account: string): void {
    this.#shut(`account/${account}`)
    rmSync(dirname(databasePath(this.#folder, 'account', account)), { recursive: true, force: true })
  }

  /** Closes a database of which nothing waits: SQLite takes its log into it, and syncs. */
  #shut(key: string): void {
    const database = this.#open.get(key)
    this.#open.delete(key)
    if (database !== undefined) this.#warm.delete(database)
    database?.close()
    this.#closed(key)
  }
}
