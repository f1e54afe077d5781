// One open mailbox, as an IMAP session uses it.

import {
  ALL_RIGHTS,
  type AppendMessage,
  type AppendResult,
  BackendError,
  type Bytes,
  type CopyResult,
  type FlagChange,
  type FoundBatch,
  type KeyField,
  type MailAccount,
  type Mailbox,
  type MailboxCache,
  type MailboxDelta,
  type MailboxSnapshot,
  type MessageKeyBatch,
  type MessageMeta,
  type MessageRow,
  type MetaField,
  type Rights,
  type StoreResult,
  type TextQuery,
} from '@aviso/imap'
import { answered, messageRows } from './answers.ts'
import type { Caches } from './cache.ts'
import type { MailCalls } from './calls.ts'
import { changesSince } from './changes.ts'
import type { LargeMessages } from './large-messages.ts'
import type { Opening, Watch } from './news.ts'
import { keysOf, metaOf, type Source } from './pieces.ts'
import type { Sizes } from './message-sizes.ts'
import type { Limits } from './quota.ts'
import { find } from './search/find.ts'
import type { RecentClaims } from './recent.ts'
import type { Snapshots } from './snapshots.ts'
import { copyBetween } from './sharing/between.ts'
import type { Visitor } from './sharing/rights.ts'
import type { StoreOutcome } from './store-flags.ts'
import type { Transferred } from './transfer.ts'
import { uidList } from './uids.ts'

/** What a mailbox needs of its account. */
export interface Surroundings extends Source {
  readonly account: string
  readonly appendLimit: number
  /** Of an account that has none of its own. */
  readonly limits: Limits
  /** The account's own limits on the size of a message, and those of its mailboxes, as they are now. */
  readonly sizes: () => Sizes | undefined
  readonly shared: Promise<SharedRoom>
  /** Somebody else uses this account's mail; undefined: its owner. */
  readonly visitor?: Visitor | undefined
  /** Throws NONEXISTENT where visitors are not let in now, whatever their rights. Absent: the owner uses it. */
  readonly admit?: () => Promise<void>
  /** What the visitor knows the names of this account's mailboxes by, in front of the owner's names. */
  readonly prefix?: string
  /** Whose a name is, as the user of the session knows it; absent: everything is the account's own. */
  readonly place?: (name: string) => Promise<Place>
}

/** A mailbox's name in its owner's mail. */
export interface Place {
  readonly name: string
  /** The mail of another account than the one at hand. */
  readonly elsewhere: MailAccount | undefined
}

/** What all accounts of the process share. */
export interface SharedRoom {
  readonly large: LargeMessages
  readonly snapshots: Snapshots
  readonly caches: Caches
  readonly recent: RecentClaims
}

/** The stable identity that IMAP shows (RFC 8474 MAILBOXID). */
export const mailboxId = (account: string, id: number): string => `m${id}-${account}`

/** How the mailbox was when it was opened: true until the account's mail changes. */
interface Opened extends Opening {
  readonly watch: Watch
  /** What the watch said then. */
  readonly changes: number
}

/** How the mailbox was when it was last asked or changed here, and what has listened since before that. */
interface Heard {
  readonly watch: Watch
  readonly modseq: number
  readonly uidNext: number
}

/** A STORE on as many messages as this is spared reading them. */
const MANY = 256

export class StoredMailbox implements Mailbox {
  readonly id: string
  readonly name: string
  readonly uidValidity: number
  readonly rights: Rights | undefined
  readonly cache: MailboxCache
  readonly #number: number
  readonly #around: Surroundings
  readonly #shared: SharedRoom
  readonly #opened: Opened | undefined
  #heard: Heard | undefined

  constructor(
    around: Surroundings,
    shared: SharedRoom,
    row: { readonly id: number; readonly name: string; readonly uidValidity: number },
    { rights, opened }: { readonly rights?: Rights | undefined; readonly opened?: Opened } = {},
  ) {
    this.#opened = opened
    this.#around = around
    this.#shared = shared
    this.#number = row.id
    this.id = mailboxId(around.account, row.id)
    this.name = (around.prefix ?? '') + row.name
    this.rights = rights
    this.uidValidity = row.uidValidity
    this.cache = shared.caches.of(around.account, row.id)
  }

  get #calls(): MailCalls {
    return this.#around.calls
  }

  /** Visitors may have lost a right since they opened the mailbox. One that they may no longer read is gone for them. */
  async #allowed(): Promise<void> {
    const { visitor } = this.#around
    if (visitor === undefined) return
    await this.#around.admit?.()
    if (!(await answered(this.#calls.rights({ mailbox: this.#number, visitor }))).includes('r'))
      throw new BackendError('NONEXISTENT', 'The mailbox is not shared any more')
  }

  /** How the mailbox was when it was opened, where nothing has changed since. */
  get #still(): Opened | undefined {
    return this.#opened?.watch.changes === this.#opened?.changes ? this.#opened : undefined
  }

  async keywords(): Promise<readonly string[]> {
    if (this.#still !== undefined) return this.#still.keywords
    await this.#allowed()
    return answered(this.#calls.keywords({ mailbox: this.#number }))
  }

  async snapshot(): Promise<MailboxSnapshot> {
    await this.#allowed()
    const { snapshots } = this.#shared
    const watch = snapshots.news.follow(this.#around.account)
    const snapshot = await snapshots.snapshot(this.#around.account, this.#calls, this.#number)
    this.#heard = { watch, modseq: snapshot.highestModseq, uidNext: snapshot.uidNext }
    return snapshot
  }

  async delta(since: number): Promise<MailboxDelta> {
    await this.#allowed()
    const heard = this.#heard
    if (since === heard?.modseq && heard.watch.knows(this.#number, since))
      return { highestModseq: since, uidNext: heard.uidNext, changed: [], vanished: [], complete: true }
    const watch = this.#shared.snapshots.news.follow(this.#around.account)
    const delta = await this.#delta(since)
    this.#heard = { watch, modseq: delta.highestModseq, uidNext: delta.uidNext }
    return delta
  }

  async #delta(since: number): Promise<MailboxDelta> {
    const known = await this.#shared.snapshots.delta(this.#around.account, this.#number, since)
    if (known !== undefined) return known
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
    await this.#allowed()
    const row = this.#still?.mailbox ?? (await answered(this.#calls.get({ mailbox: this.#number })))
    return this.#shared.recent.claim(this.#around.account, this.#number, row)
  }

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    const { account } = this.#around
    await this.#around.admit?.()
    const outcome = await answered(
      this.#calls.storeFlags({
        known: uids.length < MANY ? undefined : this.#shared.snapshots.known(account, this.#number),
        mailbox: this.#number,
        uids: uidList(uids),
        action: change.action,
        flags: change.flags,
        unchangedSince,
        visitor: this.#around.visitor,
      }),
    )
    this.#shared.snapshots.changedFlags(account, this.#calls, this.#number, outcome)
    const { before, highestModseq } = outcome
    if (this.#heard?.modseq === before) this.#heard = { ...this.#heard, modseq: highestModseq }
    return new Stored(outcome)
  }

  async expunge(
    uids: readonly number[],
  ): Promise<{ readonly uids: readonly number[]; readonly highestModseq: number }> {
    const { visitor } = this.#around
    await this.#around.admit?.()
    const gone = await answered(this.#calls.expunge({ mailbox: this.#number, uids: uidList(uids), visitor }))
    this.#changed(this.#number, gone.uids.length)
    return { uids: Array.from(gone.uids), highestModseq: gone.highestModseq }
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    const { limits, visitor } = this.#around
    await this.#around.admit?.()
    const place = await this.#place(destination)
    if (place.elsewhere !== undefined) return copyBetween(this, uids, place.elsewhere, place.name)
    const order = { mailbox: this.#number, uids: uidList(uids), destination: place.name, limits, visitor }
    const copied = await answered(this.#calls.copy(order))
    this.#changed(copied.mailbox, copied.destination.length)
    return copyResult(copied)
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    const { visitor } = this.#around
    await this.#around.admit?.()
    const place = await this.#place(destination)
    if (place.elsewhere !== undefined) {
      await this.#mayDiscard()
      const copied = await copyBetween(this, uids, place.elsewhere, place.name)
      // Only what is safe over there goes here: a crash in between leaves the messages in both mailboxes.
      await this.#discard(copied.source)
      return copied
    }
    const order = { mailbox: this.#number, uids: uidList(uids), destination: place.name, visitor }
    const moved = await answered(this.#calls.move(order))
    this.#changed(moved.mailbox, moved.destination.length)
    this.#changed(this.#number, moved.source.length)
    return copyResult(moved)
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    const { account, appendLimit, visitor, sizes } = this.#around
    const limits = { ...this.#around.limits, sizes: sizes() }
    if (message.bytes.byteLength > appendLimit)
      throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
    await this.#around.admit?.()
    const { flags, internalDate, zone } = message
    const place = await this.#place(destination)
    if (place.elsewhere !== undefined) {
      await this.#mayDiscard()
      if ((await this.raw(uid, 0, 1)) === undefined || !(await this.snapshot()).uids.includes(uid))
        throw new BackendError('EXPUNGEISSUED', 'The message is expunged already')
      const appended = await place.elsewhere.append(place.name, [message])
      await this.#discard([uid])
      return appended
    }
    const order = { mailbox: this.#number, uid, destination: place.name, limits, visitor }
    const { uidValidity, firstUid } = await this.#shared.large.keep(account, [message.bytes], ([incoming]) => {
      if (incoming === undefined) throw new Error('a message was lost on its way to the store')
      return answered(this.#calls.replace({ ...order, message: { message: incoming, flags, internalDate, zone } }))
    })
    return { uidValidity, uids: [firstUid] }
  }

  async #place(name: string): Promise<Place> {
    try {
      return (await this.#around.place?.(name)) ?? { name, elsewhere: undefined }
    } catch (error) {
      if (!(error instanceof BackendError) || error.code !== 'NONEXISTENT') throw error
      throw new BackendError('TRYCREATE', error.message, { cause: error })
    }
  }

  async #mayDiscard(): Promise<void> {
    const { visitor } = this.#around
    const rights =
      visitor === undefined ? ALL_RIGHTS : await answered(this.#calls.rights({ mailbox: this.#number, visitor }))
    if (!rights.includes('t') || !rights.includes('e'))
      throw new BackendError('NOPERM', 'The owner of the mailbox has not given the right to remove messages')
  }

  async #discard(uids: readonly number[]): Promise<void> {
    const { visitor } = this.#around
    await answered(this.#calls.discard({ mailbox: this.#number, uids: uidList(uids), visitor }))
    this.#changed(this.#number, uids.length)
  }

  async *meta(uids: readonly number[], fields: readonly MetaField[]): AsyncIterable<readonly MessageMeta[]> {
    await this.#allowed()
    const { account, visitor } = this.#around
    for await (const batch of metaOf(this.#around, this.#number, uidList(uids), fields))
      // The owner's numbers are not the visitor's: together they name a message of this server.
      yield visitor === undefined ? batch : batch.map((meta) => withOwner(meta, account))
  }

  async *keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch> {
    await this.#allowed()
    yield* keysOf(this.#around, this.#number, uidList(uids), field)
  }

  async *find(query: TextQuery, uids: readonly number[]): AsyncGenerator<FoundBatch> {
    await this.#allowed()
    const { blobs } = this.#around
    yield* find({ calls: this.#calls, blobs, mailbox: this.#number, cache: this.cache }, query, uids)
  }

  async raw(uid: number, start = 0, end?: number): Promise<Bytes | undefined> {
    await this.#allowed()
    const order = { mailbox: this.#number, uid, start, end }
    const got = await answered(this.#calls.raw(order))
    if (got === undefined || got instanceof Uint8Array) return got
    const octets = await answered(this.#around.blobs.get(got.blob, start, end))
    if (octets !== undefined) return octets
    // Gone since we asked, or lost.
    if ((await answered(this.#calls.raw(order))) === undefined) return undefined
    throw new BackendError('CORRUPTION', `The octets of message ${uid} are missing: they were in the blob ${got.blob}`)
  }

  async rawMany(uids: readonly number[]): Promise<readonly (Bytes | undefined)[]> {
    await this.#allowed()
    const { octets, lengths } = await answered(
      this.#calls.rawMany({ mailbox: this.#number, uids: Uint32Array.from(uids) }),
    )
    let at = 0
    return Array.from(lengths, (length) => (length < 0 ? undefined : octets.subarray(at, (at += length))))
  }

  #changed(mailbox: number, rows: number): void {
    this.#shared.snapshots.changed(this.#around.account, this.#calls, mailbox, rows)
  }
}

const withOwner = (meta: MessageMeta, owner: string): MessageMeta => ({
  ...meta,
  ...(meta.emailId === undefined ? {} : { emailId: `${meta.emailId}-${owner}` }),
  ...(meta.threadId === undefined ? {} : { threadId: `${meta.threadId}-${owner}` }),
})

const copyResult = ({ uidValidity, source, destination }: Transferred): CopyResult => ({
  uidValidity,
  source: Array.from(source),
  destination: Array.from(destination),
})

/** What a STORE has done. Its rows are tens of thousands of objects that a silent one need not see. */
class Stored implements StoreResult {
  readonly brief: NonNullable<StoreResult['brief']>
  readonly modified: readonly number[]
  readonly highestModseq: number
  readonly before: number
  readonly #outcome: StoreOutcome
  #rows: readonly MessageRow[] | undefined

  constructor(outcome: StoreOutcome) {
    this.#outcome = outcome
    this.brief = { count: outcome.rows.uids.length, sets: outcome.sets.map(([, flags]) => flags) }
    this.modified = Array.from(outcome.modified)
    this.highestModseq = outcome.highestModseq
    this.before = outcome.before
  }

  get rows(): readonly MessageRow[] {
    return (this.#rows ??= messageRows(this.#outcome.rows, new Map(this.#outcome.sets)))
  }
}
