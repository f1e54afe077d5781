// Mailboxes of one account that others use: who may, and how the two places that know it are kept in step.

import { BackendError } from '@aviso/imap'
import type { Account, Accounts } from '../../../accounts/contracts.ts'
import { RecentMap } from '../../../accounts/recent.ts'
import { type Scope, serviceKey } from '../../../kernel/scope.ts'
import { type Calls, CORE_TOPIC, type Change, LOST, type Store } from '../../../store/contracts.ts'
import { answered } from '../answers.ts'
import type { MailCalls } from '../calls.ts'
import { mailStore } from '../store.ts'
import type { VisitedMailbox } from './acl-operations.ts'
import { ANYONE, type Visitor } from './rights.ts'
import { everybodyIn, shareStore, type SharesChange } from './shares.store.ts'

/** What sharing needs to know of accounts. */
export type Neighbours = Pick<Accounts, 'byAddress' | 'byId' | 'watch'>

/** Owners asked at the same time for what they share. */
const AT_ONCE = 16

/** Accounts of which is remembered who shares with them. */
const REMEMBERED = 4096

/** Owners, and the numbers of their mailboxes. */
export type Sharers = ReadonlyMap<string, ReadonlySet<number>>

/** Lasts for the process, over all generations of the configuration. */
interface Memory {
  /** By owner: the last comparison, so that they follow one another. */
  readonly comparing: Map<string, Promise<void>>
  /** Owners whose two lists were found to agree since the start. */
  readonly agreed: Set<string>
  /** Accounts that were erased: their mail must not be asked for, which would make it anew. */
  readonly gone: Set<string>
}

const Memory = serviceKey<Memory>('mail-sharing')

/** Mailboxes that one owner shares with a visitor. */
export interface SharedBy {
  readonly owner: Account
  readonly mailboxes: readonly VisitedMailbox[]
}

/**
 * The owner's access lists are the truth, and are asked on every use. The list in the core database only says whose mail to look into. A change goes to the
 * owner's database first; a crash before the second leaves a share unseen, or a look in vain, until the two are compared: when the owner's mail is next opened.
 */
export class Sharing {
  readonly #scope: Scope
  readonly #store: Store
  readonly #neighbours: Neighbours
  readonly #shares: Calls<typeof shareStore.operations>
  readonly #memory: Promise<Memory>
  /** By account: who shares with it, so that a login need not ask. */
  readonly #sharers = new RecentMap<string, Sharers>(REMEMBERED)
  /** Grows when somebody shares something else, so that what was read before it is not remembered after it. */
  #round = 0
  #gone: ReadonlySet<string> = new Set()

  constructor(scope: Scope, store: Store, neighbours: Neighbours) {
    this.#scope = scope
    this.#store = store
    this.#neighbours = neighbours
    this.#shares = store.core(shareStore)
    this.#memory = scope.keep(Memory, () => ({ comparing: new Map(), agreed: new Set(), gone: new Set() }))
    scope.defer(
      store.bus.subscribe(CORE_TOPIC, (change: Change) => {
        if (!isSharesChange(change) && change.kind !== LOST) return
        this.#round++
        this.#sharers.clear()
      }),
    )
    void this.#follow()
  }

  async #follow(): Promise<void> {
    const memory = await this.#memory
    this.#gone = memory.gone
    this.#scope.defer(
      this.#neighbours.watch(({ kind, accountId }) => {
        if (kind === 'deleted' && accountId !== undefined) memory.gone.add(accountId)
      }),
    )
  }

  /** The mail of an account. Throws NONEXISTENT for one that has gone. */
  mailOf(account: string): MailCalls {
    if (this.#gone.has(account)) throw new BackendError('NONEXISTENT', 'There is no such mailbox')
    return this.#store.account(mailStore, account)
  }

  /** The owner behind an address in a mailbox's name. Undefined: there is none that can share. */
  owner(address: string): Promise<Account | undefined> {
    return this.#neighbours.byAddress(address)
  }

  /** Throws NONEXISTENT where the owner's mail is closed to visitors now: the account has gone or is disabled. */
  async admit(owner: string): Promise<void> {
    const now = this.#gone.has(owner) ? undefined : await this.#neighbours.byId(owner)
    if (now === undefined || now.disabled) throw new BackendError('NONEXISTENT', 'The mailbox is not shared any more')
  }

  /** What `anyone` or an address of this server is called in access lists. Undefined for an unknown one. */
  async identifierOf(name: string): Promise<string | undefined> {
    return name === ANYONE ? ANYONE : (await this.#neighbours.byAddress(name))?.id
  }

  /** The other way round; undefined for an account that has gone. */
  async nameOf(identifier: string): Promise<string | undefined> {
    return identifier === ANYONE ? ANYONE : (await this.#neighbours.byId(identifier))?.address
  }

  visitor(of: Account, owner: Account): Visitor {
    return { account: of.id, neighbour: of.domain === owner.domain }
  }

  /** Everything that these owners share with an account. One whose mail cannot be had now is left out, and logged. */
  async sharedWith(account: Account, owners: readonly string[]): Promise<readonly SharedBy[]> {
    const found: SharedBy[] = []
    for (let at = 0; at < owners.length; at += AT_ONCE)
      found.push(
        ...(await Promise.all(owners.slice(at, at + AT_ONCE).map((id) => this.#sharedBy(id, account)))).filter(
          (one) => one !== undefined,
        ),
      )
    return found
  }

  async #sharedBy(id: string, account: Account): Promise<SharedBy | undefined> {
    const owner = await this.#neighbours.byId(id)
    if (owner === undefined || owner.disabled || this.#gone.has(id)) return undefined
    try {
      const mailboxes = await answered(this.mailOf(id).shared({ visitor: this.visitor(account, owner) }))
      return { owner, mailboxes }
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      this.#scope.log.warn({ err: error, account: id }, 'what an account shares could not be read')
      return undefined
    }
  }

  /** Owners, and the numbers of the mailboxes that they share with the account, as the core database has it. */
  async sharers(account: Account): Promise<Sharers> {
    const remembered = this.#sharers.get(account.id)
    if (remembered !== undefined) return remembered
    const round = this.#round
    const owners = new Map<string, Set<number>>()
    for (const { owner, mailbox } of await answered(
      this.#shares.sharedWith({ account: account.id, domain: account.domain }),
    )) {
      const known = owners.get(owner)
      if (known === undefined) owners.set(owner, new Set([mailbox]))
      else known.add(mailbox)
    }
    if (round === this.#round) this.#sharers.set(account.id, owners)
    return owners
  }

  /** Calls `listener` when it changed whose mailboxes the account may use; `isSharer` tells the owners that matter to it. Returns the way to stop. */
  watch(account: Account, isSharer: (owner: string) => boolean, listener: () => void): () => void {
    const stopShares = this.#store.bus.subscribe(CORE_TOPIC, (change: Change) => {
      if (!isSharesChange(change)) return
      if (change.identifiers.some((one) => one === account.id || one === everybodyIn(account.domain))) listener()
    })
    const stopAccounts = this.#neighbours.watch(({ kind, accountId }) => {
      if ((kind === 'disabled' || kind === 'enabled') && accountId !== undefined && isSharer(accountId)) listener()
    })
    return () => {
      stopShares()
      stopAccounts()
    }
  }

  /** Brings the core database into step with the owner's access lists. */
  async compare(owner: Account): Promise<void> {
    const memory = await this.#memory
    const before = memory.comparing.get(owner.id) ?? Promise.resolve()
    const next = before.then(
      () => this.#compare(owner),
      () => this.#compare(owner),
    )
    memory.comparing.set(owner.id, next)
    try {
      await next
      memory.agreed.add(owner.id)
    } catch (error) {
      memory.agreed.delete(owner.id)
      throw error
    } finally {
      if (memory.comparing.get(owner.id) === next) memory.comparing.delete(owner.id)
    }
  }

  async #compare(owner: Account): Promise<void> {
    const grants = await answered(this.mailOf(owner.id).grants())
    await answered(
      this.#shares.replace({
        owner: owner.id,
        grants: grants.map(([mailbox, identifier]) => [
          mailbox,
          identifier === ANYONE ? everybodyIn(owner.domain) : identifier,
        ]),
      }),
    )
  }

  /** Compares in the background, once for each owner: a crash may have come between the two writes. */
  async heal(owner: Account): Promise<void> {
    try {
      const { agreed } = await this.#memory
      if (agreed.has(owner.id)) return
      agreed.add(owner.id)
      await this.compare(owner)
    } catch (error) {
      if (!this.#scope.signal.aborted)
        this.#scope.log.warn({ err: error, account: owner.id }, 'what an account shares could not be compared')
    }
  }

  /** Removes what an account shared, and what was shared with it. Safe to do again. */
  async erase(account: Account): Promise<void> {
    const memory = await this.#memory
    for (const owner of await answered(this.#shares.ownersSharingWith({ account: account.id })))
      if (!memory.gone.has(owner)) await answered(this.mailOf(owner).forgetVisitor({ account: account.id }))
    await answered(this.#shares.forget({ account: account.id }))
    this.#sharers.delete(account.id)
    memory.agreed.delete(account.id)
    memory.gone.add(account.id)
  }
}

const isSharesChange = (change: Change): change is SharesChange => change.kind === 'shares'
