// A mailbox kept in memory: for tests, examples, and as the plainest reading of the backend contract.

import {
  BackendError,
  type Bytes,
  type CopyResult,
  type FlagChange,
  type FlagSet,
  type Mailbox,
  type MailboxDelta,
  type MailboxSnapshot,
  type AppendMessage,
  type AppendResult,
  type KeyField,
  type MailboxCache,
  type MailboxStatus,
  type MessageKeyBatch,
  type MessageMeta,
  type MessageRow,
  type MetaField,
  type StoreResult,
} from '../backend.ts'
import { keysFromHeaders } from '../render/keys-of-messages.ts'
import { renderMessage, type RenderedMessage } from '../render/message.ts'

/** What memory mailboxes of one account share. */
export interface MemoryClock {
  /** The next modification sequence: one per change. */
  nextModseq(): number
  /** The keyword in its first spelling. */
  keyword(flag: string): string
  keywords(): readonly string[]
  changed(mailboxId: string): void
  find(name: string): MemoryMailbox
  now(): number
  emailId(): string
  append(name: string, messages: readonly AppendMessage[], instead: number): AppendResult
}

export interface StoredMessage {
  readonly bytes: Bytes
  rendered: RenderedMessage | undefined
  readonly emailId: string
  readonly threadId: string
}

interface Row {
  readonly uid: number
  flags: FlagSet
  modseq: number
  readonly internalDate: number
  readonly zone: number
  readonly saveDate: number
  readonly message: StoredMessage
}

const BATCH = 64
const same = (a: FlagSet, b: FlagSet): boolean => a.length === b.length && a.every((flag, i) => flag === b[i])
const has = (flags: FlagSet, flag: string): boolean => flags.includes(flag)

export class MemoryMailbox implements Mailbox {
  readonly id: string
  name: string
  readonly uidValidity: number
  readonly cache: MailboxCache = new Map<string, unknown>()
  #clock: MemoryClock
  #rows: Row[] = []
  #expunged: { readonly uid: number; readonly modseq: number; readonly message: StoredMessage }[] = []
  #uidNext = 1
  #modseq: number
  #recentUid = 1
  #snapshot: MailboxSnapshot | undefined
  #deleted = false

  constructor(id: string, name: string, uidValidity: number, clock: MemoryClock) {
    this.id = id
    this.name = name
    this.uidValidity = uidValidity
    this.#clock = clock
    this.#modseq = clock.nextModseq()
  }

  /** The mailbox was deleted: everything after this rejects. */
  destroy(): void {
    this.#deleted = true
    this.#rows = []
  }

  #check(): void {
    if (this.#deleted) throw new BackendError('NONEXISTENT', 'The mailbox has been deleted')
  }

  /** Ends a change: `modseq` is the mailbox's newest. */
  #commit(modseq: number): void {
    this.#modseq = modseq
    this.#snapshot = undefined
    this.#clock.changed(this.id)
  }

  status(): MailboxStatus {
    const count = (test: (row: Row) => boolean): number => this.#rows.filter(test).length
    return {
      messages: this.#rows.length,
      unseen: count((row) => !has(row.flags, '\\Seen')),
      deleted: count((row) => has(row.flags, '\\Deleted')),
      size: this.#rows.reduce((sum, row) => sum + row.message.bytes.length, 0),
      deletedSize: this.#rows.reduce(
        (sum, row) => sum + (has(row.flags, '\\Deleted') ? row.message.bytes.length : 0),
        0,
      ),
      id: this.id,
      uidValidity: this.uidValidity,
      uidNext: this.#uidNext,
      highestModseq: this.#modseq,
      recentUid: this.#recentUid,
    }
  }

  keywords(): Promise<readonly string[]> {
    return Promise.resolve(this.#clock.keywords())
  }

  async snapshot(): Promise<MailboxSnapshot> {
    this.#check()
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

  async delta(since: number): Promise<MailboxDelta> {
    this.#check()
    return {
      highestModseq: this.#modseq,
      uidNext: this.#uidNext,
      changed: this.#rows.filter((row) => row.modseq > since).map(toMessageRow),
      vanished: this.#expunged
        .filter((gone) => gone.modseq > since)
        .map((gone) => gone.uid)
        .sort((a, b) => a - b),
      complete: true,
    }
  }

  async claimRecent(): Promise<{ readonly from: number; readonly to: number }> {
    this.#check()
    const from = this.#recentUid
    this.#recentUid = this.#uidNext
    return { from, to: this.#uidNext }
  }

  /** Adds messages in one change. Answers their UIDs. */
  add(messages: readonly { flags: FlagSet; internalDate: number; zone: number; message: StoredMessage }[]): number[] {
    this.#check()
    const modseq = this.#clock.nextModseq()
    const uids = messages.map(({ flags, internalDate, zone, message }) => {
      const uid = this.#uidNext++
      this.#rows.push({
        uid,
        flags: this.#spell(flags),
        modseq,
        internalDate,
        zone,
        saveDate: this.#clock.now(),
        message,
      })
      return uid
    })
    if (uids.length > 0) this.#commit(modseq)
    return uids
  }

  #spell(flags: FlagSet): FlagSet {
    return [...new Set(flags.map((flag) => (flag.startsWith('\\') ? flag : this.#clock.keyword(flag))))]
  }

  #find(uids: readonly number[]): Row[] {
    this.#check()
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

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    const rows = this.#find(uids)
    const flags = this.#spell(change.flags)
    const modified: number[] = []
    const changed: Row[] = []
    const answer: Row[] = []
    for (const row of rows) {
      if (unchangedSince !== undefined && row.modseq > unchangedSince) {
        modified.push(row.uid)
        continue
      }
      answer.push(row)
      const next = apply(row.flags, change.action, flags)
      if (same(next, row.flags)) continue
      row.flags = next
      changed.push(row)
    }
    if (changed.length > 0) {
      const modseq = this.#clock.nextModseq()
      for (const row of changed) row.modseq = modseq
      this.#commit(modseq)
    }
    return { rows: answer.map(toMessageRow), modified, highestModseq: this.#modseq }
  }

  async expunge(uids: readonly number[]): Promise<{ uids: readonly number[]; highestModseq: number }> {
    const gone = this.#find(uids).filter((row) => has(row.flags, '\\Deleted'))
    this.#remove(gone)
    return { uids: gone.map((row) => row.uid), highestModseq: this.#modseq }
  }

  #remove(rows: readonly Row[]): void {
    if (rows.length === 0) return
    const modseq = this.#clock.nextModseq()
    const gone = new Set(rows)
    for (const row of rows) this.#expunged.push({ uid: row.uid, modseq, message: row.message })
    this.#rows = this.#rows.filter((row) => !gone.has(row))
    this.#commit(modseq)
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    return this.#copyRows(this.#find(uids), destination)
  }

  #copyRows(rows: readonly Row[], destination: string): CopyResult {
    const target = this.#clock.find(destination)
    return { uidValidity: target.uidValidity, source: rows.map((row) => row.uid), destination: target.add(rows) }
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    const rows = this.#find(uids)
    const result = this.#copyRows(rows, destination)
    this.#remove(rows)
    return result
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    const row = this.#row(uid)
    if (row === undefined) throw new BackendError('EXPUNGEISSUED', 'The message is expunged already')
    const result = this.#clock.append(destination, [message], row.message.bytes.length)
    this.#remove([row])
    return result
  }

  /** RENAME of INBOX: hands all messages over. */
  takeAll(from: MemoryMailbox): void {
    const rows = from.#rows
    this.add(rows)
    from.#remove(rows)
  }

  async *meta(uids: readonly number[], fields: readonly MetaField[]): AsyncGenerator<readonly MessageMeta[]> {
    this.#check()
    const sorted = [...new Set(uids)].sort((a, b) => a - b)
    for (let at = 0; at < sorted.length; at += BATCH) {
      const batch: MessageMeta[] = []
      for (const uid of sorted.slice(at, at + BATCH)) {
        const message = this.#message(uid)
        if (message === undefined) continue
        message.rendered ??= renderMessage(message.bytes)
        const meta: Record<string, Bytes | string | number> = {}
        for (const field of fields) {
          if (field === 'emailId' || field === 'threadId') meta[field] = message[field]
          else if (field === 'saveDate') meta[field] = this.#row(uid)?.saveDate ?? 0
          else meta[field] = message.rendered[field]
        }
        batch.push({ uid, ...meta })
      }
      yield batch
    }
  }

  keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch> {
    return keysFromHeaders(this, uids, field)
  }

  #message(uid: number): StoredMessage | undefined {
    return this.#row(uid)?.message ?? this.#expunged.find((gone) => gone.uid === uid)?.message
  }

  async raw(uid: number, start?: number, end?: number): Promise<Bytes | undefined> {
    this.#check()
    return this.#message(uid)?.bytes.subarray(start ?? 0, end)
  }
}

const toMessageRow = (row: Row): MessageRow => ({
  uid: row.uid,
  flags: row.flags,
  modseq: row.modseq,
  size: row.message.bytes.length,
  internalDate: row.internalDate,
  zone: row.zone,
})

function apply(old: FlagSet, action: FlagChange['action'], flags: FlagSet): FlagSet {
  if (action === 'add') return [...old, ...flags.filter((flag) => !old.includes(flag))]
  if (action === 'remove') return old.filter((flag) => !flags.includes(flag))
  // Setting the same flags in another order changes nothing.
  return flags.length === old.length && flags.every((flag) => old.includes(flag)) ? old : flags
}
