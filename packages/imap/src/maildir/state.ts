// What is known of one folder: its messages, what happened to them, and which letter is which keyword. No disk.

import type { FlagSet, MailboxDelta, MailboxSnapshot, MessageRow } from '../backend.ts'

/** One message. */
export interface Row extends MessageRow {
  readonly base: string
  flags: FlagSet
  modseq: number
  readonly saveDate: number
  /** Where its file is, relative to the folder (`cur/...`); undefined until a scan has found it. */
  file: string | undefined
}

/** One line of the index: what `change` brought about. */
export type Change =
  | { readonly kind: 'message'; readonly row: Omit<Row, 'file'> }
  | { readonly kind: 'flags'; readonly uid: number; readonly modseq: number; readonly flags: FlagSet }
  | { readonly kind: 'gone'; readonly uid: number; readonly modseq: number }
  | { readonly kind: 'recent'; readonly uid: number }
  /** History before `floor` is not kept. */
  | { readonly kind: 'start'; readonly floor: number; readonly modseq: number }

export interface Counts {
  readonly messages: number
  readonly unseen: number
  readonly deleted: number
  readonly size: number
  readonly deletedSize: number
}

export class FolderState {
  readonly uidValidity: number
  /** Names of files that have a UID, also of messages that are gone. */
  readonly uids = new Map<string, number>()
  readonly gone = new Map<number, number>()
  keywords: readonly (string | undefined)[] = []
  uidNext = 1
  highestModseq = 0
  floor = 0
  recentUid = 1
  #rows = new Map<number, Row>()
  #sorted: readonly Row[] | undefined
  #snapshot: MailboxSnapshot | undefined
  #sets = new Map<string, FlagSet>()

  constructor(uidValidity: number) {
    this.uidValidity = uidValidity
  }

  /** Takes a change in that is on the disk. */
  apply(change: Change): void {
    this.#snapshot = undefined
    switch (change.kind) {
      case 'message': {
        const { row } = change
        this.#rows.set(row.uid, { ...row, flags: this.shared(row.flags), file: undefined })
        this.#sorted = undefined
        this.uidNext = Math.max(this.uidNext, row.uid + 1)
        this.#rise(row.modseq)
        break
      }
      case 'flags': {
        const row = this.#rows.get(change.uid)
        if (row !== undefined) Object.assign(row, { flags: this.shared(change.flags), modseq: change.modseq })
        this.#rise(change.modseq)
        break
      }
      case 'gone':
        this.#rows.delete(change.uid)
        this.#sorted = undefined
        this.gone.set(change.uid, change.modseq)
        this.uidNext = Math.max(this.uidNext, change.uid + 1)
        this.#rise(change.modseq)
        break
      case 'recent':
        this.recentUid = Math.max(this.recentUid, change.uid)
        break
      case 'start':
        this.floor = change.floor
        this.#rise(change.modseq)
    }
  }

  #rise(modseq: number): void {
    this.highestModseq = Math.max(this.highestModseq, modseq)
  }

  /** The one array for these flags. */
  shared(flags: FlagSet): FlagSet {
    const key = [...flags].sort().join(' ')
    const known = this.#sets.get(key)
    if (known !== undefined) return known
    this.#sets.set(key, flags)
    return flags
  }

  get(uid: number): Row | undefined {
    return this.#rows.get(uid)
  }

  /** All rows, ascending by UID. */
  get rows(): readonly Row[] {
    this.#sorted ??= [...this.#rows.values()].sort((a, b) => a.uid - b.uid)
    return this.#sorted
  }

  /** Rows of these UIDs that exist, ascending, each once. */
  find(uids: readonly number[]): Row[] {
    return [...new Set(uids)]
      .map((uid) => this.#rows.get(uid))
      .filter((row) => row !== undefined)
      .sort((a, b) => a.uid - b.uid)
  }

  /** The whole state as changes, for a new index. */
  *changes(): Generator<Change> {
    yield { kind: 'start', floor: this.floor, modseq: this.highestModseq }
    yield { kind: 'recent', uid: this.recentUid }
    for (const [uid, modseq] of this.gone) yield { kind: 'gone', uid, modseq }
    for (const row of this.rows) yield { kind: 'message', row }
  }

  /** Forgets the oldest history, so that at most `most` expunged messages are kept. */
  trim(most: number): void {
    const surplus = this.gone.size - most
    if (surplus <= 0) return
    for (const [uid, modseq] of [...this.gone].sort(([, a], [, b]) => a - b).slice(0, surplus)) {
      this.gone.delete(uid)
      this.floor = Math.max(this.floor, modseq)
    }
  }

  snapshot(): MailboxSnapshot {
    if (this.#snapshot !== undefined) return this.#snapshot
    const { rows } = this
    const flagSets: FlagSet[] = []
    const index = new Map<FlagSet, number>()
    this.#snapshot = {
      uidValidity: this.uidValidity,
      uidNext: this.uidNext,
      highestModseq: this.highestModseq,
      uids: Uint32Array.from(rows, (row) => row.uid),
      flags: Uint32Array.from(rows, ({ flags }) => {
        let at = index.get(flags)
        if (at === undefined) index.set(flags, (at = flagSets.push(flags) - 1))
        return at
      }),
      flagSets,
      modseqs: Float64Array.from(rows, (row) => row.modseq),
      sizes: Float64Array.from(rows, (row) => row.size),
      internalDates: Float64Array.from(rows, (row) => row.internalDate),
      zones: Int16Array.from(rows, (row) => row.zone),
    }
    return this.#snapshot
  }

  delta(since: number): MailboxDelta {
    return {
      highestModseq: this.highestModseq,
      uidNext: this.uidNext,
      changed: this.rows.filter((row) => row.modseq > since).map(toMessageRow),
      vanished: [...this.gone]
        .filter(([, modseq]) => modseq > since)
        .map(([uid]) => uid)
        .sort((a, b) => a - b),
      complete: since >= this.floor,
    }
  }

  counts(): Counts {
    const counts = { messages: 0, unseen: 0, deleted: 0, size: 0, deletedSize: 0 }
    for (const { flags, size } of this.rows) {
      counts.messages++
      counts.size += size
      if (!flags.includes('\\Seen')) counts.unseen++
      if (!flags.includes('\\Deleted')) continue
      counts.deleted++
      counts.deletedSize += size
    }
    return counts
  }
}

export const toMessageRow = ({ uid, flags, modseq, size, internalDate, zone }: Row): MessageRow => ({
  uid,
  flags,
  modseq,
  size,
  internalDate,
  zone,
})
