// One SQLite database: opened for full durability, its statements prepared once and kept.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { type Change, type SqlRow, type SqlValue, StoreError, type Transaction } from './contracts.ts'

/** Statements kept per database: more would be a sign of SQL made from values. */
const KEPT_STATEMENTS = 400

/**
 * A database and, while one runs, its transaction. Used by one thread, one transaction at a time.
 * The exclusive lock spares the shared-memory index and several system calls a transaction, and keeps a second server out.
 */
export class SqliteDatabase implements Transaction {
  readonly database: string
  now = 0
  undone = 0
  /** The run of the journal that has marked this database last, since it was opened. */
  markedBy: string | undefined
  readonly path: string
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #changes: Change[] = []

  /** Opens (or makes) the database at `path`. Throws `StoreError`. */
  constructor(path: string, database: string) {
    this.path = path
    this.database = database
    try {
      const folder = dirname(path)
      if (!existsSync(folder)) makeFolder(folder)
      restoreLog(path)
      this.#db = new DatabaseSync(path)
      // Before anything is read: else the shared-memory index is made after all. Then before the first page: SQLite would else take memory for twenty of them at once, and keep it.
      this.#db.exec('PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=1')
      this.#db.exec(
        'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-1024; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=4194304',
      )
      this.#db.exec('BEGIN IMMEDIATE; COMMIT')
    } catch (error) {
      throw notWritable(path) ?? storeError(error, path)
    }
  }

  all(sql: string, ...parameters: SqlValue[]): readonly SqlRow[] {
    return this.#prepare(sql).all(...parameters) as unknown as readonly SqlRow[]
  }

  get(sql: string, ...parameters: SqlValue[]): SqlRow | undefined {
    return this.#prepare(sql).get(...parameters) as unknown as SqlRow | undefined
  }

  run(sql: string, ...parameters: SqlValue[]): number {
    return Number(this.#prepare(sql).run(...parameters).changes)
  }

  publish(change: Change): void {
    this.#changes.push(change)
  }

  begin(): void {
    this.run('BEGIN IMMEDIATE')
  }

  /** Returns when everything since `begin` is safe from power loss. */
  commit(): void {
    this.run('COMMIT')
  }

  /** Begins a transaction that is to end with `commitUnsynced`. Until then all of it stays in memory: a full disk makes no trouble before. */
  beginUnsynced(): void {
    this.#db.exec('PRAGMA synchronous=NORMAL; PRAGMA cache_spill=OFF')
    this.begin()
  }

  /** The change is made; safe from power loss it is after the next commit, or `syncLog`. */
  commitUnsynced(): void {
    this.run('COMMIT')
    this.endUnsynced()
  }

  /** Commits are synced again: also after a transaction of `beginUnsynced` was rolled back. */
  endUnsynced(): void {
    this.#db.exec('PRAGMA synchronous=FULL; PRAGMA cache_spill=ON')
  }

  /** Returns when all that was committed is safe from power loss; also after `close`. */
  syncLog(): void {
    const path = `${this.path}-wal`
    // SQLite removes it when all of it is safe in the database.
    if (!existsSync(path)) return
    // SQLite holds no locks on its log: that file may be opened and closed beside it.
    const log = openSync(path, 'r+')
    try {
      fdatasyncSync(log)
    } finally {
      closeSync(log)
    }
  }

  /** Undoes the transaction, unless SQLite has done that by itself, as it does on some errors, such as a full disk. */
  rollback(): void {
    this.undone++
    if (this.inTransaction) this.run('ROLLBACK')
  }

  /** Begins what can be undone alone; not one inside the other. */
  fence(): void {
    this.run('SAVEPOINT one')
  }

  endFence(): void {
    this.run('RELEASE one')
  }

  /** Undoes what was done since `fence`. */
  undoFence(): void {
    this.undone++
    if (this.inTransaction) this.#db.exec('ROLLBACK TO one; RELEASE one')
  }

  /** Ends a transaction of `beginUnsynced`, of which nothing is left; SQLite may have ended it already. */
  undo(): void {
    this.#changes.length = 0
    this.rollback()
    this.endUnsynced()
  }

  /** Runs several statements without parameters. */
  script(sql: string): void {
    this.#db.exec(sql)
  }

  /** Lets go of the pages that it keeps in memory; not within a transaction. Statements stay. */
  shrink(): void {
    this.#db.exec('PRAGMA shrink_memory')
  }

  /** How many changes were published so far in this transaction: what `dropChanges` goes back to. */
  get published(): number {
    return this.#changes.length
  }

  dropChanges(downTo: number): void {
    this.#changes.length = downTo
  }

  /** The changes published since the last call; to be sent on only after the commit. */
  takeChanges(): readonly Change[] {
    if (this.#changes.length === 0) return []
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  /** True while SQLite holds a transaction open. */
  get inTransaction(): boolean {
    return this.#db.isTransaction
  }

  /** Writes a copy of the whole database to `path`, replacing what was there. */
  copyTo(path: string): void {
    rmSync(path, { force: true })
    this.#db.prepare('VACUUM INTO ?').run(path)
  }

  /** Takes the log, which must be safe, into the database, and syncs nothing, neither now nor at the close. True where all of it is there. */
  takeLog(): boolean {
    this.#db.exec('PRAGMA synchronous=OFF')
    const [busy, log, taken] = this.get('PRAGMA wal_checkpoint') ?? []
    return busy === 0 && log === taken
  }

  /** Whether SQLite syncs what it does at the close. */
  syncAtClose(syncs: boolean): void {
    this.#db.exec(syncs ? 'PRAGMA synchronous=FULL' : 'PRAGMA synchronous=OFF')
  }

  close(): void {
    this.#statements.clear()
    this.#db.close()
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#db.prepare(sql)
      statement.setReturnArrays(true)
      if (this.#statements.size >= KEPT_STATEMENTS) {
        const [oldest] = this.#statements.keys()
        if (oldest !== undefined) this.#statements.delete(oldest)
      }
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** The other name of a database's log while SQLite removes the one that it knows, though the log is still needed. */
export const keptLog = (path: string): string => `${path}-wal.kept`

/** Gives the log its name back, also where the power went meanwhile. */
export function restoreLog(path: string): void {
  const kept = keptLog(path)
  if (!existsSync(kept)) return
  if (existsSync(`${path}-wal`)) rmSync(kept)
  else renameSync(kept, `${path}-wal`)
}

/** Makes a folder that is there after a power loss too, with those above it. */
function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) {
    const parent = openSync(dirname(made), 'r')
    try {
      fsyncSync(parent)
    } finally {
      closeSync(parent)
    }
  }
}

/** SQLite calls a folder in which it can make no log an 'I/O error'; what really is the matter the file system tells. */
function notWritable(path: string): unknown {
  try {
    accessSync(dirname(path), constants.R_OK | constants.W_OK | constants.X_OK)
    if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK)
    return undefined
  } catch (error) {
    const fault = storeError(error, path)
    return fault instanceof StoreError ? fault : undefined
  }
}

const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_NOMEM = 7
const SQLITE_READONLY = 8
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_PROTOCOL = 15
const SQLITE_NOTADB = 26

/** What no operation is to blame for. */
const FAULTS: ReadonlySet<unknown> = new Set([
  SQLITE_BUSY,
  SQLITE_LOCKED,
  SQLITE_NOMEM,
  SQLITE_READONLY,
  SQLITE_IOERR,
  SQLITE_CORRUPT,
  SQLITE_FULL,
  SQLITE_CANTOPEN,
  SQLITE_PROTOCOL,
  SQLITE_NOTADB,
])
const SYSTEM_FAULTS: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EACCES', 'EPERM', 'ENOMEM'])

/** True for a complaint about the disk or the machine: what failed by it may be tried again. What an operation does wrong (a constraint, an SQL error that its arguments lead to) fails again. */
export function isFault(error: unknown): boolean {
  const { errcode, code } = error as { readonly errcode?: number; readonly code?: unknown }
  return errcode === undefined ? SYSTEM_FAULTS.has(code) : FAULTS.has(errcode & 0xff)
}

/** What SQLite or the file system complained of, as the rooms understand it; anything unknown stays as it is. */
export function storeError(error: unknown, path: string): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error
  const code = (error as { errcode?: number }).errcode
  const system = (error as NodeJS.ErrnoException).code
  if (code === undefined) {
    if (system === 'ENOSPC' || system === 'EDQUOT')
      return new StoreError('disk-full', `no room left for ${path}: free some space`, { cause: error })
    if (system === 'EACCES' || system === 'EROFS' || system === 'EPERM')
      return new StoreError(
        'unavailable',
        `cannot write ${path} (${system}): check its owner and mode, and that the disk is not mounted read-only`,
        { cause: error },
      )
    if (system === 'EIO')
      return new StoreError('unavailable', `reading or writing ${path} failed: check the disk`, { cause: error })
    return error
  }
  switch (code & 0xff) {
    case SQLITE_FULL:
      return new StoreError('disk-full', `no room left for ${path}: free some space`, { cause: error })
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new StoreError('unavailable', `${path} is in use by another process`, { cause: error })
    case SQLITE_READONLY:
      return new StoreError('unavailable', `${path} is read-only: check its owner and mode`, { cause: error })
    case SQLITE_CANTOPEN:
      return new StoreError('unavailable', `cannot open ${path}: check that the folder exists and is writable`, {
        cause: error,
      })
    case SQLITE_IOERR:
      return new StoreError('unavailable', `reading or writing ${path} failed (${error.message}): check the disk`, {
        cause: error,
      })
    default:
      return error
  }
}
