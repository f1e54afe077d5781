// What one turn of the event loop asks of one store worker.

import type { Batch, BatchOutcome, Call } from './calls.ts'
import { Lines } from './lines.ts'
import { memoryOf } from './moving.ts'

/** From here on lines are sent without waiting for the end of the turn; octets. */
const LONG = 1024 * 1024

/** What is appended to one database. Its callers share a promise. */
interface Appended {
  readonly safe: Promise<void>
  resolve(): void
  reject(error: Error): void
}

/** Lines that were sent, and who waits for them. */
export class SentBatch {
  readonly lane: number
  /** How many lines. */
  readonly count: number
  readonly #appended: ReadonlyMap<string, Appended>

  constructor(lane: number, count: number, appended: ReadonlyMap<string, Appended>) {
    this.lane = lane
    this.count = count
    this.#appended = appended
  }

  settle({ faults }: BatchOutcome, errorOf: (fault: BatchOutcome['faults'][number][1]) => Error): void {
    for (const [database, fault] of faults) this.#appended.get(database)?.reject(errorOf(fault))
    for (const { resolve } of this.#appended.values()) resolve()
  }

  reject(error: Error): void {
    for (const appended of this.#appended.values()) appended.reject(error)
  }
}

export class Outbox {
  readonly #lane: number
  #calls: Call[] = []
  /** Octets that go over with the calls. */
  #moving: (Uint8Array | undefined)[] = []
  #lines: Lines | undefined
  #count = 0
  #appended = new Map<string, Appended>()
  /** The databases of the first so many calls. */
  readonly #asked = new Set<string>()
  #seen = 0
  /** How long the last batch was. */
  #length = 0

  constructor(lane: number) {
    this.#lane = lane
  }

  get empty(): boolean {
    return this.#calls.length === 0 && this.#lines === undefined
  }

  /** True where so much is to be appended that it had better go now. */
  get full(): boolean {
    return this.#lines !== undefined && this.#lines.length >= LONG
  }

  call(call: Call, given?: readonly (Uint8Array | undefined)[]): void {
    this.#calls.push(call)
    if (given !== undefined) this.#moving.push(...given)
  }

  /** True where something was asked of the database (`scale/name`) in this turn: what is appended to it now must not overtake that. */
  asks(database: string): boolean {
    for (; this.#seen < this.#calls.length; this.#seen++) {
      const [, scale, name] = this.#calls[this.#seen] as Call
      this.#asked.add(`${scale}/${name}`)
    }
    return this.#asked.has(database)
  }

  /** Appends a line; resolves when it is safe. Throws where the arguments are no JSON. */
  append(database: string, operation: string, args: unknown): Promise<void> {
    const text = JSON.stringify(args)
    this.#lines ??= new Lines(this.#length)
    this.#lines.add(database, operation, text)
    this.#count++
    let appended = this.#appended.get(database)
    if (appended === undefined) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      appended = { safe: promise, resolve, reject }
      this.#appended.set(database, appended)
    }
    return appended.safe
  }

  /** Empties it: what is to be sent now, under an id for the lines. */
  take(id: number): {
    readonly calls: readonly Call[]
    readonly moving: readonly ArrayBuffer[]
    readonly batch: Batch | undefined
    readonly sent: SentBatch | undefined
  } {
    const calls = this.#calls
    const moving = memoryOf(this.#moving)
    const octets = this.#lines?.octets
    const sent = octets && new SentBatch(this.#lane, this.#count, this.#appended)
    const batch = octets && { id, octets, databases: [...this.#appended.keys()] }
    this.#calls = []
    this.#moving = []
    this.#asked.clear()
    this.#seen = 0
    this.#lines = undefined
    this.#count = 0
    this.#appended = new Map()
    if (octets !== undefined) this.#length = octets.length
    return { calls, moving, batch, sent }
  }
}
