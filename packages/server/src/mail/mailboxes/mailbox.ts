// One open mailbox, as an IMAP session uses it.

import {
  type AppendMessage,
  type AppendResult,
  BackendError,
  type Bytes,
  type CopyResult,
  type FlagChange,
  type FoundBatch,
  type KeyField,
  keysFromHeaders,
  type MailboxCache,
  type MessageKeyBatch,
  renderMessage,
  type Mailbox,
  type MailboxDelta,
  type MailboxSnapshot,
  type MessageMeta,
  type MetaField,
  type StoreResult,
  type TextQuery,
} from '@aviso/imap'
import type { Blobs } from '../../store/contracts.ts'
import { answered, messageRows } from './answers.ts'
import type { LargeMessages } from './large-messages.ts'
import type { PackedMeta, StoredField } from './read-operations.ts'
import { find } from './search/find.ts'
import type { MailCalls, Snapshots } from './snapshots.ts'
import type { Transferred } from './transfer.ts'
import { uidList } from './uids.ts'

/** UIDs asked for in one call: a batch is full before that many. */
const ASKED_AT_ONCE = 2048

/** What a mailbox needs of its account. */
export interface Surroundings {
  readonly account: string
  readonly calls: MailCalls
  readonly blobs: Blobs
  readonly shared: Promise<{ readonly large: LargeMessages; readonly snapshots: Snapshots }>
}

/** The stable identity that IMAP shows (RFC 8474 MAILBOXID). */
export const mailboxId = (id: number): string => `m${id}`

const isStored = (field: MetaField): field is StoredField =>
  field === 'envelope' || field === 'bodyStructure' || field === 'body' || field === 'header'

export class StoredMailbox implements Mailbox {
  readonly id: string
  readonly name: string
  readonly uidValidity: number
  readonly cache: MailboxCache = new Map<string, unknown>()
  readonly #number: number
  readonly #around: Surroundings

  constructor(around: Surroundings, row: { readonly id: number; readonly name: string; readonly uidValidity: number }) {
    this.#around = around
    this.#number = row.id
    this.id = mailboxId(row.id)
    this.name = row.name
    this.uidValidity = row.uidValidity
  }

  get #calls(): MailCalls {
    return this.#around.calls
  }

  keywords(): Promise<readonly string[]> {
    return answered(this.#calls.keywords({ mailbox: this.#number }))
  }

  async snapshot(): Promise<MailboxSnapshot> {
    const { snapshots } = await this.#around.shared
    return snapshots.snapshot(this.#around.account, this.#calls, this.#number)
  }

  async delta(since: number): Promise<MailboxDelta> {
    const { changed, sets, vanished, ...rest } = await answered(this.#calls.delta({ mailbox: this.#number, since }))
    return { ...rest, changed: messageRows(changed, sets), vanished: Array.from(vanished) }
  }

  async claimRecent(): Promise<{ readonly from: number; readonly to: number }> {
    // Most SELECTs find nothing to claim: those need no commit.
    const { recentUid, uidNext } = await answered(this.#calls.get({ mailbox: this.#number }))
    return recentUid === uidNext
      ? { from: uidNext, to: uidNext }
      : answered(this.#calls.claimRecent({ mailbox: this.#number }))
  }

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    const { rows, sets, modified, highestModseq } = await answered(
      this.#calls.storeFlags({
        mailbox: this.#number,
        uids: uidList(uids),
        action: change.action,
        flags: change.flags,
        unchangedSince,
      }),
    )
    return { rows: messageRows(rows, sets), modified: Array.from(modified), highestModseq }
  }

  async expunge(
    uids: readonly number[],
  ): Promise<{ readonly uids: readonly number[]; readonly highestModseq: number }> {
    const gone = await answered(this.#calls.expunge({ mailbox: this.#number, uids: uidList(uids) }))
    return { uids: Array.from(gone.uids), highestModseq: gone.highestModseq }
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    return copyResult(await answered(this.#calls.copy({ mailbox: this.#number, uids: uidList(uids), destination })))
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    return copyResult(await answered(this.#calls.move({ mailbox: this.#number, uids: uidList(uids), destination })))
  }

  keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch> {
    return keysFromHeaders(this, uids, field)
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    const { large } = await this.#around.shared
    const { uidValidity, firstUid } = await large.keep(this.#around.account, [message.bytes], ([incoming]) => {
      if (incoming === undefined) throw new Error('a message was lost on its way to the store')
      return answered(
        this.#calls.replace({
          mailbox: this.#number,
          uid,
          destination,
          message: { message: incoming, flags: message.flags, internalDate: message.internalDate },
        }),
      )
    })
    return { uidValidity, uids: [firstUid] }
  }

  async *meta(uids: readonly number[], fields: readonly MetaField[]): AsyncGenerator<readonly MessageMeta[]> {
    const wanted = fields.filter((field, i): field is StoredField => isStored(field) && fields.indexOf(field) === i)
    for await (const batch of this.#stored(uids, wanted)) {
      if (fields.every(isStored)) {
        yield batch
        continue
      }
      const whole: MessageMeta[] = []
      for (const meta of batch) {
        const rendered = renderMessage((await this.raw(meta.uid)) ?? new Uint8Array())
        whole.push({
          ...meta,
          commonHeader: rendered.commonHeader,
          preview: rendered.preview,
          emailId: `e${meta.uid}`,
          threadId: `t${meta.uid}`,
          saveDate: 0,
        })
      }
      yield whole
    }
  }

  async *#stored(uids: readonly number[], wanted: readonly StoredField[]): AsyncGenerator<readonly MessageMeta[]> {
    const list = uidList(uids)
    const ask = (from: number): Promise<PackedMeta> | undefined => {
      if (from >= list.length) return undefined
      const call = answered(
        this.#calls.meta({ mailbox: this.#number, uids: list.slice(from, from + ASKED_AT_ONCE), fields: wanted }),
      )
      // A caller that leaves early never awaits the batch that was asked for ahead.
      call.catch(() => undefined)
      return call
    }
    let at = 0
    for (let next = ask(0); next !== undefined;) {
      const packed = await next
      at += packed.consumed
      // The worker gathers the next batch while this one is written out.
      next = ask(at)
      if (packed.uids.length > 0) yield await this.#unpack(packed, wanted)
    }
  }

  async #unpack(packed: PackedMeta, fields: readonly StoredField[]): Promise<readonly MessageMeta[]> {
    const elsewhere = new Map(packed.elsewhere.map((one) => [one.at, one]))
    const batch: MessageMeta[] = []
    let at = 0
    let piece = 0
    for (const uid of packed.uids) {
      const row: { uid: number } & { [field in StoredField]?: Bytes } = { uid }
      for (const field of fields) {
        const header = elsewhere.get(piece)
        const length = packed.lengths[piece++] ?? 0
        row[field] =
          header === undefined
            ? packed.octets.subarray(at, at + length)
            : ((await this.#around.blobs.get(header.blob, 0, header.size)) ?? new Uint8Array())
        at += length
      }
      batch.push(row)
    }
    return batch
  }

  find(query: TextQuery, uids: readonly number[]): AsyncIterable<FoundBatch> {
    return find({ calls: this.#calls, blobs: this.#around.blobs, mailbox: this.#number }, query, uids)
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
}

const copyResult = ({ uidValidity, source, destination }: Transferred): CopyResult => ({
  uidValidity,
  source: Array.from(source),
  destination: Array.from(destination),
})
