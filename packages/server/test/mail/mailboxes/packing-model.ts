// What the mailboxes of one account must show, whoever looks: every state that each of them was in.

import assert from 'node:assert/strict'
import type { FlagSet, MailboxSnapshot } from '@aviso/imap'

export interface Row {
  readonly flags: readonly string[]
  readonly modseq: number
  readonly date: number
  readonly zone: number
}
export type Rows = ReadonlyMap<number, Row>

export const textOf = (uid: number, { flags, modseq, date, zone }: Row): string =>
  `${uid}: ${[...flags].sort().join(' ')} ${modseq} ${date} ${zone}`

/** Says where they differ first. */
function same(found: Rows, expected: Rows, what: string): void {
  const [one, other] = [found, expected].map((rows) => [...rows].map(([uid, row]) => textOf(uid, row)))
  const at = one?.findIndex((row, i) => row !== other?.[i]) ?? -1
  if (at >= 0) assert.equal(one?.[at], other?.[at], `${what}: row ${at} of ${one?.length}, ${other?.length} expected`)
  assert.equal(found.size, expected.size, `${what}: ${other?.[found.size]} is missing`)
}

export interface Box {
  readonly id: number
  readonly name: string
  uidNext: number
  rows: Rows
  /** By modseq. */
  readonly states: Map<number, Rows>
}

/** How the mailbox is from `modseq` on. */
export function become(box: Box, modseq: number, rows: Rows): void {
  const known = box.states.get(modseq)
  if (known !== undefined) same(rows, known, `${box.name} changed, and its modseq did not`)
  box.rows = rows
  box.states.set(modseq, rows)
}

export const newest = (box: Box): number => Math.max(...box.states.keys())

/** The rows of a snapshot. */
export const shown = ({ uids, flags, flagSets, modseqs, internalDates, zones }: MailboxSnapshot): Map<number, Row> =>
  new Map(
    Array.from(uids, (uid, i) => [
      uid,
      {
        flags: flagSets[flags[i] ?? -1] ?? ['?'],
        modseq: modseqs[i] ?? -1,
        date: internalDates[i] ?? -1,
        zone: zones[i] ?? -1,
      },
    ]),
  )

/** The snapshot shows the mailbox as it was at its modseq. */
export function isTrue(snapshot: MailboxSnapshot, box: Box, who: string): void {
  const rows = box.states.get(snapshot.highestModseq)
  assert.ok(rows !== undefined, `${who}: ${box.name} never was at ${snapshot.highestModseq}`)
  same(shown(snapshot), rows, `${who}: ${box.name} at ${snapshot.highestModseq}`)
}

/** Whoever had the rows of `since` has those of `highestModseq` by this change. */
export function catchesUp(
  box: Box,
  since: number,
  change: {
    readonly highestModseq: number
    readonly changed: Rows
    readonly vanished: Iterable<number>
    readonly complete: boolean
  },
): void {
  const now = box.states.get(change.highestModseq)
  assert.ok(now !== undefined)
  const rows = new Map(box.states.get(since))
  for (const uid of change.vanished) rows.delete(uid)
  for (const [uid, row] of change.changed) {
    assert.ok(row.modseq > since)
    rows.set(uid, row)
  }
  if (!change.complete) for (const uid of rows.keys()) if (!now.has(uid)) rows.delete(uid)
  const sorted = new Map([...rows].sort(([one], [other]) => one - other))
  same(sorted, now, `${box.name} from ${since} to ${change.highestModseq}`)
}

/** Flags after a STORE. */
export function stored(
  old: readonly string[],
  action: 'set' | 'add' | 'remove',
  given: readonly string[],
): readonly string[] {
  if (action === 'set') return given
  return action === 'add' ? [...new Set([...old, ...given])] : old.filter((flag) => !given.includes(flag))
}

/** A snapshot that was handed out, and what it was then. */
export class HandedOut {
  readonly #snapshot: MailboxSnapshot
  readonly #then: readonly (Uint32Array | Float64Array | Int16Array)[]
  readonly #sets: readonly FlagSet[]

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot
    this.#then = this.#columns.map((column) => column.slice())
    this.#sets = snapshot.flagSets.map((set) => [...set])
  }

  get #columns(): readonly (Uint32Array | Float64Array | Int16Array)[] {
    const { uids, flags, modseqs, sizes, internalDates, zones } = this.#snapshot
    return [uids, flags, modseqs, sizes, internalDates, zones]
  }

  isStill(): void {
    for (const [i, column] of this.#columns.entries())
      assert.deepEqual(column, this.#then[i], 'a snapshot changed after it was handed out')
    assert.deepEqual(this.#snapshot.flagSets, this.#sets)
  }
}
