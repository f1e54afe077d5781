// A disk for tests in this thread: it knows what was synced, fails when it is told to, and can lose what no sync has kept.

import fs, { cpSync, existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { mock } from 'node:test'
import type { Random } from '@aviso/mime/testing'
import { SqliteDatabase } from '../../src/store/sqlite.ts'

/** What can fail: the journal's writing, the end of a transaction, the sync of a database's log. */
export type Fault = 'journal' | 'commit' | 'log'

interface Database {
  readonly main: Buffer
  readonly log: Buffer | undefined
}

const bytes = (path: string): Buffer | undefined => (existsSync(path) ? readFileSync(path) : undefined)

export class Disk {
  /** Asked each time. */
  fails: (fault: Fault, path: string) => boolean = () => false
  /** Called in the middle of the journal's sync: what was written last is not safe yet. */
  syncing: () => void = () => {}
  /** Journals as the last sync left them; a file that was removed or cut since may come back. */
  readonly #journals = new Map<string, Buffer>()
  /** Those that were emptied since. */
  readonly #cut = new Set<string>()
  readonly #databases = new Map<string, Database>()
  readonly #paths = new Map<number, string>()
  readonly #real = { ...fs }

  private constructor(random: Random) {
    this.#watchFiles(random)
    this.#watchDatabases()
  }

  static async of(random: Random): Promise<Disk> {
    const disk = new Disk(random)
    const file = await open('/dev/null')
    await file.close()
    disk.#watchHandles(Object.getPrototypeOf(file) as FileHandle)
    return disk
  }

  /** The disk is an ordinary one again. */
  restore(): void {
    const { openSync, fdatasyncSync, fsyncSync, ftruncateSync } = this.#real
    Object.assign(fs, { openSync, fdatasyncSync, fsyncSync, ftruncateSync })
    syncBuiltinESMExports()
    mock.restoreAll()
  }

  /** Copies the folder `data` to `copy` as a power loss may leave it. */
  lose(data: string, copy: string, random: Random): void {
    cpSync(data, copy, { recursive: true })
    for (const [path, synced] of this.#journals) {
      if (relative(data, path).startsWith('..')) continue
      const now = bytes(path)
      const to = join(copy, relative(data, path))
      // It is gone, or begun anew, once that is synced.
      if (now === undefined || this.#cut.has(path)) {
        mkdirSync(dirname(to), { recursive: true })
        if (random.once(2)) writeFileSync(to, synced)
        else if (now !== undefined) writeFileSync(to, torn(Buffer.alloc(0), now, random))
      } else if (!now.equals(synced)) writeFileSync(to, torn(synced, now, random))
    }
    for (const [path, synced] of this.#databases) {
      if (relative(data, path).startsWith('..')) continue
      const main = bytes(path)
      const to = join(copy, relative(data, path))
      if (main === undefined) {
        if (random.once(2)) continue
        mkdirSync(dirname(to), { recursive: true })
        writeFileSync(to, synced.main)
        if (synced.log !== undefined) writeFileSync(`${to}-wal`, synced.log)
        continue
      }
      const log = bytes(`${path}-wal`)
      if (!main.equals(synced.main)) {
        // Pages have come over from the log since. As long as it is the one that was synced, it may be that not all of them are there.
        if (log !== undefined && synced.log?.equals(log) === true) writeFileSync(to, torn(synced.main, main, random))
      } else {
        const kept = synced.log ?? Buffer.alloc(0)
        if (log?.subarray(0, kept.length).equals(kept) === true) writeFileSync(`${to}-wal`, torn(kept, log, random))
      }
    }
  }

  #watchFiles(random: Random): void {
    const real = this.#real
    const kept = (descriptor: number): void => {
      const path = this.#paths.get(descriptor)
      if (path === undefined) return
      if (path.endsWith('-wal')) this.#keep(path.slice(0, -4))
      else if (path.endsWith('.journal')) {
        this.#journals.set(path, readFileSync(path))
        this.#cut.delete(path)
      } else this.#forgetMissing(path)
    }
    Object.assign(fs, {
      openSync: (path: string, flags?: fs.OpenMode, mode?: fs.Mode): number => {
        const descriptor = real.openSync(path, flags ?? 'r', mode)
        this.#paths.set(descriptor, path)
        if (flags === 'wx' && path.endsWith('.journal')) this.#journals.set(path, Buffer.alloc(0))
        return descriptor
      },
      fdatasyncSync: (descriptor: number): void => {
        const path = this.#paths.get(descriptor) ?? ''
        const journal = path.endsWith('.journal')
        if (journal) this.syncing()
        const failed = this.fails(journal ? 'journal' : 'log', path)
        // It may have reached the disk even so.
        if (!failed || random.once(2)) kept(descriptor)
        if (failed) throw Object.assign(new Error('ENOSPC: no room'), { code: 'ENOSPC' })
      },
      fsyncSync: kept,
      ftruncateSync: (descriptor: number, length?: number): void => {
        real.ftruncateSync(descriptor, length)
        if (length === 0) this.#cut.add(this.#paths.get(descriptor) ?? '')
      },
    })
    syncBuiltinESMExports()
  }

  /** What is synced in the background. */
  #watchHandles(prototype: FileHandle): void {
    const { datasync } = prototype
    const sync = (handle: FileHandle): void => {
      const path = readlinkSync(`/proc/self/fd/${handle.fd}`)
      if (!/\.db(?:-wal)?$/.test(path)) return
      this.syncing()
      if (this.fails('log', path)) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
      this.#keep(path.replace(/-wal$/, ''))
    }
    mock.method(prototype, 'datasync', async function (this: FileHandle) {
      sync(this)
      await datasync.call(this)
    })
  }

  /** The folder was synced: what is gone from it stays gone. */
  #forgetMissing(folder: string): void {
    for (const map of [this.#journals, this.#databases])
      for (const path of map.keys()) if (!relative(folder, path).startsWith('..') && !existsSync(path)) map.delete(path)
  }

  #keep(path: string): void {
    const main = bytes(path)
    if (main !== undefined) this.#databases.set(path, { main, log: bytes(`${path}-wal`) })
  }

  #watchDatabases(): void {
    const { commit, commitUnsynced, script, close } = SqliteDatabase.prototype
    const fails = (database: SqliteDatabase): void => {
      if (!this.fails('commit', database.path)) return
      // SQLite may have ended the transaction, or not.
      if (database.path.length % 2 === 0) database.rollback()
      throw Object.assign(new Error('database or disk is full'), { errcode: 13 })
    }
    const kept = (path: string): void => this.#keep(path)
    mock.method(SqliteDatabase.prototype, 'commit', function (this: SqliteDatabase) {
      fails(this)
      commit.call(this)
      kept(this.path)
    })
    mock.method(SqliteDatabase.prototype, 'commitUnsynced', function (this: SqliteDatabase) {
      fails(this)
      commitUnsynced.call(this)
    })
    mock.method(SqliteDatabase.prototype, 'script', function (this: SqliteDatabase, sql: string) {
      script.call(this, sql)
      if (sql === 'COMMIT') kept(this.path)
    })
    mock.method(SqliteDatabase.prototype, 'close', function (this: SqliteDatabase) {
      close.call(this)
      if (!existsSync(`${this.path}-wal`)) kept(this.path)
    })
  }
}

const BLOCK = 512

/** What a power loss leaves of a file that was `synced` and has been written since: all, nothing, a part, or blocks here and there of what came. */
function torn(synced: Buffer, now: Buffer, random: Random): Buffer {
  const from = common(synced, now)
  const until = (end: number): Buffer => Buffer.concat([now.subarray(0, end), synced.subarray(end)])
  switch (random.below(4)) {
    case 0:
      return now
    case 1:
      return synced
    case 2:
      return until(from + random.below(now.length - from + 1))
    default: {
      const left = Buffer.from(now)
      for (let at = from; at < left.length; at += BLOCK) {
        const end = Math.min(left.length, at + BLOCK)
        if (random.once(3)) left.fill(0, at, end).set(synced.subarray(at, end), at)
      }
      return left
    }
  }
}

/** Where the files begin to differ. */
function common(one: Buffer, other: Buffer): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}
