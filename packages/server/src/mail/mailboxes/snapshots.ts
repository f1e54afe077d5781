// Snapshots of the mailboxes in use: shared by their sessions, brought up to date by what changed, packed for the next start.

import { setImmediate as turn } from 'node:timers/promises'
import type { FlagSet, MailboxDelta, MailboxSnapshot, MessageRow } from '@aviso/imap'
import { LRUCache } from 'lru-cache'
import type { Scope } from '../../kernel/scope.ts'
import { answered } from './answers.ts'
import type { MailCalls } from './calls.ts'
import { changesSince, type WholeChanges } from './changes.ts'
import type { News, Watch } from './news.ts'
import {
  allColumns,
  type Columns,
  lowerBound,
  mergeColumns,
  NO_ROWS,
  rowsFrom,
  translate,
  withFlags,
} from './columns.ts'
import { packColumns } from './packed-columns.ts'
import { columnsOfPacked, type Moment, type Packed } from './snapshot-operations.ts'
import type { KnownRows, StoreOutcome } from './store-flags.ts'

/** A snapshot whose columns are made when they are asked for. */
class ColumnsSnapshot implements MailboxSnapshot {
  readonly uidValidity: number
  readonly uidNext: number
  readonly highestModseq: number
  readonly flagSets: readonly FlagSet[]
  readonly #columns: Columns

  constructor({ uidValidity, uidNext, highestModseq }: Moment, columns: Columns, flagSets: readonly FlagSet[]) {
    this.uidValidity = uidValidity
    this.uidNext = uidNext
    this.highestModseq = highestModseq
    this.flagSets = flagSets
    this.#columns = columns
  }

  get uids(): Uint32Array {
    return this.#columns.uids
  }

  get flags(): Uint32Array {
    return this.#columns.flagsets
  }

  get modseqs(): Float64Array {
    return this.#columns.modseqs
  }

  get sizes(): Float64Array {
    return this.#columns.sizes
  }

  get internalDates(): Float64Array {
    return this.#columns.internalDates
  }

  get zones(): Int16Array {
    return this.#columns.zones
  }
}

/** A snapshot and what the next one is made from. In `columns`, flag sets are indexes into the snapshot's list. */
interface Kept {
  readonly snapshot: MailboxSnapshot
  readonly columns: Columns
  readonly indexOf: ReadonlyMap<number, number>
  readonly packed: Packed
  /** Rows that came since the packed columns were made, and rows that went. */
  readonly loose: number
  /** Nothing was expunged after this modseq. */
  readonly vanishedAt: number
  /** Tells when the mailbox is another. */
  readonly watch?: Watch | undefined
}

const NOTHING_PACKED: Packed = { modseq: -1, uidNext: 1, behind: 0 }

/** Octets of one row in `Kept`: in columns, and as they were packed. */
const ROW_OCTETS = 34 + 21
/** With this many flag sets more than rows, most are of the past: the list is made anew. Well above SMALL_IDS. */
const PAST_SETS = 1024

/** From how many rows on columns are packed. */
export interface Packing {
  /** Mailboxes with fewer rows than this are read in a few milliseconds: their columns are not kept packed. */
  readonly worth: number
  /** So many new rows are read in a millisecond: they are not packed behind the others. */
  readonly few: number
  /** With so many rows that are not where they should be, and one in 64, all are packed anew. */
  readonly loose: number
  /** Changed rows after which the columns of a mailbox that nobody looks at are packed nevertheless. */
  readonly changes: number
}

const PACKING: Packing = { worth: 4096, few: 64, loose: 256, changes: 2048 }

/** Who has opened a mailbox asks for more at once: its columns are packed when that is answered. Milliseconds. */
const PACK_LATER = 3000
/** Rows of which objects are made in one turn of the event loop: about two milliseconds. */
const ROWS_A_TURN = 8192

const NOTHING: Kept = {
  snapshot: new ColumnsSnapshot({ uidValidity: 0, uidNext: 1, highestModseq: 0 }, NO_ROWS, []),
  columns: NO_ROWS,
  indexOf: new Map(),
  packed: NOTHING_PACKED,
  loose: 0,
  vanishedAt: 0,
}

/** Keeps the newest snapshots, up to `octets` in all. */
export class Snapshots {
  readonly #kept: LRUCache<string, Kept>
  /** Rows changed, by mailbox, since its columns were last looked at. */
  readonly #changed = new Map<string, number>()
  readonly #refreshing = new Set<string>()
  readonly #loading = new Map<string, Promise<unknown>>()
  readonly #packing = new Set<string>()
  readonly #scope: Scope
  readonly #packs: Packing

  readonly news: News

  constructor(scope: Scope, octets: number, news: News, packing = PACKING) {
    this.#scope = scope
    this.news = news
    this.#packs = packing
    this.#kept = new LRUCache<string, Kept>({
      maxSize: octets,
      sizeCalculation: (kept) => 1024 + kept.columns.uids.length * ROW_OCTETS + kept.snapshot.flagSets.length * 64,
    })
  }

  /** The mailbox as it is now. Rejects with `BackendError`. */
  snapshot(account: string, calls: MailCalls, mailbox: number): Promise<MailboxSnapshot> {
    return this.#snapshot(account, calls, mailbox, PACK_LATER)
  }

  /** `pack`: in how many milliseconds its columns are packed, where that is worth it. */
  async #snapshot(account: string, calls: MailCalls, mailbox: number, pack: number): Promise<MailboxSnapshot> {
    const key = keyOf(account, mailbox)
    const watch = this.news.follow(account)
    // What is being read is not read twice; what happened since it began is put on top.
    await this.#loading.get(key)
    let old = this.#kept.get(key)
    if (old?.watch?.knows(mailbox, old.snapshot.highestModseq) === true) return old.snapshot
    if (old !== undefined && old.snapshot.flagSets.length > PAST_SETS + old.columns.uids.length) old = undefined
    const fresh = old === undefined ? undefined : await advance(calls, mailbox, old)
    if (fresh === undefined) return this.#load(key, watch, calls, mailbox, pack)
    if (fresh !== old || old?.watch !== watch) this.#keep(key, { ...fresh, watch }, calls, mailbox, pack)
    return fresh.snapshot
  }

  /** What changed in the mailbox after `since`, where that is known here; else undefined. Of many rows, some at a time. */
  async delta(account: string, mailbox: number, since: number): Promise<MailboxDelta | undefined> {
    const kept = this.#kept.peek(keyOf(account, mailbox))
    if (kept === undefined || since < kept.vanishedAt) return undefined
    const { uidNext, highestModseq, flagSets } = kept.snapshot
    if (since > highestModseq || kept.watch?.knows(mailbox, highestModseq) !== true) return undefined
    const { uids, flagsets, modseqs, sizes, internalDates, zones } = kept.columns
    const changed: MessageRow[] = []
    for (let i = 0; i < uids.length; i++) {
      const modseq = modseqs[i] ?? 0
      if (modseq <= since) continue
      changed.push({
        uid: uids[i] ?? 0,
        flags: flagSets[flagsets[i] ?? 0] ?? [],
        modseq,
        size: sizes[i] ?? 0,
        internalDate: internalDates[i] ?? 0,
        zone: zones[i] ?? 0,
      })
      // Nothing of this is written to, whatever happens meanwhile.
      if (changed.length % ROWS_A_TURN === 0) await turn()
    }
    return { highestModseq, uidNext, changed, vanished: [], complete: true }
  }

  /** The rows of the mailbox as far as they are known here, for a STORE on many. */
  known(account: string, mailbox: number): KnownRows | undefined {
    const kept = this.#kept.peek(keyOf(account, mailbox))
    if (kept === undefined) return undefined
    const sets: number[] = kept.snapshot.flagSets.map(() => 0)
    for (const [id, index] of kept.indexOf) sets[index] = id
    return { modseq: kept.snapshot.highestModseq, columns: allColumns(kept.columns), sets }
  }

  /** Says that one call changed flags of many rows, and how: so that nobody need read them again. */
  changedFlags(account: string, calls: MailCalls, mailbox: number, outcome: StoreOutcome): void {
    const { rows, before, highestModseq } = outcome
    const key = keyOf(account, mailbox)
    const old = this.#kept.peek(key)
    if (rows.uids.length < this.#packs.changes || old?.snapshot.highestModseq !== before) {
      this.changed(account, calls, mailbox, rows.uids.length)
      return
    }
    const { uidValidity, uidNext } = old.snapshot
    const changes: WholeChanges = {
      moment: { uidValidity, uidNext, highestModseq },
      columns: rows,
      sets: new Map(outcome.sets),
      vanished: new Uint32Array(),
      complete: true,
    }
    this.#keep(key, { ...next(old, changes), watch: old.watch }, calls, mailbox, PACK_LATER)
  }

  /** Says that `rows` rows of a mailbox were changed: after many, its columns are packed in the background. */
  changed(account: string, calls: MailCalls, mailbox: number, rows: number): void {
    if (rows === 0) return
    const key = keyOf(account, mailbox)
    const sum = (this.#changed.get(key) ?? 0) + rows
    if (sum < this.#packs.changes) return void this.#changed.set(key, sum)
    // One at a time: what changes meanwhile is for the next one.
    if (this.#refreshing.has(key)) return void this.#changed.set(key, sum)
    this.#changed.delete(key)
    this.#refreshing.add(key)
    this.#inBackground(key, () =>
      this.#snapshot(account, calls, mailbox, 0).finally(() => {
        this.#refreshing.delete(key)
      }),
    )
  }

  async #load(key: string, watch: Watch, calls: MailCalls, mailbox: number, pack: number): Promise<MailboxSnapshot> {
    const loading = load(calls, mailbox).then((fresh) => {
      this.#keep(key, { ...fresh, watch }, calls, mailbox, pack)
      return fresh.snapshot
    })
    const over = loading.catch(() => undefined)
    this.#loading.set(key, over)
    try {
      return await loading
    } finally {
      if (this.#loading.get(key) === over) this.#loading.delete(key)
    }
  }

  #keep(key: string, fresh: Kept, calls: MailCalls, mailbox: number, pack: number): void {
    const newest = this.#kept.peek(key)
    if (newest !== undefined && newest.snapshot.highestModseq > fresh.snapshot.highestModseq) return
    this.#kept.set(key, fresh)
    this.#changed.delete(key)
    if (!this.#isWorthPacking(fresh) || this.#packing.has(key) || this.#scope.signal.aborted) return
    this.#packing.add(key)
    const work = (): void => this.#inBackground(key, () => this.#pack(key, calls, mailbox))
    if (pack === 0) work()
    else this.#scope.timeout(pack, work)
  }

  /** Packs the mailbox as it is known by now: all of it, or the rows that came since that was done. */
  async #pack(key: string, calls: MailCalls, mailbox: number): Promise<void> {
    try {
      const newest = this.#kept.peek(key)
      if (newest === undefined || !this.#isWorthPacking(newest)) return
      const { columns, snapshot, packed, indexOf } = newest
      const behind = this.#isFarBehind(newest) ? undefined : packed.modseq
      const rows = behind === undefined ? columns : rowsFrom(columns, lowerBound(columns.uids, packed.uidNext))
      const made =
        behind === undefined
          ? { modseq: snapshot.highestModseq, uidNext: snapshot.uidNext, behind: 0 }
          : { ...packed, behind: newest.loose }
      this.#kept.set(key, { ...newest, packed: made, loose: behind === undefined ? 0 : newest.loose })
      const ids = new Map([...indexOf].map(([id, index]) => [index, id]))
      const named = packColumns(withFlags(rows, { flagsets: translate(rows.flagsets, ids) }))
      await answered(calls.pack({ mailbox, modseq: snapshot.highestModseq, columns: named, behind }))
    } finally {
      this.#packing.delete(key)
    }
  }

  /** So many rows are not where they should be that all are better packed anew. */
  #isFarBehind({ columns, packed, loose }: Kept): boolean {
    return packed.modseq < 0 || loose > this.#packs.loose + columns.uids.length / 64
  }

  #isWorthPacking(kept: Kept): boolean {
    return (
      kept.columns.uids.length >= this.#packs.worth &&
      (this.#isFarBehind(kept) || kept.loose - kept.packed.behind > this.#packs.few)
    )
  }

  #inBackground(key: string, work: () => Promise<unknown>): void {
    work().catch((error: unknown) => this.#scope.log.debug({ err: error, mailbox: key }, 'packing a snapshot failed'))
  }
}

const keyOf = (account: string, mailbox: number): string => `${account}/${mailbox}`

/** `old` as it is now; undefined where it must be made anew. */
async function advance(calls: MailCalls, mailbox: number, old: Kept): Promise<Kept | undefined> {
  const changes = await changesSince(calls, mailbox, old.snapshot.highestModseq)
  // An erased account's number is not given again, but be sure: a mailbox is known by its UIDVALIDITY too.
  if (changes.moment.uidValidity !== old.snapshot.uidValidity || !changes.complete) return undefined
  return changes.moment.highestModseq < old.snapshot.highestModseq ? undefined : next(old, changes)
}

/** From the packed columns, or row by row. */
async function load(calls: MailCalls, mailbox: number): Promise<Kept> {
  const { packed, changes } = await answered(calls.begin({ mailbox }))
  if (packed === undefined) return next(NOTHING, await changesSince(calls, mailbox, 0, changes))
  const whole = await changesSince(calls, mailbox, packed.kept.modseq, changes)
  // Trimmed while we read: rows that are gone would stay.
  if (!whole.complete) return next(NOTHING, await changesSince(calls, mailbox, 0))
  const then: WholeChanges = {
    moment: { ...changes.moment, highestModseq: packed.kept.modseq },
    columns: columnsOfPacked(packed),
    sets: new Map(packed.sets),
    vanished: new Uint32Array(),
    complete: true,
  }
  return next({ ...next(NOTHING, then), packed: packed.kept, loose: packed.kept.behind }, whole)
}

/** Ids below this are indexes too, where they can be. */
const SMALL_IDS = 512
/** Stands where no flag set is. */
const NO_SET: FlagSet = []

/** Puts a flag set into the list; answers where. */
function place(flagSets: FlagSet[], id: number, flags: FlagSet): number {
  if (id >= SMALL_IDS || (flagSets[id] ?? NO_SET) !== NO_SET) return flagSets.push(flags) - 1
  while (flagSets.length <= id) flagSets.push(NO_SET)
  flagSets[id] = flags
  return id
}

/** `changes` put on `old`. What is unchanged is shared; nothing that was handed out is written to. */
function next(old: Kept, { moment, columns: changed, sets, vanished }: WholeChanges): Kept {
  const { uidValidity, highestModseq, uidNext } = moment
  if (old.snapshot.highestModseq === highestModseq) return old
  const indexOf = new Map(old.indexOf)
  const flagSets: FlagSet[] = [...old.snapshot.flagSets]
  for (const [id, flags] of sets) if (!indexOf.has(id)) indexOf.set(id, place(flagSets, id, flags))
  // Most rows name their flag sets right already: a hundred thousand need not be looked at.
  const named = [...sets.keys()].every((id) => indexOf.get(id) === id)
  const renamed = named ? changed : withFlags(changed, { flagsets: translate(changed.flagsets, indexOf) })
  const columns = mergeColumns(old.columns, renamed, vanished)
  return {
    columns,
    indexOf,
    packed: old.packed,
    // Flags are in blocks, which are read quickly: what is packed need not have them.
    loose: old.loose + (columns.uids === old.columns.uids ? 0 : changed.uids.length) + vanished.length,
    vanishedAt: vanished.length > 0 || old === NOTHING ? highestModseq : old.vanishedAt,
    snapshot: new ColumnsSnapshot({ uidValidity, uidNext, highestModseq }, columns, flagSets),
  }
}
