// What must be in the ledgers: everything that was acknowledged, once and in its order; of what was not answered, or failed, any of it or nothing, but whole.

import assert from 'node:assert/strict'
import type { Line } from './ledger.ts'

type State = 'open' | 'kept' | 'refused' | 'unsure'

/** Something that was to be written. */
export interface Attempt {
  readonly text: string
  state: State
  /** As it was acknowledged, or found. */
  line?: Line
}

/** One table. */
interface Table {
  attempts: Attempt[]
  /** Until it is known to be erased: what was there before. */
  before?: Attempt[]
}

export class Model {
  readonly #tables = new Map<string, Table>()
  #texts = 0

  clone(): Model {
    const copy = new Model()
    for (const [key, table] of this.#tables) copy.#tables.set(key, structuredClone(table))
    copy.#texts = this.#texts
    return copy
  }

  /** Something is about to be written. */
  attempt(table: string): Attempt {
    const attempt: Attempt = { text: `${table} ${this.#texts++}`, state: 'open' }
    this.#of(table).attempts.push(attempt)
    return attempt
  }

  /** The tables are about to go; to be told how that ended. */
  erasing(tables: readonly string[]): (erased: boolean) => void {
    const all = tables.map((name) => this.#of(name))
    const before = all.map(({ attempts }) => attempts)
    for (const table of all) {
      table.before = [...(table.before ?? []), ...table.attempts]
      table.attempts = []
    }
    return (erased) => {
      if (!erased) return
      for (const [index, table] of all.entries()) {
        const gone = new Set(before[index])
        const left = table.before?.filter((attempt) => !gone.has(attempt)) ?? []
        if (left.length === 0) delete table.before
        else table.before = left
      }
    }
  }

  /** What is to be found from now on, whatever else happens: for `look`. */
  expected(table: string): (lines: readonly Line[]) => void {
    const { attempts, before } = this.#of(table)
    const kept = attempts.filter(({ state }) => state === 'kept')
    const refused = new Set(attempts.filter(({ state }) => state === 'refused').map(({ text }) => text))
    const known = [...(before ?? []), ...attempts]
    return (lines) => {
      // Erased meanwhile.
      if (this.#of(table).attempts !== attempts || before !== undefined) return
      check(lines, known, kept, refused, attempts)
    }
  }

  /** A new life begins with what was found: what was not known is known then. */
  settle(table: string, lines: readonly Line[]): void {
    const own = this.#of(table)
    const old = new Set(own.before?.map(({ text }) => text))
    const list = lines.some(({ text }) => old.has(text)) ? [...(own.before ?? []), ...own.attempts] : own.attempts
    const kept = own.attempts.filter(({ state }) => state === 'kept')
    const refused = list.filter(({ state }) => state === 'refused').map(({ text }) => text)
    check(lines, list, kept, new Set(refused), [])
    const found = new Map(lines.map((line) => [line.text, line]))
    this.#tables.set(table, {
      attempts: list.map(({ text }) => {
        const line = found.get(text)
        return line === undefined ? { text, state: 'refused' } : { text, state: 'kept', line }
      }),
    })
  }

  #of(name: string): Table {
    let table = this.#tables.get(name)
    if (table === undefined) this.#tables.set(name, (table = { attempts: [] }))
    return table
  }
}

function check(
  lines: readonly Line[],
  known: readonly Attempt[],
  kept: readonly Attempt[],
  refused: ReadonlySet<string>,
  all: readonly Attempt[],
): void {
  const order = new Map([...known, ...all].map(({ text }, index) => [text, index]))
  const found = new Map<string, Line>()
  let last = -1
  for (const line of lines) {
    const place = order.get(line.text)
    assert.notEqual(place, undefined, `'${line.text}' was never written, or erased`)
    assert.equal(found.has(line.text), false, `'${line.text}' is there twice`)
    assert.equal(Number(place) > last, true, `'${line.text}' stands behind what came later`)
    assert.equal(refused.has(line.text), false, `'${line.text}' was refused, or lost before, and is there`)
    found.set(line.text, line)
    last = Number(place)
  }
  for (const { text, line } of kept) {
    assert.equal(found.has(text), true, `'${text}' was acknowledged, and is lost`)
    if (line !== undefined) assert.deepEqual(found.get(text), line, `'${text}' is not what was acknowledged`)
  }
}
