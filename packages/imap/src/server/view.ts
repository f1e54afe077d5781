// One session's picture of its selected mailbox: sequence numbers, and what the client has been told.
//
// The rows come from the store's shared snapshot; changes since then lie over it until there are many. Nothing here speaks to the client:
// `sync.ts` decides what may be said when.

import type { FlagSet, Mailbox, MailboxDelta, MailboxSnapshot, MessageRow, StoreResult } from '../backend.ts'
import type { SearchContexts } from '../search/contexts.ts'
import type { Pace } from '../search/pace.ts'
import { lowerBound, type Span } from '../wire/number-set.ts'

/** Half-open range of UIDs that are \Recent in this session. */
interface RecentRange {
  readonly from: number
  readonly to: number
}

const NO_FLAGS: FlagSet = []

export class MailboxView {
  readonly mailbox: Mailbox
  /** The name it was selected by. */
  readonly name: string
  readonly readOnly: boolean
  #snapshot: MailboxSnapshot
  /** Rows newer than the snapshot. */
  #overlay = new Map<number, MessageRow>()
  /** UIDs by sequence number - 1: the snapshot's own array until it has to differ. */
  #uids: Uint32Array
  #count: number
  #shared = true
  /** Gone from the mailbox, not yet told to the client. */
  readonly expunged = new Set<number>()
  /** All changes up to here are in the view. */
  modseq: number
  /** The client has heard of all changes up to here. Less than `modseq` while expunges wait to be told. */
  told: number
  /** The client was told that it has not heard all that `modseq` stands for. */
  behind = false
  uidNext: number
  #recent: RecentRange[] = []
  /** UID → modseq of this session's own change, which the client needs not be told. */
  readonly silent = new Map<number, number>()
  /** Keywords that the client was told of in FLAGS, in lower case → spelling. */
  readonly keywords = new Map<string, string>()
  /** The store said that something changed. */
  stale = false
  /** What `$` stands for (RFC 5182): UIDs, ascending. Those that are gone by now are passed over where it is used. */
  saved: Uint32Array = new Uint32Array(0)
  /** Searches whose changes are told with the news (RFC 5267). */
  contexts: SearchContexts | undefined

  constructor(mailbox: Mailbox, name: string, readOnly: boolean, snapshot: MailboxSnapshot) {
    this.mailbox = mailbox
    this.name = name
    this.readOnly = readOnly
    this.#snapshot = snapshot
    this.#uids = snapshot.uids
    this.#count = snapshot.uids.length
    this.modseq = snapshot.highestModseq
    this.told = snapshot.highestModseq
    this.uidNext = snapshot.uidNext
  }

  /** Messages as the client counts them. */
  get count(): number {
    return this.#count
  }

  /** UIDs in sequence order. Do not keep or change. */
  get uids(): Uint32Array {
    return this.#uids.subarray(0, this.#count)
  }

  /** What the rows are made of: a snapshot, and newer rows over it. Do not keep or change. */
  get layers(): { readonly snapshot: MailboxSnapshot; readonly overlay: ReadonlyMap<number, MessageRow> } {
    return { snapshot: this.#snapshot, overlay: this.#overlay }
  }

  uidAt(position: number): number {
    return this.#uids[position] ?? 0
  }

  /** The position (sequence number - 1) of a UID, or -1. */
  position(uid: number): number {
    const at = lowerBound(this.#uids, uid, this.#count)
    return at < this.#count && this.#uids[at] === uid ? at : -1
  }

  row(uid: number): MessageRow | undefined {
    const newer = this.#overlay.get(uid)
    if (newer !== undefined) return newer
    const at = lowerBound(this.#snapshot.uids, uid)
    return this.#snapshot.uids[at] === uid ? this.#snapshotRow(at) : undefined
  }

  #snapshotRow(at: number): MessageRow {
    const snapshot = this.#snapshot
    return {
      uid: snapshot.uids[at] ?? 0,
      flags: snapshot.flagSets[snapshot.flags[at] ?? 0] ?? NO_FLAGS,
      modseq: snapshot.modseqs[at] ?? 0,
      size: snapshot.sizes[at] ?? 0,
      internalDate: snapshot.internalDates[at] ?? 0,
      zone: snapshot.zones[at] ?? 0,
    }
  }

  /** Rows of the positions, in order. The object is used again for the next one: do not keep it. */
  *rows(spans: readonly Span[]): Generator<{ position: number; row: MessageRow }> {
    const snapshot = this.#snapshot
    const overlay = this.#overlay.size === 0 ? undefined : this.#overlay
    const out: { position: number; row: MessageRow } = { position: 0, row: this.#snapshotRow(0) }
    for (const { start, end } of spans) {
      let at = lowerBound(snapshot.uids, this.uidAt(start))
      for (let position = start; position < end && position < this.#count; position++) {
        const uid = this.#uids[position] ?? 0
        while ((snapshot.uids[at] ?? Infinity) < uid) at++
        const row = overlay?.get(uid) ?? (snapshot.uids[at] === uid ? this.#snapshotRow(at) : undefined)
        if (row === undefined) continue
        out.position = position
        out.row = row
        yield out
      }
    }
  }

  /** Walks over the rows of the positions in order, without making an object for each. */
  cursor(spans: readonly Span[]): RowCursor {
    return new RowCursor(spans, this.#count, this.#uids, this.#snapshot, this.#overlay)
  }

  /** Those of the positions whose mod-sequence is above `since`. */
  changedAmong(spans: readonly Span[], since: number): Span[] {
    const changed: { start: number; end: number }[] = []
    const add = (position: number): void => {
      const last = changed.at(-1)
      if (last?.end === position) last.end++
      else changed.push({ start: position, end: position + 1 })
    }
    // What came since lies over the snapshot: a client that is up to date has no row looked at.
    if (this.#snapshot.highestModseq <= since) {
      const newer: number[] = []
      for (const { uid, modseq } of this.#overlay.values()) if (modseq > since) newer.push(this.position(uid))
      newer.sort((a, b) => a - b)
      let at = 0
      for (const { start, end } of spans) {
        while (at < newer.length && (newer[at] ?? 0) < start) at++
        for (; at < newer.length && (newer[at] ?? 0) < end; at++) add(newer[at] ?? 0)
      }
      return changed
    }
    const { uids, modseqs } = this.#snapshot
    const own = this.#uids
    const overlay = this.#overlay.size === 0 ? undefined : this.#overlay
    for (const { start, end } of spans) {
      let at = lowerBound(uids, own[start] ?? 0)
      for (let position = start; position < end && position < this.#count; position++) {
        const uid = own[position] ?? 0
        while (at < uids.length && (uids[at] ?? 0) < uid) at++
        const modseq = overlay?.get(uid)?.modseq ?? (uids[at] === uid ? (modseqs[at] ?? 0) : 0)
        if (modseq > since) add(position)
      }
    }
    return changed
  }

  isRecent(uid: number): boolean {
    // Asked for every row: without an iterator each time.
    const ranges = this.#recent
    for (let i = 0; i < ranges.length; i++) {
      const range = ranges[i]
      if (range !== undefined && uid >= range.from && uid < range.to) return true
    }
    return false
  }

  get recentCount(): number {
    let count = 0
    for (const { from, to } of this.#recent)
      count += lowerBound(this.#uids, to, this.#count) - lowerBound(this.#uids, from, this.#count)
    return count
  }

  addRecent(from: number, to: number): void {
    if (to <= from) return
    const last = this.#recent.at(-1)
    if (last !== undefined && last.to === from) this.#recent[this.#recent.length - 1] = { from: last.from, to }
    else this.#recent.push({ from, to })
  }

  /** Newest state of rows that are in the view already. */
  update(rows: readonly MessageRow[]): void {
    for (const row of rows) {
      // A slower answer must not put an older state back.
      const known = this.#overlay.get(row.uid)
      if (known === undefined || known.modseq <= row.modseq) this.#overlay.set(row.uid, row)
    }
  }

  /** Puts on a change that was the only one. `snapshot`: the mailbox as it is now, where that is less than all those rows. */
  advance(change: StoreResult, snapshot?: MailboxSnapshot): void {
    this.modseq = Math.max(this.modseq, change.highestModseq)
    if (snapshot?.highestModseq === this.modseq) this.rebase(snapshot)
    else this.update(change.rows)
  }

  /** Takes a delta in, slice by slice. Answers the rows that changed for messages the client knows, and the UIDs that are new to it. */
  async take(delta: MailboxDelta, pace: Pace): Promise<{ changed: MessageRow[]; added: number[] }> {
    const last = this.#count === 0 ? 0 : this.uidAt(this.#count - 1)
    const changed: MessageRow[] = []
    const added: number[] = []
    for (const row of delta.changed) {
      if (row.uid > last) added.push(row.uid)
      else if (this.position(row.uid) >= 0) changed.push(row)
      else continue
      this.#overlay.set(row.uid, row)
      if (((changed.length + added.length) & 1023) === 0 && pace.winded) await pace.breathe()
    }
    for (const uid of delta.vanished) if (this.position(uid) >= 0) this.expunged.add(uid)
    this.modseq = Math.max(this.modseq, delta.highestModseq)
    this.uidNext = Math.max(this.uidNext, delta.uidNext)
    this.#append(added)
    return { changed, added }
  }

  #append(uids: readonly number[]): void {
    if (uids.length === 0) return
    this.#own(uids.length)
    for (const uid of uids) this.#uids[this.#count++] = uid
  }

  #own(more: number): void {
    if (!this.#shared && this.#count + more <= this.#uids.length) return
    const room = new Uint32Array(this.#count + more + (more > 0 ? Math.min(1024, 8 + (this.#count >>> 4)) : 0))
    room.set(this.uids)
    this.#uids = room
    this.#shared = false
  }

  /**
   * Removes the expunged messages. Answers their sequence numbers as the client must hear them (descending, each true when it is read) and
   * their UIDs, ascending.
   */
  dropExpunged(): { readonly numbers: readonly number[]; readonly uids: readonly number[] } {
    if (this.expunged.size === 0) return { numbers: [], uids: [] }
    this.#own(0)
    const numbers: number[] = []
    const uids: number[] = []
    let to = 0
    for (let from = 0; from < this.#count; from++) {
      const uid = this.#uids[from] ?? 0
      if (this.expunged.has(uid)) {
        numbers.push(from + 1)
        uids.push(uid)
        this.#overlay.delete(uid)
        this.silent.delete(uid)
      } else {
        this.#uids[to++] = uid
      }
    }
    this.#count = to
    this.expunged.clear()
    return { numbers: numbers.reverse(), uids }
  }

  /** True when reading is better served by a fresh snapshot than by what lies over the old one. */
  get crowded(): boolean {
    return this.#overlay.size > Math.max(256, this.#snapshot.uids.length >>> 3)
  }

  /** Puts a newer snapshot below. Rows of messages that are gone but not yet told stay readable. */
  rebase(snapshot: MailboxSnapshot): void {
    if (snapshot.highestModseq !== this.modseq) return
    const kept = new Map<number, MessageRow>()
    for (const uid of this.expunged) {
      const row = this.row(uid)
      if (row !== undefined) kept.set(uid, row)
    }
    this.#snapshot = snapshot
    this.#overlay = kept
    if (this.expunged.size === 0 && this.#count === snapshot.uids.length && sameUids(this.uids, snapshot.uids)) {
      this.#uids = snapshot.uids
      this.#shared = true
    }
  }
}

/** One row at a time: after `next()` answered true, the fields are those of the row at `position`, until the next call. Columns of the snapshot that nobody asks for are not touched. */
export class RowCursor implements MessageRow {
  position = -1
  uid = 0
  readonly #spans: readonly Span[]
  readonly #count: number
  readonly #uids: Uint32Array
  readonly #snapshot: MailboxSnapshot
  /** The snapshot's UIDs. */
  readonly #below: Uint32Array
  /** Its other columns, once they were asked for. */
  #flags: Uint32Array | undefined
  #modseqs: Float64Array | undefined
  #sizes: Float64Array | undefined
  #internalDates: Float64Array | undefined
  #zones: Int16Array | undefined
  readonly #overlay: ReadonlyMap<number, MessageRow> | undefined
  /** The row at `position`, where a newer one lies over the snapshot. */
  #newer: MessageRow | undefined
  #span = -1
  #end = 0
  /** Index into the snapshot at or before which the next row is. */
  #at = 0

  constructor(
    spans: readonly Span[],
    count: number,
    uids: Uint32Array,
    snapshot: MailboxSnapshot,
    overlay: ReadonlyMap<number, MessageRow>,
  ) {
    this.#spans = spans
    this.#count = count
    this.#uids = uids
    this.#snapshot = snapshot
    this.#below = snapshot.uids
    this.#overlay = overlay.size === 0 ? undefined : overlay
  }

  next(): boolean {
    for (;;) {
      this.position++
      while (this.position >= this.#end) {
        const span = this.#spans[++this.#span]
        if (span === undefined) return false
        this.position = span.start
        this.#end = Math.min(span.end, this.#count)
        this.#at = lowerBound(this.#below, this.#uids[span.start] ?? 0)
      }
      if (this.#find(this.#uids[this.position] ?? 0)) return true
    }
  }

  #find(uid: number): boolean {
    this.uid = uid
    this.#newer = this.#overlay?.get(uid)
    if (this.#newer !== undefined) return true
    const below = this.#below
    let at = this.#at
    while ((below[at] ?? Infinity) < uid) at++
    this.#at = at
    return below[at] === uid
  }

  get flags(): FlagSet {
    if (this.#newer !== undefined) return this.#newer.flags
    this.#flags ??= this.#snapshot.flags
    return this.#snapshot.flagSets[this.#flags[this.#at] ?? 0] ?? NO_FLAGS
  }

  get modseq(): number {
    if (this.#newer !== undefined) return this.#newer.modseq
    this.#modseqs ??= this.#snapshot.modseqs
    return this.#modseqs[this.#at] ?? 0
  }

  get size(): number {
    if (this.#newer !== undefined) return this.#newer.size
    this.#sizes ??= this.#snapshot.sizes
    return this.#sizes[this.#at] ?? 0
  }

  get internalDate(): number {
    if (this.#newer !== undefined) return this.#newer.internalDate
    this.#internalDates ??= this.#snapshot.internalDates
    return this.#internalDates[this.#at] ?? 0
  }

  get zone(): number {
    if (this.#newer !== undefined) return this.#newer.zone
    this.#zones ??= this.#snapshot.zones
    return this.#zones[this.#at] ?? 0
  }

  /** The row as a value of its own. */
  row(): MessageRow {
    const { uid, flags, modseq, size, internalDate, zone } = this
    return { uid, flags, modseq, size, internalDate, zone }
  }
}

function sameUids(a: Uint32Array, b: Uint32Array): boolean {
  if (a.buffer === b.buffer && a.byteOffset === b.byteOffset) return true
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
