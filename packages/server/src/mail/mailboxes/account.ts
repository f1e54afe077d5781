// The mail of one account, as one IMAP session uses it.

import {
  BackendError,
  type AppendMessage,
  type AppendResult,
  type Bytes,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type MailboxStatus,
  type QuotaResource,
  type Rights,
} from '@aviso/imap'
import { accountTopic, type Bus, type Change } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import type { MailboxRow, MailChange } from './mailbox-rows.ts'
import { mailboxId, StoredMailbox, type Surroundings } from './mailbox.ts'
import { canonicalName, parents } from './names.ts'

export interface AccountSurroundings extends Surroundings {
  readonly name: string
  /** The account whose /private annotations are shown: the visitor's, or this one. */
  readonly holder: string
  /** Called when it may have changed what is shared with whom. */
  readonly sharesChanged?: () => Promise<void>
  /** Called when the mail is used: a login alone opens no database. */
  readonly used: () => void
  /** Called when messages were brought in; the next may come when it resolves. */
  readonly grown: (messages: number) => Promise<void>
  /** Called when a mailbox was deleted that may have had a limit of its own. */
  readonly dropped: (mailbox: number) => Promise<void>
  readonly bus: Bus
}

export class StoredMailAccount implements MailAccount {
  readonly name: string
  readonly #around: AccountSurroundings
  readonly #watches = new Set<() => void>()

  constructor(around: AccountSurroundings) {
    this.#around = around
    this.name = around.name
  }

  get appendLimit(): number {
    const { appendLimit, sizes } = this.#around
    return Math.min(appendLimit, sizes()?.account ?? Infinity)
  }

  get appendLimitsDiffer(): boolean {
    return (this.#around.sizes()?.mailboxes.size ?? 0) > 0
  }

  async list(): Promise<readonly MailboxEntry[]> {
    const { account, calls } = this.#around
    const { mailboxes, subscriptions } = await answered(calls.list())
    const byName = new Map(mailboxes.map((mailbox) => [mailbox.name, mailbox]))
    const subscribed = new Set(subscriptions)
    const names = new Set([...byName.keys(), ...subscribed])
    for (const name of byName.keys()) for (const parent of parents(name)) names.add(parent)
    return [...names].sort().map((name) => {
      const mailbox = byName.get(name)
      return {
        id: mailbox === undefined ? '' : mailboxId(account, mailbox.id),
        name,
        role: roleOf(mailbox?.role ?? null),
        subscribed: subscribed.has(name),
        selectable: mailbox !== undefined,
      }
    })
  }

  async create(name: string, role?: MailboxRole): Promise<MailboxEntry> {
    const { account, calls, limits, visitor, sharesChanged } = this.#around
    const made = await answered(calls.create({ name, role, limits, visitor }))
    if (made.shares) await sharesChanged?.()
    return { id: mailboxId(account, made.id), name: made.name, role, subscribed: made.subscribed, selectable: true }
  }

  async delete(name: string): Promise<void> {
    const { calls, visitor, sharesChanged, dropped } = this.#around
    const limited = this.appendLimitsDiffer ? await answered(calls.find({ name: canonicalName(name) })) : undefined
    if (await answered(calls.remove({ name, visitor }))) await sharesChanged?.()
    if (limited !== undefined) await dropped(limited.id)
  }

  async rename(from: string, to: string): Promise<void> {
    const { calls, limits, visitor, sharesChanged } = this.#around
    if (await answered(calls.rename({ from, to, limits, visitor }))) await sharesChanged?.()
  }

  async subscribe(name: string, subscribed: boolean): Promise<void> {
    await answered(this.#around.calls.subscribe({ name, subscribed }))
  }

  /** The mailbox of that name, for reading. */
  async #find(name: string): Promise<{ readonly mailbox: MailboxRow; readonly rights: Rights | undefined }> {
    const { calls, visitor } = this.#around
    if (visitor !== undefined) return answered(calls.visit({ name, visitor, needed: 'r' }))
    return { mailbox: await answered(calls.find({ name })), rights: undefined }
  }

  async status(name: string): Promise<MailboxStatus> {
    const { mailbox: row } = await this.#find(name)
    const { recent } = await this.#around.shared
    const appendLimit = this.#around.sizes()?.mailboxes.get(row.id)
    return {
      messages: row.messages,
      unseen: row.unseen,
      deleted: row.deleted,
      size: row.octets,
      deletedSize: row.deletedOctets,
      id: mailboxId(this.#around.account, row.id),
      uidValidity: row.uidValidity,
      uidNext: row.uidNext,
      highestModseq: row.modseq,
      recentUid: recent.told(this.#around.account, row.id, row.recentUid),
      ...(appendLimit === undefined ? {} : { appendLimit: Math.min(appendLimit, this.appendLimit) }),
    }
  }

  async open(name: string): Promise<Mailbox> {
    this.#around.used()
    const { account, calls, visitor } = this.#around
    const shared = await this.#around.shared
    if (visitor !== undefined) {
      const { mailbox, rights } = await this.#find(canonicalName(name))
      return new StoredMailbox(this.#around, shared, mailbox, { rights })
    }
    const watch = shared.snapshots.news.follow(account)
    const { changes } = watch
    const canonical = canonicalName(name)
    let opening = watch.opening(canonical)
    if (opening === undefined) {
      opening = await answered(calls.opening({ name: canonical }))
      watch.keep(canonical, opening, changes)
    }
    return new StoredMailbox(this.#around, shared, opening.mailbox, { opened: { ...opening, watch, changes } })
  }

  async append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult> {
    for (const { bytes } of messages)
      if (bytes.byteLength > this.appendLimit)
        throw new BackendError('TOOBIG', `Messages may have ${this.appendLimit} octets at most`)
    const { account, calls, visitor, sizes, used, grown } = this.#around
    const limits = { ...this.#around.limits, sizes: sizes() }
    used()
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
            visitor,
          }),
        ),
    )
    snapshots.changed(account, calls, mailbox, messages.length)
    await grown(messages.length)
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

  async metadata(mailbox: string | undefined): Promise<ReadonlyMap<string, Bytes>> {
    const { calls, visitor, holder } = this.#around
    return new Map(await answered(calls.annotations({ name: mailbox, visitor, holder })))
  }

  async setMetadata(mailbox: string | undefined, entries: ReadonlyMap<string, Bytes | undefined>): Promise<void> {
    const { calls, visitor, holder } = this.#around
    await answered(calls.setAnnotations({ name: mailbox, visitor, holder, entries }))
  }

  watch(listener: (mailboxId: string | undefined, annotations?: readonly string[]) => void): () => void {
    const { account, bus, holder } = this.#around
    const stop = bus.subscribe(accountTopic(account), (change: Change) => {
      if (!isMailChange(change)) return
      const { annotations, mailbox } = change
      if (annotations !== undefined && annotations.holder !== '' && annotations.holder !== holder) return
      listener(mailbox === undefined ? undefined : mailboxId(account, mailbox), annotations?.names)
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

export const isMailChange = (change: Change): change is MailChange => change.kind === 'mail'
const roleOf = (role: string | null): MailboxRole | undefined => (role === null ? undefined : (role as MailboxRole))
