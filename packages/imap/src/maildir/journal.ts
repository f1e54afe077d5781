// `aviso-index`: what a Maildir has no place for. Mod-sequences, expunged messages, zones, save dates, sizes. Lines with a checksum, only ever appended;
// rewritten as a whole when it has grown long; made anew from the folder when it is missing or damaged.

import { open, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Files, ifThere } from './files.ts'
import type { Change } from './state.ts'

const INDEX_FILE = 'aviso-index'
/** The highest mod-sequence that may have been given: survives a lost index. */
const CEILING_FILE = 'aviso-modseq'
/** Mod-sequences that one write of the ceiling covers. */
const RESERVE = 100_000

/** What `read` found: a new beginning (`fresh`, to be applied to an empty state), or the lines added since the last reading. */
export interface Reading {
  readonly fresh: boolean
  readonly changes: readonly Change[]
}

/** Which mailbox an index is of. */
export interface Origin {
  readonly uidValidity: number
  readonly guid: string
}

export class Journal {
  readonly #folder: string
  readonly #files: Files
  #inode = 0
  /** Octets read and good. */
  #end = 0
  #lines = 0
  #ceiling: number | undefined

  constructor(folder: string, files: Files) {
    this.#folder = folder
    this.#files = files
  }

  get #path(): string {
    return join(this.#folder, INDEX_FILE)
  }

  get lines(): number {
    return this.#lines
  }

  /** Whose index it is, as its first line says; undefined where there is none. */
  async origin(): Promise<Origin | undefined> {
    const line = (await ifThere(readFile(this.#path, 'utf8')))?.split('\n', 1)[0] ?? ''
    const match = /^aviso-index 1 V(\d{1,10}) G([0-9a-f]{32})$/.exec(line)
    return match?.[2] === undefined ? undefined : { uidValidity: Number(match[1]), guid: match[2] }
  }

  /** Reads what is new. Undefined when there is no index for this mailbox, or a damaged one: then `begin` a new one. */
  async read(origin: Origin): Promise<Reading | undefined> {
    const handle = await ifThere(open(this.#path, 'r'))
    if (handle === undefined) return undefined
    try {
      const { ino, size } = await handle.stat()
      const fresh = ino !== this.#inode || size < this.#end
      const from = fresh ? 0 : this.#end
      if (!fresh && size === this.#end) return { fresh: false, changes: [] }
      const octets = Buffer.alloc(size - from)
      const { bytesRead } = await handle.read(octets, 0, octets.length, from)
      const lines = octets.toString('utf8', 0, bytesRead).split('\n')
      // What has no line end yet was being written when the machine stopped.
      const torn = Buffer.byteLength(lines.pop() ?? '')
      if (fresh && lines.shift() !== header(origin)) return undefined
      const changes: Change[] = []
      for (const line of lines) {
        const change = parseLine(line)
        if (change === undefined) return undefined
        changes.push(change)
      }
      this.#inode = ino
      this.#end = from + bytesRead - torn
      this.#lines = changes.length + (fresh ? 0 : this.#lines)
      return { fresh, changes }
    } finally {
      await handle.close()
    }
  }

  /** Appends changes and makes them durable. The lock is held and `read` was just called. */
  async append(changes: readonly Change[]): Promise<void> {
    const octets = Buffer.from(changes.map(formatLine).join(''))
    const size = (await stat(this.#path)).size
    if (size > this.#end) await truncate(this.#path, this.#end)
    await this.#files.append(this.#path, octets)
    this.#end += octets.length
    this.#lines += changes.length
  }

  /** Writes a new index. */
  async begin(origin: Origin, changes: Iterable<Change>): Promise<void> {
    const lines = [...changes].map(formatLine)
    const octets = Buffer.from(`${header(origin)}\n${lines.join('')}`)
    await this.#files.replace(this.#path, octets)
    this.#inode = (await stat(this.#path)).ino
    this.#end = octets.length
    this.#lines = lines.length
  }

  /** The mod-sequence that every one given before is at or below; undefined where none was ever given. */
  async ceiling(): Promise<number | undefined> {
    const handle = await ifThere(open(join(this.#folder, CEILING_FILE), 'r'))
    if (handle === undefined) return undefined
    try {
      const value = Number(await handle.readFile('latin1'))
      return Number.isSafeInteger(value) && value > 0 ? value : undefined
    } finally {
      await handle.close()
    }
  }

  /** Before `modseq` is given: makes sure that the ceiling is above it. */
  async reserve(modseq: number): Promise<void> {
    this.#ceiling ??= (await this.ceiling()) ?? 0
    if (modseq <= this.#ceiling) return
    const ceiling = modseq + RESERVE
    await this.#files.replace(join(this.#folder, CEILING_FILE), Buffer.from(`${ceiling}\n`))
    this.#ceiling = ceiling
  }
}

const header = ({ uidValidity, guid }: Origin): string => `aviso-index 1 V${uidValidity} G${guid}`

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, '0')

function formatLine(change: Change): string {
  const text = JSON.stringify(pack(change))
  return `${checksum(text)} ${text}\n`
}

function pack(change: Change): readonly unknown[] {
  switch (change.kind) {
    case 'message': {
      const { uid, modseq, size, internalDate, zone, saveDate, base, flags } = change.row
      return ['m', uid, modseq, size, internalDate, zone, saveDate, base, ...flags]
    }
    case 'flags':
      return ['f', change.uid, change.modseq, ...change.flags]
    case 'gone':
      return ['x', change.uid, change.modseq]
    case 'recent':
      return ['r', change.uid]
    case 'start':
      return ['s', change.floor, change.modseq]
  }
}

/** Undefined when the line is not what was written. */
function parseLine(line: string): Change | undefined {
  const text = line.slice(9)
  if (line[8] !== ' ' || line.slice(0, 8) !== checksum(text)) return undefined
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    return undefined
  }
  return Array.isArray(fields) ? unpack(fields) : undefined
}

function unpack([letter, ...fields]: readonly unknown[]): Change | undefined {
  const numbers = fields.slice(0, 6).map(Number)
  const [a = 0, b = 0, size = 0, internalDate = 0, zone = 0, saveDate = 0] = numbers
  switch (letter) {
    case 'm': {
      const [base = '', ...flags] = fields.slice(6).map(String)
      return { kind: 'message', row: { uid: a, modseq: b, size, internalDate, zone, saveDate, base, flags } }
    }
    case 'f':
      return { kind: 'flags', uid: a, modseq: b, flags: fields.slice(2).map(String) }
    case 'x':
      return { kind: 'gone', uid: a, modseq: b }
    case 'r':
      return { kind: 'recent', uid: a }
    case 's':
      return { kind: 'start', floor: a, modseq: b }
    default:
      return undefined
  }
}
