// One user's mail with what others share with them: names are sorted by whose they are, everything else is the owner's store and its access lists.

import {
  ALL_RIGHTS,
  type AppendMessage,
  type AppendResult,
  BackendError,
  type Bytes,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type MailboxStatus,
  type QuotaResource,
  type Rights,
} from '@aviso/imap'
import type { Account } from '../../../accounts/contracts.ts'
import { accountTopic, type Bus, type Change } from '../../../store/contracts.ts'
import { type AccountSurroundings, isMailChange, StoredMailAccount } from '../account.ts'
import { answered } from '../answers.ts'
import { mailboxId, type Place } from '../mailbox.ts'
import { canonicalName, parents } from '../names.ts'
import { ordered } from './rights.ts'
import type { Sharers, Sharing } from './sharing.ts'

const OTHERS = 'Other Users/'

export interface SharedSurroundings {
  readonly account: Account
  readonly sharing: Sharing
  readonly bus: Bus
  /** The mail of an account, as its owner has it. */
  readonly surroundings: (account: Account) => AccountSurroundings
  readonly log: (error: unknown) => void
}

/** A name, and whose it is. */
interface Owned {
  /** Undefined: this account's own. */
  readonly owner: Account | undefined
  /** As the owner knows it. */
  readonly name: string
}

export class SharedMailAccount implements MailAccount {
  readonly name: string
  readonly namespaces = { others: OTHERS }
  readonly #around: SharedSurroundings
  readonly #own: StoredMailAccount
  readonly #stops = new Set<() => void>()
  /** Owners, and which of their mailboxes are shared with this user, as far as was found out last. */
  #sharers: Sharers = new Map()
  /** The changes of all these are being listened to when this resolves. */
  #following: Promise<void> = Promise.resolve()

  constructor(around: SharedSurroundings) {
    this.#around = around
    this.#own = this.#mail(undefined)
    this.name = this.#own.name
  }

  get appendLimit(): number {
    return this.#own.appendLimit
  }

  get appendLimitsDiffer(): boolean {
    return this.#own.appendLimitsDiffer
  }

  /** The mail of an owner, as this user may use it. */
  #mail(owner: Account | undefined): StoredMailAccount {
    const { account, sharing, surroundings } = this.#around
    const inner = surroundings(owner ?? account)
    return new StoredMailAccount({
      ...inner,
      holder: account.id,
      place: (name) => this.#place(name, owner),
      sharesChanged: () => sharing.compare(owner ?? account),
      ...(owner === undefined
        ? {}
        : {
            visitor: sharing.visitor(account, owner),
            prefix: prefixOf(owner),
            admit: () => sharing.admit(owner.id),
          }),
    })
  }

  /** Whose a name is. Throws NONEXISTENT for another user's that cannot be: whether there is such a user is not told. */
  async #owned(wanted: string): Promise<Owned> {
    const name = canonicalName(wanted)
    if (!name.startsWith(OTHERS)) return { owner: undefined, name }
    const below = name.slice(OTHERS.length)
    const end = below.indexOf('/')
    const address = end < 0 ? below : below.slice(0, end)
    const owner = await this.#around.sharing.owner(address)
    if (owner === undefined || owner.id === this.#around.account.id || end < 0)
      throw new BackendError('NONEXISTENT', 'There is no such mailbox')
    return { owner, name: canonicalName(below.slice(end + 1)) }
  }

  /** For COPY and its kin from the mail of `from`. */
  async #place(wanted: string, from: Account | undefined): Promise<Place> {
    const { owner, name } = await this.#owned(wanted)
    return owner?.id === from?.id
      ? { name, elsewhere: undefined }
      : { name, elsewhere: owner === undefined ? this.#own : this.#mail(owner) }
  }

  async #in(
    wanted: string,
  ): Promise<{ readonly mail: StoredMailAccount; readonly owner: Account | undefined; readonly name: string }> {
    const { owner, name } = await this.#owned(wanted)
    return { mail: owner === undefined ? this.#own : this.#mail(owner), owner, name }
  }

  async #findSharers(): Promise<Sharers> {
    return (this.#sharers = await this.#around.sharing.sharers(this.#around.account))
  }

  async list(): Promise<readonly MailboxEntry[]> {
    const { account, sharing } = this.#around
    const [own, sharers] = await Promise.all([this.#own.list(), this.#findSharers()])
    const shared = await sharing.sharedWith(account, [...sharers.keys()])
    if (shared.length === 0) return own
    const entries = new Map(own.map((entry) => [entry.name, entry]))
    for (const { owner, mailboxes } of shared)
      for (const { id, name: inner, rights } of mailboxes) {
        const name = prefixOf(owner) + inner
        entries.set(name, {
          id: mailboxId(owner.id, id),
          name,
          // A role is what its owner uses a mailbox for.
          role: undefined,
          subscribed: entries.get(name)?.subscribed ?? false,
          selectable: true,
          rights,
        })
        for (const above of parents(name))
          if (!entries.has(above))
            entries.set(above, { id: '', name: above, role: undefined, subscribed: false, selectable: false })
      }
    return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  async create(wanted: string, role?: MailboxRole): Promise<MailboxEntry> {
    refuseRoot(wanted)
    const { mail, owner, name } = await this.#in(wanted)
    if (owner === undefined) return mail.create(name, role)
    if (role !== undefined) throw new BackendError('USEATTR', 'Only mailboxes of your own have a special use')
    const made = await mail.create(name)
    return { ...made, name: prefixOf(owner) + made.name, subscribed: false }
  }

  async delete(wanted: string): Promise<void> {
    const { mail, name } = await this.#in(wanted)
    await mail.delete(name)
  }

  async rename(wantedFrom: string, wantedTo: string): Promise<void> {
    refuseRoot(wantedTo)
    const from = await this.#in(wantedFrom)
    const to = await this.#owned(wantedTo)
    if (from.owner?.id !== to.owner?.id)
      throw new BackendError('CANNOT', 'A mailbox cannot be renamed into the mail of another user: copy its messages')
    await from.mail.rename(from.name, to.name)
  }

  subscribe(name: string, subscribed: boolean): Promise<void> {
    return this.#own.subscribe(name, subscribed)
  }

  async status(wanted: string): Promise<MailboxStatus> {
    const { mail, name } = await this.#in(wanted)
    return mail.status(name)
  }

  async open(wanted: string): Promise<Mailbox> {
    const { mail, owner, name } = await this.#in(wanted)
    if (owner !== undefined) {
      // Whoever looks into a mailbox must hear what happens there from then on.
      await this.#findSharers()
      await this.#following
    }
    return mail.open(name)
  }

  async append(wanted: string, messages: readonly AppendMessage[]): Promise<AppendResult> {
    const { mail, name } = await this.#in(wanted).catch((error: unknown) => {
      if (error instanceof BackendError && error.code === 'NONEXISTENT')
        throw new BackendError('TRYCREATE', error.message, { cause: error })
      throw error
    })
    return mail.append(name, messages)
  }

  quota(): Promise<readonly QuotaResource[]> {
    return this.#own.quota()
  }

  async metadata(wanted: string | undefined): Promise<ReadonlyMap<string, Bytes>> {
    if (wanted === undefined) return this.#own.metadata(undefined)
    const { mail, name } = await this.#in(wanted)
    return mail.metadata(name)
  }

  async setMetadata(wanted: string | undefined, entries: ReadonlyMap<string, Bytes | undefined>): Promise<void> {
    if (wanted === undefined) return this.#own.setMetadata(undefined, entries)
    const { mail, name } = await this.#in(wanted)
    await mail.setMetadata(name, entries)
  }

  async acl(wanted: string): Promise<ReadonlyMap<string, Rights>> {
    const { account, sharing } = this.#around
    const { owner, name } = await this.#owned(wanted)
    const whose = owner ?? account
    const visitor = owner === undefined ? undefined : sharing.visitor(account, owner)
    const list = new Map<string, Rights>([[whose.address, ALL_RIGHTS]])
    for (const [identifier, rights] of await answered(sharing.mailOf(whose.id).acl({ name, visitor }))) {
      const known = await sharing.nameOf(identifier)
      if (known !== undefined) list.set(known, rights)
    }
    return list
  }

  async setAcl(wanted: string, identifier: string, rights: Rights | undefined): Promise<void> {
    const { account, sharing } = this.#around
    const { owner, name } = await this.#owned(wanted)
    const whose = owner ?? account
    const visitor = owner === undefined ? undefined : sharing.visitor(account, owner)
    const known =
      (await sharing.identifierOf(identifier)) ??
      (rights === undefined ? await this.#listed(whose, name, identifier) : undefined)
    if (known === undefined)
      throw new BackendError('CANNOT', 'Rights are given to the address of an account here, or to "anyone"')
    if (known === whose.id) {
      if (rights !== undefined && ordered(rights) === ALL_RIGHTS) return
      throw new BackendError('CANNOT', 'The owner of a mailbox has all rights, always')
    }
    // The owner's list first: what it does not say, nobody can do. Whose mail to look into is second.
    await answered(sharing.mailOf(whose.id).setAcl({ name, visitor, identifier: known, rights }))
    await sharing.compare(whose)
  }

  /** The identifier that the access list shows under this address: of a disabled account, too, so that its rights can be taken back. */
  async #listed(whose: Account, name: string, address: string): Promise<string | undefined> {
    const { account, sharing } = this.#around
    const visitor = whose.id === account.id ? undefined : sharing.visitor(account, whose)
    for (const [identifier] of await answered(sharing.mailOf(whose.id).acl({ name, visitor })))
      if ((await sharing.nameOf(identifier)) === address.toLowerCase()) return identifier
    return undefined
  }

  watch(listener: (mailboxId: string | undefined, annotations?: readonly string[]) => void): () => void {
    const { account, sharing, log } = this.#around
    const stopOwn = this.#own.watch(listener)
    /** By owner: how to stop listening. */
    let heard = new Map<string, () => void>()
    let stopped = false
    const listen = (): void => {
      const before = heard
      heard = new Map()
      if (!stopped)
        for (const [owner, mailboxes] of this.#sharers) heard.set(owner, this.#hear(owner, mailboxes, listener))
      for (const stopOne of before.values()) stopOne()
    }
    const follow = async (): Promise<void> => {
      try {
        await this.#findSharers()
        listen()
      } catch (error) {
        log(error)
      }
    }
    const stopShares = sharing.watch(
      account,
      (owner) => this.#sharers.has(owner),
      () => {
        this.#following = follow()
        listener(undefined)
      },
    )
    listen()
    this.#following = follow()
    const stop = (): void => {
      stopped = true
      stopOwn()
      stopShares()
      for (const stopOne of heard.values()) stopOne()
      this.#stops.delete(stop)
    }
    this.#stops.add(stop)
    return stop
  }

  #hear(
    owner: string,
    mailboxes: ReadonlySet<number>,
    listener: (mailboxId: string | undefined, annotations?: readonly string[]) => void,
  ): () => void {
    const { account, bus } = this.#around
    return bus.subscribe(accountTopic(owner), (change: Change) => {
      if (!isMailChange(change)) return
      const { annotations, mailbox } = change
      if (mailbox === undefined) {
        // Of the server, an owner notes what only they see.
        if (annotations === undefined) listener(undefined)
        return
      }
      if (!mailboxes.has(mailbox)) return
      if (annotations !== undefined && annotations.holder !== '' && annotations.holder !== account.id) return
      listener(mailboxId(owner, mailbox), annotations?.names)
    })
  }

  close(): void {
    for (const stop of this.#stops) stop()
    this.#own.close()
  }
}

const prefixOf = (owner: Account): string => `${OTHERS}${owner.address}/`

/** The names above other users' mailboxes are nobody's. */
function refuseRoot(wanted: string): void {
  const name = canonicalName(wanted)
  if (`${name}/` === OTHERS || (name.startsWith(OTHERS) && !name.slice(OTHERS.length).includes('/')))
    throw new BackendError('CANNOT', 'Mailboxes of other users are below this name')
}
