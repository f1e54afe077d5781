// The end of many databases at once. What takes long is the syncing: it is done side by side, where SQLite would do it for one after the other.

import { linkSync, renameSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { SqliteDatabase } from './sqlite.ts'

/** So many are closed together, each with one more open file. */
const TOGETHER = 64

/** `use` for some of them at a time, in their order. */
async function inBatches<T>(all: readonly T[], use: (some: readonly T[]) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < all.length; at += TOGETHER) await use(all.slice(at, at + TOGETHER))
}

/** Syncs the logs of databases without a transaction, side by side. `safe` is told of each that is safe from power loss then, `failed` of each that is not known to be. */
export const syncLogs = (
  databases: readonly SqliteDatabase[],
  safe: (database: SqliteDatabase) => void,
  failed: (database: SqliteDatabase, error: unknown) => void,
): Promise<void> =>
  inBatches(databases, (some) =>
    Promise.all(
      some.map(async (database) => {
        try {
          await syncFile(`${database.path}-wal`)
          safe(database)
        } catch (error) {
          failed(database, error)
        }
      }),
    ),
  )

/** Closes databases of which the logs are safe: SQLite takes these into them and removes them. One where that fails keeps its log for the next time. Never rejects. */
export const closeSafe = (databases: readonly SqliteDatabase[]): Promise<void> =>
  inBatches(databases, async (some) => {
    const taken = await Promise.all(some.map(async (database) => ({ database, ...(await takeLog(database)) })))
    for (const { database, end } of taken) {
      if (end === 'by itself') database.syncAtClose()
      if (end === 'unsynced') closeWithLog(database)
      else database.close()
    }
    // Not before: to close any of its files is to lose the lock on the database.
    await Promise.all(taken.map(({ file }) => file?.close()))
  })

interface Taken {
  /** The log is in the database and synced; or is there, and not known to be safe; or SQLite is to take it at the close. */
  readonly end: 'synced' | 'unsynced' | 'by itself'
  readonly file?: FileHandle
}

async function takeLog(database: SqliteDatabase): Promise<Taken> {
  let file: FileHandle
  try {
    file = await open(database.path, 'r+')
  } catch {
    return { end: 'by itself' }
  }
  try {
    if (!database.takeLog()) return { end: 'by itself', file }
  } catch {
    return { end: 'by itself', file }
  }
  try {
    await file.datasync()
    return { end: 'synced', file }
  } catch {
    return { end: 'unsynced', file }
  }
}

/** Closes a database that still needs its log, though SQLite thinks that all of it was taken, and removes it. */
function closeWithLog(database: SqliteDatabase): void {
  const log = `${database.path}-wal`
  const kept = `${log}.kept`
  rmSync(kept, { force: true })
  linkSync(log, kept)
  database.close()
  renameSync(kept, log)
}

/** Nothing is to be done where there is no such file. */
async function syncFile(path: string): Promise<void> {
  let file: FileHandle
  try {
    file = await open(path, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}
