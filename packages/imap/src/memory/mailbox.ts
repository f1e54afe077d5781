// A mailbox kept in memory: rows, their changes, and nothing of who may do what.

import {
  BackendError,
  type Bytes,
  type FlagChange,
  type FlagSet,
  type MailboxDelta,
  type MailboxSnapshot,
  type MailboxStatus,
  type MessageMeta,
  type MessageRow,
  type MetaField,
  type Rights,
  type StoreResult,
} from '../backend.ts'
import { applyChange } from '../flag-change.ts'
import { renderMessage, type RenderedMessage } from '../render/message.ts'
import type { Thread } from '../render/thread-ids.ts'
import type { MemoryMail } from './account.ts'

/** A message, shared by its copies in one account. */
export interface StoredMessage {
  readonly bytes: Bytes
  rendered: RenderedMessage | undefined
  readonly emailId: string
  readonly thread: Thread
}

/** What APPEND and COPY put in. */
export interface Arrival {
  readonly flags: FlagSet
  readonly internalDate: number
  readonly zone: number
  readonly message: StoredMessage
}

interface Row extends Arrival {
  readonly uid: number
  flags: FlagSet
  modseq: number
  readonly saveDate: number
}

interface Gone {
  readonly uid: number
  readonly modseq: number
  readonly saveDate: number
  readonly message: StoredMessage
}

const BATCH = 64
const same = (a: FlagSet, b: FlagSet): boolean => a.length === b.length && a.every((flag, i) => flag === b[i])

export class MemoryMailbox {
  readonly id: string
  name: string
  readonly uidValidity: number
  readonly owner: MemoryMail
  readonly cache = new Map<string, unknown>()
  /** Access list: user name → rights, without the owner. */
  readonly acl = new Map<string, Rights>()
  /** Octets of the largest message, where that is less than the account takes. */
  appendLimit: number | undefined
  #rows: Row[] = []
  #gone = new Map<number, Gone>()
  #octets = 0
  #uidNext = 1
  #modseq: number
  #recentUid = 1
  #snapshot: MailboxSnapshot | undefined
  #deleted = false

  constructor(owner: MemoryMail, id: string, name: string, uidValidity: number) {
    this.owner = owner
    this.id = id
    this.name = name
    this.uidValidity = uidValidity
    this.#modseq = owner.nextModseq()
  }

  /** The mailbox was deleted: everything after this rejects. */
  destroy(): void {
    this.#deleted = true
    this.#rows = []
    this.#octets = 0
  }

  /** NONEXISTENT when the mailbox was deleted. */
  check(): void {
    if (this.#deleted) throw new BackendError('NONEXISTENT', 'The mailbox has been deleted')
  }

  get messages(): number {
    return this.#rows.length
  }

  get octets(): number {
    return this.#octets
  }

  get highestModseq(): number {
    return this.#modseq
  }

  /** Ends a change: `modseq` is the mailbox's newest. */
  #commit(modseq: number): void {
    this.#modseq = modseq
    this.#snapshot = undefined
    this.owner.tell(this.id)
  }

  /** Moves the clock on for what is no message: an annotation (RFC 7162 §3.2). */
  touch(): void {
    this.#modseq = this.owner.nextModseq()
    this.#snapshot = undefined
  }

  status(): MailboxStatus {
    const deleted = this.#rows.filter((row) => row.flags.includes('\\Deleted'))
    return {
      messages: this.#rows.length,
      unseen: this.#rows.reduce((count, row) => count + (row.flags.includes('\\Seen') ? 0 : 1), 0),
      deleted: deleted.length,
      size: this.#octets,
      deletedSize: octetsOf(deleted),
      id: this.id,
      uidValidity: this.uidValidity,
      uidNext: this.#uidNext,
      highestModseq: this.#modseq,
      recentUid: this.#recentUid,
      ...(this.appendLimit === undefined ? {} : { appendLimit: this.appendLimit }),
    }
  }

  snapshot(): MailboxSnapshot {
    this.check()
    if (this.#snapshot !== undefined) return this.#snapshot
    const rows = this.#rows
    const flagSets: FlagSet[] = []
    const index = new Map<string, number>()
    const flags = Uint32Array.from(rows, (row) => {
      const key = row.flags.join(' ')
      let at = index.get(key)
      if (at === undefined) index.set(key, (at = flagSets.push(row.flags) - 1))
      return at
    })
    this.#snapshot = {
      uidValidity: this.uidValidity,
      uidNext: this.#uidNext,
      highestModseq: this.#modseq,
      uids: Uint32Array.from(rows, (row) => row.uid),
      flags,
      flagSets,
      modseqs: Float64Array.from(rows, (row) => row.modseq),
      sizes: Float64Array.from(rows, (row) => row.message.bytes.length),
      internalDates: Float64Array.from(rows, (row) => row.internalDate),
      zones: Int16Array.from(rows, (row) => row.zone),
    }
    return this.#snapshot
  }

  delta(since: number): MailboxDelta {
    this.check()
    return {
      highestModseq: this.#modseq,
      uidNext: this.#uidNext,
      changed: this.#rows.filter((row) => row.modseq > since).map(toMessageRow),
      vanished: [...this.#gone.values()]
        .filter((gone) => gone.modseq > since)
        .map((gone) => gone.uid)
        .sort((a, b) => a - b),
      complete: true,
    }
  }

  claimRecent(): { readonly from: number; readonly to: number } {
    this.check()
    const from = this.#recentUid
    this.#recentUid = this.#uidNext
    return { from, to: this.#uidNext }
  }

  /** Adds messages in one change. Answers their UIDs. LIMIT when a keyword more cannot be kept. */
  add(arrivals: readonly Arrival[]): number[] {
    this.check()
    const spelt = arrivals.map(({ flags }) => this.owner.spell(flags))
    if (arrivals.length === 0) return []
    const modseq = this.owner.nextModseq()
    const saveDate = this.owner.now()
    const uids = arrivals.map(({ internalDate, zone, message }, i) => {
      const uid = this.#uidNext++
      this.#rows.push({ uid, flags: spelt[i] ?? [], modseq, internalDate, zone, saveDate, message })
      this.#octets += message.bytes.length
      return uid
    })
    this.#commit(modseq)
    return uids
  }

  /** The rows of these UIDs that exist, ascending, each once. */
  rows(uids: readonly number[]): (Arrival & MessageRow)[] {
    return this.#find(uids).map((row) => ({ ...toMessageRow(row), message: row.message }))
  }

  #find(uids: readonly number[]): Row[] {
    this.check()
    const rows: Row[] = []
    for (const uid of [...uids].sort((a, b) => a - b)) {
      const row = this.#row(uid)
      if (row !== undefined && rows.at(-1) !== row) rows.push(row)
    }
    return rows
  }

  #row(uid: number): Row | undefined {
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#rows[middle]?.uid ?? 0) < uid) low = middle + 1
      else high = middle
    }
    const row = this.#rows[low]
    return row?.uid === uid ? row : undefined
  }

  store(uids: readonly number[], change: FlagChange, unchangedSince?: number): StoreResult {
    const rows = this.#find(uids)
    const flags = change.action === 'remove' ? this.owner.known(change.flags) : this.owner.spell(change.flags)
    const modified: number[] = []
    const changed: Row[] = []
    const answer: Row[] = []
    for (const row of rows) {
      if (unchangedSince !== undefined && row.modseq > unchangedSince) {
        modified.push(row.uid)
        continue
      }
      answer.push(row)
      const next = applyChange(row.flags, change.action, flags)
      if (same(next, row.flags)) continue
      row.flags = next
      changed.push(row)
    }
    if (changed.length > 0) {
      const modseq = this.owner.nextModseq()
      for (const row of changed) row.modseq = modseq
      this.#commit(modseq)
    }
    return { rows: answer.map(toMessageRow), modified, highestModseq: this.#modseq }
  }

  /** Removes messages, flagged or not. Answers the UIDs removed, ascending. */
  remove(uids: readonly number[]): number[] {
    const rows = this.#find(uids)
    if (rows.length === 0) return []
    const modseq = this.owner.nextModseq()
    const gone = new Set(rows)
    for (const { uid, saveDate, message } of rows) this.#gone.set(uid, { uid, modseq, saveDate, message })
    this.#rows = this.#rows.filter((row) => !gone.has(row))
    this.#octets -= octetsOf(rows)
    this.#commit(modseq)
    return rows.map((row) => row.uid)
  }

  *meta(uids: readonly number[], fields: readonly MetaField[]): Generator<readonly MessageMeta[]> {
    const sorted = [...new Set(uids)].sort((a, b) => a - b)
    for (let at = 0; at < sorted.length; at += BATCH) {
      this.check()
      const batch: MessageMeta[] = []
      for (const uid of sorted.slice(at, at + BATCH)) {
        const row = this.#row(uid) ?? this.#gone.get(uid)
        if (row !== undefined) batch.push(metaOf(uid, row, fields))
      }
      yield batch
    }
  }

  /** The octets of a message, also of one that is gone. */
  raw(uid: number): Bytes | undefined {
    this.check()
    return (this.#row(uid) ?? this.#gone.get(uid))?.message.bytes
  }
}

function metaOf(uid: number, { message, saveDate }: Row | Gone, fields: readonly MetaField[]): MessageMeta {
  const meta: Record<string, Bytes | string | number> = {}
  for (const field of fields) {
    if (field === 'emailId') meta[field] = message.emailId
    else if (field === 'threadId') meta[field] = message.thread.id
    else if (field === 'saveDate') meta[field] = saveDate
    else meta[field] = (message.rendered ??= renderMessage(message.bytes))[field]
  }
  return { uid, ...meta }
}

const toMessageRow = (row: Row): MessageRow => ({
  uid: row.uid,
  flags: row.flags,
  modseq: row.modseq,
  size: row.message.bytes.length,
  internalDate: row.internalDate,
  zone: row.zone,
})

const octetsOf = (rows: readonly Row[]): number => rows.reduce((sum, row) => sum + row.message.bytes.length, 0)
