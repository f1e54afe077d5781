// Who is online. The directory outlives the generations of the configuration: sessions of the one before and of the next one meet here.

import { escapeAttribute, type Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { accountTopic, type Change, type Store } from '../../store/contracts.ts'
import type { RosterChange } from './roster-rows.ts'
import { rosterStore } from './roster.store.ts'
import { Roster } from './roster.ts'
import type { Session } from './session.ts'
import { Traffic } from './tally.ts'

/** Whom an account has blocked (XEP-0191). */
export interface Blocked {
  /** Addresses, prepared; `full` where a resource is known. */
  blocks(bare: string, full?: string): boolean
}

const NOBODY: readonly Session[] = Object.freeze([])

/** An account that has sessions: they share its roster. */
export class OnlineAccount {
  /** As it was when it was looked up last: a role that changes is another one at once. */
  account: Account
  /** Bare. */
  readonly jid: Jid
  readonly bare: string
  readonly bareXml: string
  /** Of all clients. */
  readonly traffic: Traffic
  sessions: readonly Session[] = NOBODY
  /** The sessions that messages to the bare JID go to: those of the highest priority, if that is not negative (RFC 6121 §8.5.2.1.1). */
  foremost: readonly Session[] = NOBODY
  /** Set by the feature that keeps it; undefined as long as it is not known, or where nobody can be blocked. Presence passes to and from nobody who is blocked. */
  blocked: Blocked | undefined
  #roster: Roster | undefined
  #loading: Promise<Roster> | undefined
  #unsubscribe: (() => void) | undefined

  constructor(account: Account, jid: Jid, traffic: Traffic) {
    this.traffic = traffic
    this.account = account
    this.jid = jid
    this.bare = jid.toString()
    this.bareXml = escapeAttribute(this.bare)
  }

  /** The roster, if it is loaded: always so while a session is available. */
  get roster(): Roster | undefined {
    return this.#roster
  }

  /** Loads the roster once; `changed` is called for each change from then on, after the roster in memory has taken it. */
  loadRoster(store: Store, changed: (account: OnlineAccount, change: RosterChange) => void): Promise<Roster> {
    this.#loading ??= this.#load(store, changed).catch((error: unknown) => {
      this.#loading = undefined
      this.#unsubscribe?.()
      throw error
    })
    return this.#loading
  }

  /** To be called when a session's presence or priority has changed, or sessions came or went. */
  rank(): void {
    let highest = 0
    let some = false
    for (const session of this.sessions) {
      if (!session.listening) continue
      some = true
      if (session.priority > highest) highest = session.priority
    }
    this.foremost = some ? this.sessions.filter((session) => session.listening && session.priority === highest) : NOBODY
  }

  /** Lets go of the roster. */
  release(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#roster = undefined
    this.#loading = undefined
  }

  async #load(store: Store, changed: (account: OnlineAccount, change: RosterChange) => void): Promise<Roster> {
    // Listens first: what is committed while the roster is being read is then not missed.
    const early: RosterChange[] = []
    this.#unsubscribe = store.bus.subscribe(accountTopic(this.account.id), (change: Change) => {
      if (!isRosterChange(change)) return
      if (this.#roster === undefined) early.push(change)
      else {
        this.#roster.apply(change)
        changed(this, change)
      }
    })
    const roster = new Roster(await store.account(rosterStore, this.account.id).load())
    for (const change of early) {
      if (change.version <= roster.version) continue
      roster.apply(change)
      changed(this, change)
    }
    // Everybody may have left meanwhile.
    if (this.sessions.length > 0) this.#roster = roster
    else this.release()
    return roster
  }
}

const isRosterChange = (change: Change): change is RosterChange => change.kind === 'roster'

export class Directory {
  /** Between the server and its clients. */
  readonly traffic = new Traffic()
  readonly #sessions = new Map<string, Session>()
  readonly #accounts = new Map<string, OnlineAccount>()

  /** The session with that full JID (prepared). */
  session(full: string): Session | undefined {
    return this.#sessions.get(full)
  }

  /** The account with that bare JID (prepared), if it has sessions. */
  account(bare: string): OnlineAccount | undefined {
    return this.#accounts.get(bare)
  }

  /** The accounts that have sessions. */
  get accounts(): Iterable<OnlineAccount> {
    return this.#accounts.values()
  }

  get size(): number {
    return this.#sessions.size
  }

  /** The entry of an account for a session that is about to be added. */
  online(account: Account, bare: Jid): OnlineAccount {
    return this.#accounts.get(bare.toString()) ?? new OnlineAccount(account, bare, this.traffic)
  }

  /** Adds a session; its full JID must be free. */
  add(session: Session): void {
    const { account } = session
    if (this.#sessions.has(session.full)) throw new Error(`${session.full} is bound already`)
    this.#sessions.set(session.full, session)
    this.#accounts.set(account.bare, account)
    account.sessions = [...account.sessions, session]
  }

  remove(session: Session): void {
    if (this.#sessions.get(session.full) !== session) return
    this.#sessions.delete(session.full)
    const { account } = session
    account.sessions = account.sessions.filter((other) => other !== session)
    account.rank()
    if (account.sessions.length > 0) return
    if (this.#accounts.get(account.bare) === account) this.#accounts.delete(account.bare)
    account.release()
  }
}
