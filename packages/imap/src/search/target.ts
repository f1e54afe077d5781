// What a search looks at: a mailbox with its rows as columns, by position (sequence number - 1). The selected one as the client knows it, or any other as it is.

import type { FlagSet, Mailbox, MailboxSnapshot, MessageRow } from '../backend.ts'
import type { MailboxView } from '../server/view.ts'

/** Columns of equal length, ascending by UID. */
export interface RowColumns {
  readonly uids: Uint32Array
  /** Index into `flagSets`. */
  readonly flags: Uint32Array
  readonly flagSets: readonly FlagSet[]
  readonly modseqs: Float64Array
  readonly sizes: Float64Array
  readonly internalDates: Float64Array
  readonly zones: Int16Array
}

export interface SearchTarget {
  readonly mailbox: Mailbox
  readonly count: number
  readonly rows: RowColumns
  /** What `$` stands for: UIDs, ascending. */
  readonly saved: Uint32Array
  isRecent(uid: number): boolean
}

const NOTHING = new Uint32Array(0)
const NO_FLAGS: FlagSet = []

/** The selected mailbox as the client knows it at this moment. */
export function targetOfView(view: MailboxView): SearchTarget {
  const { uids } = view
  const { snapshot, overlay } = view.layers
  const { buffer, byteOffset, length } = snapshot.uids
  const same = overlay.size === 0 && uids.buffer === buffer && uids.byteOffset === byteOffset && uids.length === length
  return {
    mailbox: view.mailbox,
    count: uids.length,
    rows: same ? snapshot : new LayeredRows(uids.slice(), snapshot, overlay),
    saved: view.saved,
    isRecent: (uid) => view.isRecent(uid),
  }
}

/** A mailbox that is not selected. `recentUid`: the first UID that no session has seen. */
export function targetOfSnapshot(mailbox: Mailbox, snapshot: MailboxSnapshot, recentUid: number): SearchTarget {
  return {
    mailbox,
    count: snapshot.uids.length,
    rows: snapshot,
    saved: NOTHING,
    isRecent: (uid) => uid >= recentUid,
  }
}

type Column = Uint32Array | Float64Array | Int16Array

/** Columns of a snapshot with newer rows over it; each is made when it is asked for. */
class LayeredRows implements RowColumns {
  readonly uids: Uint32Array
  readonly #snapshot: MailboxSnapshot
  /** Position → index into the snapshot. -1: not in it. */
  readonly #from: Int32Array
  readonly #newer: { readonly position: number; readonly row: MessageRow }[] = []
  #flags: { readonly column: Uint32Array; readonly sets: readonly FlagSet[] } | undefined
  #modseqs: Float64Array | undefined
  #sizes: Float64Array | undefined
  #internalDates: Float64Array | undefined
  #zones: Int16Array | undefined

  constructor(uids: Uint32Array, snapshot: MailboxSnapshot, overlay: ReadonlyMap<number, MessageRow>) {
    this.uids = uids
    this.#snapshot = snapshot
    this.#from = new Int32Array(uids.length)
    let at = 0
    for (let position = 0; position < uids.length; position++) {
      const uid = uids[position] ?? 0
      while ((snapshot.uids[at] ?? Infinity) < uid) at++
      this.#from[position] = snapshot.uids[at] === uid ? at : -1
      const row = overlay.size === 0 ? undefined : overlay.get(uid)
      if (row !== undefined) this.#newer.push({ position, row })
    }
  }

  #column<C extends Column>(out: C, from: C, value: (row: MessageRow) => number): C {
    for (let position = 0; position < out.length; position++) out[position] = from[this.#from[position] ?? -1] ?? 0
    for (const { position, row } of this.#newer) out[position] = value(row)
    return out
  }

  #withFlags(): { readonly column: Uint32Array; readonly sets: readonly FlagSet[] } {
    if (this.#flags !== undefined) return this.#flags
    const sets: FlagSet[] = [...this.#snapshot.flagSets]
    // A message without a row (there should be none) has no flags.
    const none = sets.push(NO_FLAGS) - 1
    const known = new Map(sets.map((set, index) => [set, index]))
    const index = (set: FlagSet): number => {
      let found = known.get(set)
      if (found === undefined) known.set(set, (found = sets.push(set) - 1))
      return found
    }
    const column = this.#column(new Uint32Array(this.uids.length), this.#snapshot.flags, (row) => index(row.flags))
    const newer = new Set(this.#newer.map(({ position }) => position))
    this.#from.forEach((from, position) => {
      if (from < 0 && !newer.has(position)) column[position] = none
    })
    return (this.#flags = { column, sets })
  }

  get flags(): Uint32Array {
    return this.#withFlags().column
  }

  get flagSets(): readonly FlagSet[] {
    return this.#withFlags().sets
  }

  get modseqs(): Float64Array {
    return (this.#modseqs ??= this.#column(
      new Float64Array(this.uids.length),
      this.#snapshot.modseqs,
      (row) => row.modseq,
    ))
  }

  get sizes(): Float64Array {
    return (this.#sizes ??= this.#column(new Float64Array(this.uids.length), this.#snapshot.sizes, (row) => row.size))
  }

  get internalDates(): Float64Array {
    return (this.#internalDates ??= this.#column(
      new Float64Array(this.uids.length),
      this.#snapshot.internalDates,
      (row) => row.internalDate,
    ))
  }

  get zones(): Int16Array {
    return (this.#zones ??= this.#column(new Int16Array(this.uids.length), this.#snapshot.zones, (row) => row.zone))
  }
}
