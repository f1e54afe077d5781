// One session's way to the mail in memory: names, also those of other users' mailboxes, and what the rights allow (RFC 4314).

import {
  ALL_RIGHTS,
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
} from '../backend.ts'
import { canonicalName } from '../wire/mailbox-name.ts'
import { type MemoryMail, parents } from './account.ts'
import type { MemoryMailbox } from './mailbox.ts'
import { OpenMailbox } from './open-mailbox.ts'

const OTHERS = 'Other Users/'

/** A name as its owner knows it. */
interface Place {
  readonly owner: MemoryMail
  readonly name: string
}

export class MemorySession implements MailAccount {
  readonly name: string
  readonly appendLimit: number
  get appendLimitsDiffer(): boolean {
    return [...this.#mail.mailboxes].some(({ appendLimit }) => appendLimit !== undefined)
  }

  readonly namespaces?: { readonly others: string }
  readonly acl?: (name: string) => Promise<ReadonlyMap<string, Rights>>
  readonly setAcl?: (name: string, identifier: string, rights: Rights | undefined) => Promise<void>
  readonly #mail: MemoryMail
  #stops = new Set<() => void>()

  constructor(mail: MemoryMail) {
    this.#mail = mail
    this.name = mail.name
    this.appendLimit = mail.appendLimit
    if (mail.users === undefined) return
    this.namespaces = { others: OTHERS }
    this.acl = async (name) => new Map([[this.#place(name).owner.name, ALL_RIGHTS], ...this.#find(name, 'a').acl])
    this.setAcl = async (name, identifier, rights) => this.#setAcl(name, identifier, rights)
  }

  /** Whose mailbox a name means. */
  #place(wanted: string): Place {
    const name = canonicalName(wanted)
    if (this.#mail.users === undefined || !name.startsWith(OTHERS)) return { owner: this.#mail, name }
    const [user = '', ...levels] = name.slice(OTHERS.length).split('/')
    const owner = this.#mail.users.get(user)
    // Nobody learns here who has an account: an unknown user is a missing mailbox.
    if (owner === undefined || owner === this.#mail)
      throw new BackendError('NONEXISTENT', `There is no mailbox ${name}`)
    return { owner, name: levels.join('/') }
  }

  /** The mailbox of that name. `missing` when there is none that this user may see, NOPERM without the rights. */
  #find(wanted: string, rights: Rights, missing = 'NONEXISTENT'): MemoryMailbox {
    const refusal = new BackendError(missing, `There is no mailbox ${wanted}`)
    let place: Place
    try {
      place = this.#place(wanted)
    } catch {
      throw refusal
    }
    const mailbox = place.owner.find(place.name)
    const have = mailbox === undefined ? '' : place.owner.rightsOf(this.#mail, mailbox)
    if (mailbox === undefined || have === '') throw refusal
    demand(have, rights)
    return mailbox
  }

  async list(): Promise<readonly MailboxEntry[]> {
    const found = new Map<string, MemoryMailbox | undefined>()
    for (const mailbox of this.#mail.mailboxes) found.set(mailbox.name, mailbox)
    for (const owner of this.#mail.users?.values() ?? [])
      for (const mailbox of owner === this.#mail ? [] : owner.mailboxes)
        if (owner.rightsOf(this.#mail, mailbox).includes('l'))
          found.set(`${OTHERS}${owner.name}/${mailbox.name}`, mailbox)
    for (const name of [...this.#mail.subscribed, ...[...found.keys()].flatMap(parents)])
      if (!found.has(name)) found.set(name, undefined)
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, mailbox]) => this.#entry(name, mailbox))
  }

  #entry(name: string, mailbox: MemoryMailbox | undefined): MailboxEntry {
    const entry = (mailbox?.owner ?? this.#mail).entry(name, mailbox, this.#mail.subscribed.has(name))
    if (mailbox === undefined || mailbox.owner === this.#mail) return entry
    // The role is the owner's: this user's Sent is another.
    return { ...entry, role: undefined, rights: mailbox.owner.rightsOf(this.#mail, mailbox) }
  }

  async create(wanted: string, role?: MailboxRole): Promise<MailboxEntry> {
    const { owner, name } = this.#place(wanted)
    if (owner !== this.#mail) {
      if (role !== undefined) throw new BackendError('USEATTR', 'Only mailboxes of your own can have a role')
      this.#demandParent(owner, name)
    }
    return this.#entry(canonicalName(wanted), owner.create(name, role))
  }

  /** RFC 4314 §4: CREATE and RENAME need `k` on the nearest parent that there is. */
  #demandParent(owner: MemoryMail, name: string): void {
    const parent = parents(name)
      .toReversed()
      .map((one) => owner.find(one))
      .find((one) => one !== undefined)
    demand(parent === undefined ? '' : owner.rightsOf(this.#mail, parent), 'k')
  }

  async delete(name: string): Promise<void> {
    const mailbox = this.#find(name, 'x')
    mailbox.owner.delete(mailbox)
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#place(from)
    if (source.owner !== this.#mail) this.#find(from, 'x')
    const target = this.#place(to)
    if (target.owner !== source.owner) throw new BackendError('CANNOT', 'A mailbox cannot move to another user')
    if (target.owner !== this.#mail) this.#demandParent(target.owner, target.name)
    source.owner.rename(source.name, target.name)
  }

  async subscribe(name: string, subscribed: boolean): Promise<void> {
    if (subscribed) this.#mail.subscribed.add(canonicalName(name))
    else this.#mail.subscribed.delete(canonicalName(name))
    this.#mail.tell(undefined)
  }

  async status(name: string): Promise<MailboxStatus> {
    return this.#find(name, 'r').status()
  }

  async open(wanted: string): Promise<Mailbox> {
    const mailbox = this.#find(wanted, 'r')
    const others = mailbox.owner === this.#mail ? '' : `${OTHERS}${mailbox.owner.name}/`
    const opened =
      this.#mail.opened.get(mailbox) ??
      new OpenMailbox(this.#mail, mailbox, others, (name) => this.#find(name, 'i', 'TRYCREATE'))
    this.#mail.opened.set(mailbox, opened)
    return opened
  }

  async append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult> {
    const mailbox = this.#find(name, 'i', 'TRYCREATE')
    const { owner } = mailbox
    const arrivals = owner.arrivals(messages, mailbox)
    owner.reserve(arrivals.map(({ message }) => message.bytes.length))
    const rights = owner.rightsOf(this.#mail, mailbox)
    const uids = mailbox.add(
      arrivals.map((one) => ({ ...one, flags: one.flags.filter((flag) => mayFlag(rights, flag)) })),
    )
    return { uidValidity: mailbox.uidValidity, uids }
  }

  async quota(): Promise<readonly QuotaResource[]> {
    return this.#mail.quota()
  }

  async metadata(name: string | undefined): Promise<ReadonlyMap<string, Bytes>> {
    if (name === undefined) return this.#mail.annotations.of(this.#mail)
    const mailbox = this.#find(name, 'lr')
    return new Map([...mailbox.owner.annotations.of(mailbox.acl), ...this.#mail.annotations.of(mailbox)])
  }

  async setMetadata(name: string | undefined, entries: ReadonlyMap<string, Bytes | undefined>): Promise<void> {
    const mailbox = name === undefined ? undefined : this.#find(name, 'lr')
    const isShared = ([entry]: readonly [string, unknown]): boolean =>
      mailbox !== undefined && entry.startsWith('/shared/')
    const own = new Map([...entries].filter((one) => !isShared(one)))
    const shared = new Map([...entries].filter(isShared))
    const place = mailbox ?? this.#mail
    this.#mail.annotations.check(place, own)
    if (mailbox !== undefined && shared.size > 0) {
      demand(mailbox.owner.rightsOf(this.#mail, mailbox), 'w')
      // The shared entries of a mailbox hang on its access list: an object that it has for itself.
      mailbox.owner.annotations.check(mailbox.acl, shared)
      mailbox.owner.annotations.set(mailbox.acl, shared)
    }
    this.#mail.annotations.set(place, own)
    mailbox?.touch()
    if (own.size > 0) this.#mail.hear(mailbox?.id, [...own.keys()])
    if (mailbox !== undefined && shared.size > 0) mailbox.owner.tell(mailbox.id, [...shared.keys()])
  }

  #setAcl(name: string, identifier: string, rights: Rights | undefined): void {
    const mailbox = this.#find(name, 'a')
    const user = this.#mail.users?.get(identifier)
    if (user === undefined) throw new BackendError('CANNOT', `There is no user ${identifier}`)
    if (user === mailbox.owner) throw new BackendError('CANNOT', 'The owner keeps every right')
    const letters = [...new Set(rights)].filter((letter) => ALL_RIGHTS.includes(letter)).join('')
    if (letters === '') mailbox.acl.delete(identifier)
    else mailbox.acl.set(identifier, letters)
    mailbox.owner.tell(undefined)
    user.hear(undefined)
  }

  watch(listener: Parameters<MailAccount['watch']>[0]): () => void {
    const unwatch = this.#mail.watch(listener)
    const stop = (): void => {
      unwatch()
      this.#stops.delete(stop)
    }
    this.#stops.add(stop)
    return stop
  }

  close(): void {
    for (const stop of this.#stops) stop()
  }
}

/** NOPERM unless every letter of `rights` is among `have`. */
export function demand(have: Rights, rights: Rights): void {
  for (const right of rights)
    if (!have.includes(right))
      throw new BackendError('NOPERM', `You may not do this here: the right ${right} is missing`)
}

/** RFC 4314 §4: which right a flag needs. */
export const mayFlag = (rights: Rights, flag: string): boolean =>
  rights.includes(flag === '\\Seen' ? 's' : flag === '\\Deleted' ? 't' : 'w')
