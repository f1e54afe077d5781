// The mail of one account, as one IMAP session uses it.

import {
  BackendError,
  type AppendMessage,
  type AppendResult,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type MailboxStatus,
  type QuotaResource,
} from '@aviso/imap'
import { accountTopic, type Bus, type Change } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import type { MailChange } from './mailbox-rows.ts'
import { mailboxId, StoredMailbox, type Surroundings } from './mailbox.ts'
import { canonicalName, parents } from './names.ts'

export interface AccountSurroundings extends Surroundings {
  readonly name: string
  readonly bus: Bus
}

export class StoredMailAccount implements MailAccount {
  readonly name: string
  readonly appendLimit: number
  readonly #around: AccountSurroundings
  readonly #watches = new Set<() => void>()

  constructor(around: AccountSurroundings) {
    this.#around = around
    this.name = around.name
    this.appendLimit = around.appendLimit
  }

  async list(): Promise<readonly MailboxEntry[]> {
    const { mailboxes, subscriptions } = await answered(this.#around.calls.list())
    const byName = new Map(mailboxes.map((mailbox) => [mailbox.name, mailbox]))
    const subscribed = new Set(subscriptions)
    const names = new Set([...byName.keys(), ...subscribed])
    for (const name of byName.keys()) for (const parent of parents(name)) names.add(parent)
    return [...names].sort().map((name) => {
      const mailbox = byName.get(name)
      return {
        id: mailbox === undefined ? '' : mailboxId(mailbox.id),
        name,
        role: roleOf(mailbox?.role ?? null),
        subscribed: subscribed.has(name),
        selectable: mailbox !== undefined,
      }
    })
  }

  async create(name: string, role?: MailboxRole): Promise<MailboxEntry> {
    const made = await answered(this.#around.calls.create({ name, role, limits: this.#around.limits }))
    return { id: mailboxId(made.id), name: made.name, role, subscribed: made.subscribed, selectable: true }
  }

  async delete(name: string): Promise<void> {
    await answered(this.#around.calls.remove({ name }))
  }

  async rename(from: string, to: string): Promise<void> {
    await answered(this.#around.calls.rename({ from, to, limits: this.#around.limits }))
  }

  async subscribe(name: string, subscribed: boolean): Promise<void> {
    await answered(this.#around.calls.subscribe({ name, subscribed }))
  }

  async status(name: string): Promise<MailboxStatus> {
    const row = await answered(this.#around.calls.find({ name }))
    return {
      messages: row.messages,
      unseen: row.unseen,
      deleted: row.deleted,
      size: row.octets,
      deletedSize: row.deletedOctets,
      id: mailboxId(row.id),
      uidValidity: row.uidValidity,
      uidNext: row.uidNext,
      highestModseq: row.modseq,
      recentUid: row.recentUid,
    }
  }

  async open(name: string): Promise<Mailbox> {
    const row = await answered(this.#around.calls.find({ name: canonicalName(name) }))
    return new StoredMailbox(this.#around, await this.#around.shared, row)
  }

  async append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult> {
    for (const { bytes } of messages)
      if (bytes.byteLength > this.appendLimit)
        throw new BackendError('TOOBIG', `Messages may have ${this.appendLimit} octets at most`)
    const { account, calls, limits } = this.#around
    const { large, snapshots } = await this.#around.shared
    const { mailbox, uidValidity, firstUid } = await large.keep(
      account,
      messages.map(({ bytes }) => bytes),
      (incoming) =>
        answered(
          calls.append({
            name,
            messages: messages.flatMap(({ flags, internalDate, zone }, i) => {
              const message = incoming[i]
              return message === undefined ? [] : [{ message, flags, internalDate, zone }]
            }),
            limits,
          }),
        ),
    )
    snapshots.changed(account, calls, mailbox, messages.length)
    return { uidValidity, uids: messages.map((_, i) => firstUid + i) }
  }

  async quota(): Promise<readonly QuotaResource[]> {
    const { octets, messages, mailboxes, limits } = await answered(
      this.#around.calls.quota({ limits: this.#around.limits }),
    )
    return [
      {
        resource: 'STORAGE',
        usage: Math.ceil(octets / 1024),
        limit: limits.octets === undefined ? undefined : Math.ceil(limits.octets / 1024),
      },
      { resource: 'MESSAGE', usage: messages, limit: limits.messages },
      { resource: 'MAILBOX', usage: mailboxes, limit: limits.mailboxes },
    ]
  }

  watch(listener: (mailboxId: string | undefined) => void): () => void {
    const stop = this.#around.bus.subscribe(accountTopic(this.#around.account), (change: Change) => {
      if (!isMailChange(change)) return
      listener(change.mailbox === undefined ? undefined : mailboxId(change.mailbox))
    })
    this.#watches.add(stop)
    return () => {
      this.#watches.delete(stop)
      stop()
    }
  }

  close(): void {
    for (const stop of this.#watches) stop()
    this.#watches.clear()
  }
}

const isMailChange = (change: Change): change is MailChange => change.kind === 'mail'
const roleOf = (role: string | null): MailboxRole | undefined => (role === null ? undefined : (role as MailboxRole))
