// What journals of engines that died hold is carried out, before anything else is done with their databases.

import { appendFileSync, existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Broken } from './calls.ts'
import { databasePath, type Databases } from './databases.ts'
import { carryOut, type Failed, type Operations } from './deferred.ts'
import { type Entry, leftJournals, readJournal, syncFolder, writeJournal } from './journal.ts'
import type { SqliteDatabase } from './sqlite.ts'

/** Where the journals lie. */
export const journalFolder = (folder: string): string => join(folder, 'journal')

/** What could not be carried out, until somebody tells the log. */
export class Complaints {
  readonly #folder: string
  #broken: Broken[] = []

  constructor(folder: string) {
    this.#folder = journalFolder(folder)
  }

  /** Puts calls aside that failed by their own fault. */
  putAside(failed: readonly Failed[]): void {
    for (const { entry, error } of failed) {
      const [, , scale, database, store, operation, args, now] = entry
      let message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const aside = JSON.stringify({ scale, database, store, operation, args, now, message })
      try {
        appendFileSync(join(this.#folder, 'broken.jsonl'), `${aside}\n`, { mode: 0o600 })
      } catch (cause) {
        // The log has it, at least.
        message = `${aside} (${String(cause)})`
      }
      this.#broken.push({ what: `${store}.${operation}`, database, message })
    }
  }

  add(what: string, database: string, error: unknown): void {
    this.#broken.push({ what, database, message: error instanceof Error ? error.message : String(error) })
  }

  /** Empties it. */
  take(): readonly Broken[] {
    const broken = this.#broken
    this.#broken = []
    return broken
  }
}

/**
 * Carries out what journals in the data folder hold, and deletes them; those of one run, or all. What is for a database that cannot be had now is kept for when it can (`carryOutHeld`).
 */
export async function replay(
  folder: string,
  databases: Databases,
  operations: Operations,
  complaints: Complaints,
  run?: string,
): Promise<void> {
  const journals = journalFolder(folder)
  const all = leftJournals(journals, run)
  const erasures = erasuresIn(all.map((left) => ({ run: left.run, entries: readJournal(left.path).entries })))
  for (const left of all) {
    const { entries, damaged } = readJournal(left.path)
    const byDatabase = Map.groupBy(entries, ([, , scale, name]) => `${scale}/${name}`)
    for (const [key, each] of byDatabase) {
      const erased = erasures.get(`${left.run} ${key}`) ?? 0
      const own = each.filter(([seq, kind]) => kind !== 'erased' && seq > erased)
      const [, , scale, name] = each[0] as Entry
      // Of an account that was erased meanwhile.
      if (own.length === 0 || !existsSync(databasePath(folder, scale, name))) continue
      try {
        const database = await databases.open(key, scale, name)
        complaints.putAside(await carryOut(database, operations, left, own))
        database.syncLog()
      } catch (error) {
        writeJournal(join(heldFolder(folder, key), basename(left.path)), own)
        complaints.add('the journal', key, error)
      }
    }
    if (damaged) {
      renameSync(left.path, `${left.path}.damaged`)
      complaints.add('a part of the journal', basename(left.path), new Error('it cannot be read: is the disk ill?'))
    } else rmSync(left.path)
  }
  // One that comes back would be carried out by a run that does not know what the databases have of it.
  if (existsSync(journals)) syncFolder(journals)
}

/** Up to which entry an account was erased: by run and database. */
function erasuresIn(
  journals: readonly { readonly run: string; readonly entries: readonly Entry[] }[],
): ReadonlyMap<string, number> {
  const erased = new Map<string, number>()
  for (const { run, entries } of journals)
    for (const [seq, kind, scale, name] of entries) if (kind === 'erased') erased.set(`${run} ${scale}/${name}`, seq)
  return erased
}

/** Where journals wait for a database that could not be had when they were carried out. */
const heldFolder = (folder: string, key: string): string => join(journalFolder(folder), 'held', key)

/** Carries out what waits for a database that could not be had at the time. Throws what the disk says. */
export async function carryOutHeld(
  folder: string,
  key: string,
  database: SqliteDatabase,
  operations: Operations,
  complaints: Complaints,
): Promise<void> {
  const held = heldFolder(folder, key)
  if (!existsSync(held)) return
  for (const left of leftJournals(held))
    complaints.putAside(await carryOut(database, operations, left, readJournal(left.path).entries))
  database.syncLog()
  dropHeld(folder, key)
}

/** What waits for the database is not needed. */
export function dropHeld(folder: string, key: string): void {
  const held = heldFolder(folder, key)
  if (!existsSync(held)) return
  for (const name of readdirSync(held)) rmSync(join(held, name))
  syncFolder(held)
  rmSync(held, { recursive: true })
}
