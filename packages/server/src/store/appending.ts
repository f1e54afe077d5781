// What a round is to append: lines of many databases, numbered, without those that no database takes.

import { type Batch, type BatchOutcome, type Fault, faultOf } from './calls.ts'
import { number, placesOf, without } from './lines.ts'

export class Appending {
  readonly octets: readonly Buffer[]
  /** The databases that take it. */
  readonly keys: ReadonlySet<string>
  readonly #batches: readonly Batch[]
  readonly #faults: ReadonlyMap<string, Fault>
  #refused: Fault | undefined

  private constructor(batches: readonly Batch[], keys: ReadonlySet<string>, faults: ReadonlyMap<string, Fault>) {
    const octets = batches.map((batch) => asBuffer(batch.octets))
    this.#batches = batches
    this.octets = faults.size === 0 ? octets : octets.map((lines) => without(lines, faults))
    this.keys = keys
    this.#faults = faults
  }

  /** Numbers the lines of the batches by `next`. `open` looks whether a database (`scale/name`) can be had: where it rejects, its lines are refused. */
  static async of(
    batches: readonly Batch[],
    now: number,
    next: () => number,
    open: (database: string) => Promise<unknown>,
  ): Promise<Appending> {
    const keys = new Set<string>()
    const faults = new Map<string, Fault>()
    for (const { octets } of batches) {
      const lines = asBuffer(octets)
      for (const { start, database } of placesOf(lines)) {
        if (!keys.has(database) && !faults.has(database))
          try {
            await open(database)
            keys.add(database)
          } catch (error) {
            faults.set(database, faultOf(error))
          }
        // Behind whatever that wrote to the journal.
        number(lines, start, next(), now)
      }
    }
    return new Appending(batches, keys, faults)
  }

  /** Nothing of it is safe. */
  refuse(error: Error): void {
    this.#refused = faultOf(error)
  }

  get outcomes(): readonly BatchOutcome[] {
    const refused = this.#refused
    const faults = [...this.#faults]
    if (refused !== undefined) for (const key of this.keys) faults.push([key, refused])
    return this.#batches.map(({ id }) => ({ id, faults }))
  }
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, byteLength)
