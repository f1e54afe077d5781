// One open mailbox, as an IMAP session uses it.

import {
  type AppendMessage,
  type AppendResult,
  BackendError,
  type Bytes,
  type CopyResult,
  type FlagChange,
  type KeyField,
  type Mailbox,
  type MailboxCache,
  type MailboxDelta,
  type MailboxSnapshot,
  type MessageKeyBatch,
  type MessageMeta,
  type MetaField,
  type StoreResult,
} from '@aviso/imap'
import { answered, messageRows } from './answers.ts'
import type { Caches } from './cache.ts'
import type { MailCalls } from './calls.ts'
import { changesSince } from './changes.ts'
import type { LargeMessages } from './large-messages.ts'
import { keysOf, metaOf, type Source } from './pieces.ts'
import type { Limits } from './quota.ts'
import type { Snapshots } from './snapshots.ts'
import type { Transferred } from './transfer.ts'
import { uidList } from './uids.ts'

/** What a mailbox needs of its account. */
export interface Surroundings extends Source {
  readonly account: string
  readonly appendLimit: number
  /** Of an account that has none of its own. */
  readonly limits: Limits
  readonly shared: Promise<SharedRoom>
}

/** What all accounts of the process share. */
export interface SharedRoom {
  readonly large: LargeMessages
  readonly snapshots: Snapshots
  readonly caches: Caches
}

/** The stable identity that IMAP shows (RFC 8474 MAILBOXID). */
export const mailboxId = (id: number): string => `m${id}`

export class StoredMailbox implements Mailbox {
  readonly id: string
  readonly name: string
  readonly uidValidity: number
  readonly cache: MailboxCache
  readonly #number: number
  readonly #around: Surroundings
  readonly #shared: SharedRoom

  constructor(
    around: Surroundings,
    shared: SharedRoom,
    row: { readonly id: number; readonly name: string; readonly uidValidity: number },
  ) {
    this.#around = around
    this.#shared = shared
    this.#number = row.id
    this.id = mailboxId(row.id)
    this.name = row.name
    this.uidValidity = row.uidValidity
    this.cache = shared.caches.of(around.account, row.id)
  }

  get #calls(): MailCalls {
    return this.#around.calls
  }

  keywords(): Promise<readonly string[]> {
    return answered(this.#calls.keywords({ mailbox: this.#number }))
  }

  snapshot(): Promise<MailboxSnapshot> {
    return this.#shared.snapshots.snapshot(this.#around.account, this.#calls, this.#number)
  }

  async delta(since: number): Promise<MailboxDelta> {
    const { moment, columns, sets, vanished, complete } = await changesSince(this.#calls, this.#number, since)
    return {
      highestModseq: moment.highestModseq,
      uidNext: moment.uidNext,
      changed: messageRows(columns, sets),
      vanished: Array.from(vanished),
      complete,
    }
  }

  async claimRecent(): Promise<{ readonly from: number; readonly to: number }> {
    // Most SELECTs find nothing to claim: those need no commit.
    const { recentUid, uidNext } = await answered(this.#calls.get({ mailbox: this.#number }))
    if (recentUid === uidNext) return { from: uidNext, to: uidNext }
    return answered(this.#calls.claimRecent({ mailbox: this.#number }))
  }

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    const outcome = await answered(
      this.#calls.storeFlags({
        mailbox: this.#number,
        uids: uidList(uids),
        action: change.action,
        flags: change.flags,
        unchangedSince,
      }),
    )
    this.#shared.snapshots.changedFlags(this.#around.account, this.#calls, this.#number, outcome)
    return {
      rows: messageRows(outcome.rows, new Map(outcome.sets)),
      modified: Array.from(outcome.modified),
      highestModseq: outcome.highestModseq,
    }
  }

  async expunge(
    uids: readonly number[],
  ): Promise<{ readonly uids: readonly number[]; readonly highestModseq: number }> {
    const gone = await answered(this.#calls.expunge({ mailbox: this.#number, uids: uidList(uids) }))
    this.#changed(this.#number, gone.uids.length)
    return { uids: Array.from(gone.uids), highestModseq: gone.highestModseq }
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    const { limits } = this.#around
    const order = { mailbox: this.#number, uids: uidList(uids), destination, limits }
    const copied = await answered(this.#calls.copy(order))
    this.#changed(copied.mailbox, copied.destination.length)
    return copyResult(copied)
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    const moved = await answered(this.#calls.move({ mailbox: this.#number, uids: uidList(uids), destination }))
    this.#changed(moved.mailbox, moved.destination.length)
    this.#changed(this.#number, moved.source.length)
    return copyResult(moved)
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    const { account, appendLimit, limits } = this.#around
    if (message.bytes.byteLength > appendLimit)
      throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
    const { flags, internalDate, zone } = message
    const order = { mailbox: this.#number, uid, destination, limits }
    const { uidValidity, firstUid } = await this.#shared.large.keep(account, [message.bytes], ([incoming]) => {
      if (incoming === undefined) throw new Error('a message was lost on its way to the store')
      return answered(this.#calls.replace({ ...order, message: { message: incoming, flags, internalDate, zone } }))
    })
    return { uidValidity, uids: [firstUid] }
  }

  meta(uids: readonly number[], fields: readonly MetaField[]): AsyncIterable<readonly MessageMeta[]> {
    return metaOf(this.#around, this.#number, uidList(uids), fields)
  }

  keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch> {
    return keysOf(this.#around, this.#number, uidList(uids), field)
  }

  async raw(uid: number, start = 0, end?: number): Promise<Bytes | undefined> {
    const order = { mailbox: this.#number, uid, start, end }
    const got = await answered(this.#calls.raw(order))
    if (got === undefined || got instanceof Uint8Array) return got
    const octets = await answered(this.#around.blobs.get(got.blob, start, end))
    if (octets !== undefined) return octets
    // Gone since we asked, or lost.
    if ((await answered(this.#calls.raw(order))) === undefined) return undefined
    throw new BackendError('CORRUPTION', `The octets of message ${uid} are missing: they were in the blob ${got.blob}`)
  }

  #changed(mailbox: number, rows: number): void {
    this.#shared.snapshots.changed(this.#around.account, this.#calls, mailbox, rows)
  }
}

const copyResult = ({ uidValidity, source, destination }: Transferred): CopyResult => ({
  uidValidity,
  source: Array.from(source),
  destination: Array.from(destination),
})
