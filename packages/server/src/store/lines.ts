// Appends as octets: written once where they are asked for, kept as they are in the journal and in memory, and read when they are carried out. As objects, those that wait would be moved by
// every collection of garbage.

import { type Scale, StoreError } from './contracts.ts'
import type { Entry } from './journal.ts'

// A line: its length (of all of it), its number, its time, then the database, the operation and the arguments (JSON), with a line feed between them.
const NUMBER = 4
const TIME = 12
const TEXTS = 20
/** Octets of UTF-8 that a UTF-16 unit takes at most. */
const WIDEST = 3
const DOT = 0x2e
const LINE_FEED = 0x0a
const SMALLEST = 4096

/** With this a batch begins: nothing that V8 serialises does. */
export const LINES = 1

/** The lines of one batch, while they are written. */
export class Lines {
  #octets: Buffer<ArrayBuffer>
  #length = 1

  /** `expected`: octets that there will be, roughly. */
  constructor(expected = SMALLEST) {
    this.#octets = Buffer.allocUnsafeSlow(Math.max(expected, SMALLEST))
    this.#octets[0] = LINES
  }

  get length(): number {
    return this.#length
  }

  /** What was written, as memory of its own. */
  get octets(): Uint8Array<ArrayBuffer> {
    return this.#octets.subarray(0, this.#length)
  }

  /** `database`: `scale/name`; `operation`: `store.name`; `args`: JSON. Throws `StoreError` for a name that no database can have. */
  add(database: string, operation: string, args: string): void {
    if (database.includes('\n')) throw new StoreError('invalid-name', 'a line feed cannot name a database')
    const text = `${database}\n${operation}\n${args}`
    this.#reserve(TEXTS + text.length * WIDEST)
    const start = this.#length
    this.#length = start + TEXTS + this.#octets.write(text, start + TEXTS)
    this.#octets.writeUInt32LE(this.#length - start, start)
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#octets.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#octets.length * 2))
    this.#octets.copy(grown, 0, 0, this.#length)
    this.#octets = grown
  }
}

/** Where a line of a batch is, and the database that it is for. */
export interface LinePlace {
  readonly start: number
  readonly end: number
  /** `scale/name` */
  readonly database: string
  readonly store: string
}

/** The lines of a batch. */
export function* placesOf(octets: Buffer): Generator<LinePlace> {
  for (let start = 1; start < octets.length;) {
    const end = start + octets.readUInt32LE(start)
    const name = start + TEXTS
    const behind = octets.indexOf(LINE_FEED, name)
    const store = behind + 1
    yield {
      start,
      end,
      database: octets.toString('utf8', name, behind),
      store: octets.toString('utf8', store, octets.indexOf(DOT, store)),
    }
    start = end
  }
}

/** A batch without its lines for some databases. */
export function without(octets: Buffer, databases: ReadonlyMap<string, unknown>): Buffer {
  const kept = [...placesOf(octets)].filter(({ database }) => !databases.has(database))
  return Buffer.concat([octets.subarray(0, 1), ...kept.map(({ start, end }) => octets.subarray(start, end))])
}

/** Gives a line its number in the run, and its time. */
export function number(octets: Buffer, start: number, seq: number, now: number): void {
  octets.writeDoubleLE(seq, start + NUMBER)
  octets.writeDoubleLE(now, start + TIME)
}

/** Reads a line. */
export function readLine(octets: Buffer, start: number): Entry {
  const end = start + octets.readUInt32LE(start)
  let at = start + TEXTS
  const next = (): string => {
    const from = at
    const to = octets.indexOf(LINE_FEED, from)
    at = to + 1
    return octets.toString('utf8', from, to)
  }
  const [scale, database] = scaleAndName(next())
  const [store = '', operation = ''] = next().split('.')
  const args: unknown = JSON.parse(octets.toString('utf8', at, end))
  const seq = octets.readDoubleLE(start + NUMBER)
  return [seq, 'waiting', scale, database, store, operation, args, octets.readDoubleLE(start + TIME)]
}

/** What `scale/name` says. */
export function scaleAndName(database: string): readonly [Scale, string] {
  const at = database.indexOf('/')
  return [database.slice(0, at) as Scale, database.slice(at + 1)]
}

/** The lines of some octets (of a batch: behind its first), in their order. */
export function readLines(octets: Buffer): readonly Entry[] {
  const entries: Entry[] = []
  for (let start = 0; start < octets.length; start += octets.readUInt32LE(start)) entries.push(readLine(octets, start))
  return entries
}
