// A mailbox in memory as one user has it open: what the rights allow, and transfers into other mailboxes.

import {
  BackendError,
  type AppendMessage,
  type AppendResult,
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
  type Rights,
  type StoreResult,
} from '../backend.ts'
import { applyChange } from '../flag-change.ts'
import { keysFromHeaders } from '../render/keys-of-messages.ts'
import type { MemoryMail } from './account.ts'
import type { Arrival, MemoryMailbox } from './mailbox.ts'
import { demand, mayFlag } from './session.ts'

export class OpenMailbox implements Mailbox {
  readonly id: string
  readonly uidValidity: number
  readonly cache: MailboxCache
  readonly #user: MemoryMail
  readonly #mailbox: MemoryMailbox
  readonly #prefix: string
  readonly #into: (name: string) => MemoryMailbox

  /** `prefix` is what stands before the owner's name of the mailbox; `into` finds where copies go (TRYCREATE, NOPERM). */
  constructor(user: MemoryMail, mailbox: MemoryMailbox, prefix: string, into: (name: string) => MemoryMailbox) {
    this.#user = user
    this.#mailbox = mailbox
    this.#prefix = prefix
    this.#into = into
    this.id = mailbox.id
    this.uidValidity = mailbox.uidValidity
    this.cache = mailbox.cache
  }

  get name(): string {
    return this.#prefix + this.#mailbox.name
  }

  get #have(): Rights {
    return this.#mailbox.owner.rightsOf(this.#user, this.#mailbox)
  }

  get rights(): Rights | undefined {
    return this.#mailbox.owner === this.#user ? undefined : this.#have
  }

  #allowed(rights: Rights): MemoryMailbox {
    this.#mailbox.check()
    if (this.#have === '') throw new BackendError('NONEXISTENT', 'The mailbox is not shared with you any more')
    demand(this.#have, rights)
    return this.#mailbox
  }

  async keywords(): Promise<readonly string[]> {
    return this.#mailbox.owner.keywords()
  }

  async snapshot(): Promise<MailboxSnapshot> {
    return this.#allowed('r').snapshot()
  }

  async delta(since: number): Promise<MailboxDelta> {
    return this.#allowed('r').delta(since)
  }

  async claimRecent(): Promise<{ readonly from: number; readonly to: number }> {
    return this.#allowed('r').claimRecent()
  }

  async store(uids: readonly number[], change: FlagChange, unchangedSince?: number): Promise<StoreResult> {
    const mailbox = this.#allowed('')
    const have = this.#have
    const touched = new Set<string>(change.flags)
    // What a replacement takes away needs its right too.
    if (change.action === 'set' && this.rights !== undefined)
      for (const { flags } of mailbox.rows(uids))
        for (const flag of applyChange(flags, 'remove', change.flags)) touched.add(flag)
    for (const flag of touched)
      if (!mayFlag(have, flag)) throw new BackendError('NOPERM', `You may not change ${flag} here`)
    return mailbox.store(uids, change, unchangedSince)
  }

  async expunge(uids: readonly number[]): Promise<{ uids: readonly number[]; highestModseq: number }> {
    const mailbox = this.#allowed('e')
    const doomed = mailbox.rows(uids).filter((row) => row.flags.includes('\\Deleted'))
    const gone = mailbox.remove(doomed.map((row) => row.uid))
    return { uids: gone, highestModseq: mailbox.highestModseq }
  }

  async copy(uids: readonly number[], destination: string): Promise<CopyResult> {
    const rows = this.#allowed('r').rows(uids)
    const target = this.#into(destination)
    target.owner.reserve(rows.map((row) => row.size))
    return this.#put(rows, target)
  }

  async move(uids: readonly number[], destination: string): Promise<CopyResult> {
    const rows = this.#allowed('rte').rows(uids)
    const target = this.#into(destination)
    // Within an account a move takes no room.
    if (target.owner !== this.#mailbox.owner) target.owner.reserve(rows.map((row) => row.size))
    const result = this.#put(rows, target)
    this.#mailbox.remove(result.source)
    return result
  }

  #put(rows: readonly (Arrival & { readonly uid: number })[], target: MemoryMailbox): CopyResult {
    const { owner } = target
    const rights = owner.rightsOf(this.#user, target)
    const arrivals = rows.map(({ flags, internalDate, zone, message }) => ({
      flags: flags.filter((flag) => mayFlag(rights, flag)),
      internalDate,
      zone,
      // In the mail of another user it belongs to other threads.
      message: owner === this.#mailbox.owner ? message : owner.stored(message.bytes, message.emailId),
    }))
    return { uidValidity: target.uidValidity, source: rows.map((row) => row.uid), destination: target.add(arrivals) }
  }

  async replace(uid: number, destination: string, message: AppendMessage): Promise<AppendResult> {
    const mailbox = this.#allowed('te')
    const [old] = mailbox.rows([uid])
    if (old === undefined) throw new BackendError('EXPUNGEISSUED', 'The message is expunged already')
    const target = this.#into(destination)
    const { owner } = target
    const arrivals = owner.arrivals([message], target)
    owner.reserve(
      arrivals.map((one) => one.message.bytes.length),
      owner === mailbox.owner ? [old.size] : [],
    )
    const uids = target.add(arrivals)
    mailbox.remove([uid])
    return { uidValidity: target.uidValidity, uids }
  }

  async *meta(uids: readonly number[], fields: readonly MetaField[]): AsyncGenerator<readonly MessageMeta[]> {
    yield* this.#allowed('r').meta(uids, fields)
  }

  keys(uids: readonly number[], field: KeyField): AsyncIterable<MessageKeyBatch> {
    return keysFromHeaders(this, uids, field)
  }

  async raw(uid: number, start?: number, end?: number): Promise<Bytes | undefined> {
    return this.#allowed('r')
      .raw(uid)
      ?.subarray(start ?? 0, end)
  }
}
