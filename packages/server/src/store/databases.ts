// The databases that one engine has open.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { closeSafe, syncLogs } from './closing.ts'
import { type Scale, type StoreDefinition, StoreError } from './contracts.ts'
import { syncFolder } from './journal.ts'
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

/** How many are tried at most when one is to be closed. */
const TRIED = 4

/** Never closed: its lock tells a second server that the folder is taken. */
const CORE = 'core/core'

/** What is to be done with a database before something else is. */
interface Before {
  /** It is about to be opened, or made. Throws where it cannot be had. */
  opening(key: string): void
  /** It was just opened, and nothing was asked of it yet. Where this rejects, it cannot be had. */
  opened(key: string, database: SqliteDatabase): Promise<void>
  /** It is about to be closed: what waits for it is to be carried out. */
  closing(key: string, database: SqliteDatabase): Promise<void>
  /** It is about to let go of its pages: a transaction is to be ended. Must not throw. */
  cooling(database: SqliteDatabase): void
  /** True as long as it must keep its transaction. */
  held(database: SqliteDatabase): boolean
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

  /** The database, if it is open. */
  peek(key: string): SqliteDatabase | undefined {
    return this.#open.get(key)
  }

  /** Opens the database if it is not; `key` is `scale/name`. Throws `StoreError`. */
  async open(key: string, scale: Scale, name: string): Promise<SqliteDatabase> {
    let database = this.#open.get(key)
    if (database !== undefined) {
      this.#touch(key, database)
      return database
    }
    await this.#makeRoom()
    let path = ''
    try {
      path = databasePath(this.#folder, scale, name)
      this.#before.opening(key)
      database = new SqliteDatabase(path, name)
      migrate(
        database,
        this.#definitions.filter((definition) => definition.scale === scale),
      )
      await this.#before.opened(key, database)
    } catch (error) {
      database?.close()
      throw storeError(error, path)
    }
    this.#touch(key, database)
    this.warmUp(database)
    return database
  }

  /** Closes who was used least lately, so that there is room for one more. Who cannot be brought up to date stays open and harms nobody, as long as there are not too many of them: then what the disk says is thrown. */
  async #makeRoom(): Promise<void> {
    let tried = 0
    for (const [key, database] of this.#open) {
      if (this.#open.size < this.#most || tried === TRIED) return
      if (key === CORE || this.#before.held(database)) continue
      tried++
      try {
        await this.close(key)
      } catch (error) {
        if (this.#open.size >= this.#most * 2) throw error
        this.#touch(key, database)
      }
    }
  }

  /** Pages of the database are about to be read, or were: one that has rested longest lets go of its own. */
  warmUp(database: SqliteDatabase): void {
    this.#warm.delete(database)
    this.#warm.add(database)
    this.cool()
  }

  /** Those that have rested longest let go of their pages, where they are too many. */
  cool(): void {
    for (const coldest of this.#warm) {
      // Who was used after it is held too.
      if (this.#warm.size <= WARM || this.#before.held(coldest)) return
      this.#warm.delete(coldest)
      this.#before.cooling(coldest)
      coldest.shrink()
    }
  }

  /** It is the one that was used last. */
  #touch(key: string, database: SqliteDatabase): void {
    this.#open.delete(key)
    this.#open.set(key, database)
  }

  async close(key: string): Promise<void> {
    const database = this.#open.get(key)
    if (database === undefined) return
    // Should it fail, the journal has it for the next start.
    await this.#before.closing(key, database)
    this.#shut(key, database)
  }

  /** Closes all; answers why some could not be brought up to date: the journal has those for the next start. From the moment when all logs are synced nothing else is needed but time. */
  async closeAll(): Promise<readonly unknown[]> {
    const faults: unknown[] = []
    const closing: SqliteDatabase[] = []
    const keys = new Map<SqliteDatabase, string>()
    for (const [key, database] of this.#open) {
      keys.set(database, key)
      try {
        await this.#before.closing(key, database)
        closing.push(database)
      } catch (error) {
        faults.push(error)
        this.abandon(key)
      }
    }
    const safe: SqliteDatabase[] = []
    const isSafe = (database: SqliteDatabase): void => {
      safe.push(database)
      this.#closed(keys.get(database) ?? '')
    }
    await syncLogs(closing, isSafe, (database, error) => {
      faults.push(storeError(error, database.path))
      this.abandon(keys.get(database) ?? '')
    })
    this.#open.clear()
    this.#warm.clear()
    await closeSafe(safe)
    return faults
  }

  /** Closes the account's database and removes its folder; returns when it stays gone. `aside`: a name that nobody uses. */
  erase(account: string, aside: string): void {
    const folder = dirname(databasePath(this.#folder, 'account', account))
    this.abandon(`account/${account}`)
    if (!existsSync(folder)) return
    // At once, so that no power loss leaves a part; what lies there goes at the next start at the latest.
    const gone = join(this.#folder, 'tmp', aside)
    mkdirSync(dirname(gone), { recursive: true, mode: 0o700 })
    try {
      renameSync(folder, gone)
    } catch {
      // It is a mount, or on another one.
      rmSync(folder, { recursive: true, force: true })
    }
    syncFolder(dirname(folder))
    rmSync(gone, { recursive: true, force: true })
  }

  /** Closes the database as it is, with nothing of what is open in it: the journal has it. */
  abandon(key: string): void {
    const database = this.#open.get(key)
    this.#open.delete(key)
    if (database === undefined) return
    this.#warm.delete(database)
    database.close()
  }

  /** Closes a database of which nothing waits: SQLite takes its log into it, and syncs. Throws what the disk says. */
  #shut(key: string, database: SqliteDatabase): void {
    this.abandon(key)
    // Is it still there, SQLite could not do that, and did not say so.
    database.syncLog()
    this.#closed(key)
  }
}
