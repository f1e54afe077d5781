// Calls that are safe before they are carried out: one file takes those for many databases, and one sync serves them all.

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writevSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { crc32 } from 'node:zlib'
import type { Scale } from './contracts.ts'
import { LINES, readLines } from './lines.ts'

/** A call either waits to be carried out, or has been carried out at once. Both are counted, each in its own order. An account that was erased is worth an entry too: what was done before is done with it. */
export type EntryKind = 'waiting' | 'done' | 'erased'

/** One call as the journal keeps it; `seq` counts the calls of one run upwards. A tuple, as thousands of them are written each second. */
export type Entry = readonly [
  seq: number,
  kind: EntryKind,
  scale: Scale,
  database: string,
  store: string,
  operation: string,
  args: unknown,
  now: number,
]

/** Octets before each batch: its length and its checksum. */
const HEAD = 8
/** With these octets begins what V8 serialises. */
const V8 = serialize(0).subarray(0, 2)
/** The system takes so many pieces at once. */
const PIECES = 512
/** A file that has grown beyond this is followed by another. */
const LARGE = 64 * 1024 * 1024
/** Octets by which a file grows, at least and at most: as much as it has. */
const GROWTH = [64 * 1024, 4 * 1024 * 1024] as const

interface JournalFile {
  readonly path: string
  readonly descriptor: number
  /** Octets that are written. */
  size: number
  /** Octets of the file, zeros behind what is written: a sync of what the file has already takes half as long as one that makes it longer. */
  room: number
  /** The databases that still need something of this file. */
  readonly needed: Set<string>
}

/** The journal of one store worker: the file that is written, and those before it of which something is still needed. */
export class Journal {
  readonly run: string
  readonly #folder: string
  readonly #large: number
  #files: JournalFile[] = []
  /** The one that may hold more than its size tells, as writing to it failed. */
  #torn: JournalFile | undefined
  #made = 0

  /** `run` names all files of this worker, and is never used again. `large`: octets of one file. */
  constructor(folder: string, run: string, large = LARGE) {
    this.run = run
    this.#folder = folder
    this.#large = large
  }

  /** The files, oldest first, that there are. */
  get files(): number {
    return this.#files.length
  }

  /**
   * Writes lines (numbered) and other entries; returns when they are safe from power loss. `keys` are their databases. Throws when it cannot be written: then nothing of it is in the journal.
   */
  write(lines: readonly Uint8Array[], entries: readonly Entry[], keys: Iterable<string>): void {
    this.mend()
    const file = this.#current()
    const content = entries.length === 0 ? lines : [...lines, serialize(entries)]
    const pieces = content.flatMap((octets) => [headOf(octets), octets])
    const size = pieces.reduce((sum, { length }) => sum + length, 0)
    try {
      makeRoom(file, size)
      writeAll(file.descriptor, pieces, file.size)
      fdatasyncSync(file.descriptor)
    } catch (error) {
      this.#torn = file
      try {
        this.mend()
      } catch {
        // It is tried again before anything is written.
      }
      throw error
    }
    file.size += size
    for (const key of keys) file.needed.add(key)
  }

  /**
   * Takes out what could not be written: after a power loss it must not stand behind what is done after it. Throws where that cannot be: nothing may be written then, here or in a database
   * that the journal knows.
   */
  mend(): void {
    const file = this.#torn
    if (file === undefined) return
    file.room = file.size
    ftruncateSync(file.descriptor, file.size)
    fdatasyncSync(file.descriptor)
    this.#torn = undefined
  }

  /** The databases that the oldest file waits for; with `late`, only where that is not the file that is written. */
  needed(late: boolean): Iterable<string> {
    const [oldest, ...others] = this.#files
    return oldest === undefined || (late && others.length === 0 && oldest.size < this.#large) ? [] : oldest.needed
  }

  /** All that was written for the database is safe in the database itself. */
  release(key: string): void {
    for (const file of this.#files) file.needed.delete(key)
    const newest = this.#files.at(-1)
    this.#files = this.#files.filter((file) => {
      if (file.needed.size > 0 || (file === newest && file.size < this.#large)) return true
      remove(file)
      return false
    })
    // An idle server has nothing to replay.
    if (newest !== undefined && newest.needed.size === 0 && newest.size > 0 && this.#files.includes(newest)) {
      ftruncateSync(newest.descriptor, 0)
      newest.size = 0
      newest.room = 0
    }
  }

  /** To be called when every database was released: an empty journal leaves no file. */
  close(): void {
    for (const file of this.#files) {
      if (file.needed.size > 0) closeSync(file.descriptor)
      else remove(file)
    }
    this.#files = []
    // One that comes back is carried out once more, by a run that does not know what the database has of it.
    if (this.#made > 0) syncFolder(this.#folder)
  }

  #current(): JournalFile {
    const newest = this.#files.at(-1)
    if (newest !== undefined && newest.size < this.#large) return newest
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const path = join(this.#folder, `${this.run}-${String(++this.#made).padStart(6, '0')}.journal`)
    const file = { path, descriptor: openSync(path, 'wx', 0o600), size: 0, room: 0, needed: new Set<string>() }
    syncFolder(this.#folder)
    this.#files.push(file)
    return file
  }
}

/** Makes the file longer where `size` octets more do not fit. */
function makeRoom(file: JournalFile, size: number): void {
  const end = file.size + size
  if (end <= file.room) return
  const [least, most] = GROWTH
  const room = end + Math.max(least, Math.min(most, file.room))
  writeAll(file.descriptor, [Buffer.alloc(room - end)], end)
  file.room = room
}

function headOf(octets: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(HEAD)
  head.writeUInt32LE(octets.length, 0)
  head.writeUInt32LE(crc32(octets), 4)
  return head
}

/** Writes the pieces from `position` on; the system may take less at once. */
function writeAll(descriptor: number, pieces: readonly Uint8Array[], position: number): void {
  let left = pieces
  let at = position
  while (left.length > 0) {
    let written = writevSync(descriptor, left.slice(0, PIECES), at)
    at += written
    let whole = 0
    while (whole < left.length && written >= (left[whole]?.length ?? 0)) written -= left[whole++]?.length ?? 0
    left = left.slice(whole)
    if (written > 0 && left[0] !== undefined) left = [left[0].subarray(written), ...left.slice(1)]
  }
}

function remove({ path, descriptor }: JournalFile): void {
  closeSync(descriptor)
  rmSync(path, { force: true })
}

/** What is gone from the folder stays gone, what is there stays there. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** A file that a run left behind. */
export interface LeftJournal {
  readonly run: string
  readonly path: string
}

/** The journals in the folder, those of one run in the order in which they were written; with `run`, of that one only. */
export function leftJournals(folder: string, run?: string): readonly LeftJournal[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.journal'))
    .sort()
    .map((name) => ({ run: name.slice(0, name.lastIndexOf('-')), path: join(folder, name) }))
    .filter((left) => run === undefined || left.run === run)
}

/** What stands in a journal. */
export interface JournalContent {
  /** Up to where its writing broke off. */
  readonly entries: readonly Entry[]
  /** Something stands behind that: no power loss does this, a bad disk does. */
  readonly damaged: boolean
}

export function readJournal(path: string): JournalContent {
  const octets = readFileSync(path)
  const entries: Entry[] = []
  let at = 0
  for (let content = batchAt(octets, at); content !== undefined; content = batchAt(octets, at)) {
    entries.push(...(content[0] === LINES ? readLines(content.subarray(1)) : (deserialize(content) as Entry[])))
    at += HEAD + content.length
  }
  return { entries, damaged: holdsMore(octets, at) }
}

/** The batch that begins there, if it is whole. */
function batchAt(octets: Buffer, at: number): Buffer | undefined {
  if (at + HEAD >= octets.length) return undefined
  const end = at + HEAD + octets.readUInt32LE(at)
  const content = octets.subarray(at + HEAD, end)
  if (end > octets.length || content.length === 0 || crc32(content) !== octets.readUInt32LE(at + 4)) return undefined
  return content
}

/** True where a whole batch begins somewhere behind `from`. */
function holdsMore(octets: Buffer, from: number): boolean {
  for (let at = from + 1; at + HEAD < octets.length; at++) {
    const first = octets[at + HEAD]
    if ((first === LINES || (first === V8[0] && octets[at + HEAD + 1] === V8[1])) && batchAt(octets, at) !== undefined)
      return true
  }
  return false
}

/** Writes a journal of its own for what could not be carried out; returns when it is safe. */
export function writeJournal(path: string, entries: readonly Entry[]): void {
  const folder = dirname(path)
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 })
  const content = serialize(entries)
  const descriptor = openSync(path, 'w', 0o600)
  try {
    writeAll(descriptor, [headOf(content), content], 0)
    fdatasyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  syncFolder(folder)
  if (first !== undefined) syncFolder(dirname(first))
}
