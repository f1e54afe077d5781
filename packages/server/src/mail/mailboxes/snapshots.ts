// Snapshots of the mailboxes in use: shared by their sessions, brought up to date by deltas.

import type { FlagSet, MailboxSnapshot } from '@aviso/imap'
import { LRUCache } from 'lru-cache'
import type { Log } from '../../kernel/log.ts'
import type { Calls } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import { type Columns, mergeColumns } from './columns.ts'
import type { PackedSnapshot } from './read-operations.ts'
import type { mailStore } from './store.ts'

export type MailCalls = Calls<typeof mailStore.operations>

/** A snapshot and what the next one is made from. In `columns`, flag sets are indexes into the snapshot's list. */
interface Kept {
  readonly snapshot: MailboxSnapshot
  readonly columns: Columns
  readonly indexOf: ReadonlyMap<number, number>
}

/** Octets of one row in `Kept`. */
const ROW_OCTETS = 36
/** With this many flag sets more than rows, most are of the past: the list is made anew. */
const PAST_SETS = 1024

/** Keeps the newest snapshots, up to `octets` in all. */
export class Snapshots {
  readonly #kept: LRUCache<string, Kept>
  readonly #packing = new Set<string>()
  readonly #log: Log

  constructor(log: Log, octets: number) {
    this.#log = log
    this.#kept = new LRUCache<string, Kept>({
      maxSize: octets,
      sizeCalculation: (kept) => 1024 + kept.columns.uids.length * ROW_OCTETS + kept.snapshot.flagSets.length * 64,
    })
  }

  /** The mailbox as it is now. Rejects with `BackendError`. */
  async snapshot(account: string, calls: MailCalls, mailbox: number): Promise<MailboxSnapshot> {
    const key = `${account}/${mailbox}`
    let old = this.#kept.get(key)
    if (old !== undefined && old.snapshot.flagSets.length > PAST_SETS + old.columns.uids.length) old = undefined
    const packed = await answered(calls.snapshot({ mailbox, have: old?.snapshot.highestModseq }))
    if (packed.worthPacking) this.#pack(key, calls, mailbox)
    // An erased account's number is not given again, but be sure: a mailbox is known by its UIDVALIDITY too.
    if (packed.onTop && packed.uidValidity !== old?.snapshot.uidValidity) {
      this.#kept.delete(key)
      return this.snapshot(account, calls, mailbox)
    }
    const fresh = next(packed.onTop ? old : undefined, packed)
    const newest = this.#kept.peek(key)
    if (newest === undefined || newest.snapshot.highestModseq <= fresh.snapshot.highestModseq)
      this.#kept.set(key, fresh)
    return fresh.snapshot
  }

  #pack(key: string, calls: MailCalls, mailbox: number): void {
    if (this.#packing.has(key)) return
    this.#packing.add(key)
    calls
      .pack({ mailbox })
      .catch((error: unknown) => this.#log.debug({ err: error, mailbox: key }, 'packing a snapshot failed'))
      .finally(() => this.#packing.delete(key))
  }
}

/** `packed` put on `old`, or by itself. What is unchanged is shared; nothing that was handed out is written to. */
function next(old: Kept | undefined, { uidValidity, delta }: PackedSnapshot): Kept {
  const { highestModseq, uidNext, changed, vanished } = delta
  if (old !== undefined && old.snapshot.highestModseq === highestModseq) return old
  const indexOf = new Map(old?.indexOf)
  const flagSets: FlagSet[] = [...(old?.snapshot.flagSets ?? [])]
  for (const [id, flags] of delta.sets) if (!indexOf.has(id)) indexOf.set(id, flagSets.push(flags) - 1)
  const flagsets = changed.flagsets.map((id) => indexOf.get(id) ?? 0)
  const named = { ...changed, flagsets }
  const columns = old === undefined ? named : mergeColumns(old.columns, named, vanished)
  return {
    columns,
    indexOf,
    snapshot: {
      uidValidity,
      uidNext,
      highestModseq,
      uids: columns.uids,
      flags: columns.flagsets,
      flagSets,
      modseqs: columns.modseqs,
      sizes: Float64Array.from(columns.sizes),
      internalDates: columns.internalDates,
      zones: new Int16Array(columns.uids.length),
    },
  }
}
