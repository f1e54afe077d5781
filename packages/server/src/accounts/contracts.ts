// Accounts as the rooms see them: who exists, who may log in, whose address is whose.

import type { Announcement, ServerMechanism } from '@aviso/sasl'
import { serviceKey } from '../kernel/scope.ts'
import type { ChannelBindings, ListenOptions, TlsFacts } from '../net/contracts.ts'
import type { Permission, Roles } from './roles.ts'

/**
 * The name of what an account may do, see roles.ts: `admin` everything, `user` mail and chat, `limited` no mail to other domains and no files, `guest` chat here for one session; and
 * those that the config names.
 */
export type Role = string

/** One person (or robot): one mailbox, one chat address. */
export interface Account {
  /** Names the account's database; never changes, never reused. [a-z0-9]{1,32} */
  readonly id: string
  /** The primary address, normalised: `local@domain`, which is also the bare JID. */
  readonly address: string
  readonly local: string
  readonly domain: string
  readonly role: Role
  readonly disabled: boolean
}

/** Where a login comes from: for limits, bans and the audit line. */
export interface LoginContext {
  /** `imap`, `submission`, `c2s` ... */
  readonly protocol: string
  readonly session: string
  readonly remoteAddress: string
  readonly secure: boolean
  /** Channel binding data by type (`tls-exporter`, `tls-server-end-point`), where TLS gives them. Costs a look into the TLS session. */
  readonly channelBinding?: (() => ChannelBindings | undefined) | undefined
  /** The certificate that the peer has shown in the TLS handshake. */
  readonly certificate?: (() => TlsFacts['clientCertificate']) | undefined
  /** The mechanisms and channel bindings that the peer was shown, where SCRAM is to sign them (XEP-0474). */
  readonly announced?: Announcement | undefined
  /** The program that logs in, as it describes itself. */
  readonly client?: ClientAgent | undefined
  /** The peer wants to use a token in place of the password (XEP-0484); `client` needs its id then. */
  readonly token?: TokenUse | undefined
  /** Set where the domain is for people without an account (XEP-0175): nobody else logs in there. */
  readonly guests?: GuestTerms | undefined
  /** The domain that the peer addressed (XMPP `to`, TLS SNI): completes a login name without `@`. */
  readonly domain?: string
}

/** How many guests there may be at a time. */
export interface GuestTerms {
  /** In the domain. */
  readonly most: number
  /** From one address (IPv6: from one /64), in all domains. */
  readonly perAddress: number
}

/** Accounts that are made by a login without a name, and erased when their session is over. `Accounts` finds them as any other; nobody else lists them. */
export interface Guests {
  /** The guest has a session. */
  settle(account: Account): void
  /** The guest's session is over, or there will be none: from now on nobody finds him, and what was kept of him is erased. Nothing happens for other accounts. */
  leave(account: Account): void
}

/** A program that logs in: what it says of itself. */
export interface ClientAgent {
  /** The same for an installation at all times. */
  readonly id?: string
  readonly software?: string
  readonly device?: string
}

export interface TokenUse {
  /** Grows with each use of the token, where the client counts. */
  readonly count: number | undefined
  /** It shall be good for nothing after this. */
  readonly invalidate: boolean
  /** Told which one it was, before the exchange ends. */
  used(token: UsedToken): void
}

export interface UsedToken {
  readonly mechanism: string
  readonly issued: number
  readonly invalidated: boolean
}

export interface GivenToken {
  readonly token: string
  readonly expires: number
}

/** The programs that log in, and tokens for them (XEP-0484). */
export interface LoginClients {
  /** The mechanisms that tokens can be had for in this session; none where there are no tokens. `Accounts.begin` takes them where the context has a `token`. */
  mechanisms(context: LoginContext): readonly string[]
  /** Remembers a client that has logged in. Nobody waits for it. */
  seen(account: Account, client: ClientAgent): void
  /**
   * A new token for who has logged in: for the mechanism that is wished, or because the one that was `used` is old. Undefined where there is to be none; durable otherwise.
   * `began`: the time from before the login; who logged in before a password was changed gets none after it.
   */
  give(
    account: Account,
    wish: string | undefined,
    used: UsedToken | undefined,
    context: LoginContext & { readonly began: number },
  ): Promise<GivenToken | undefined>
}

/** Adds a form of the password that an account lacks (XEP-0480). */
export interface LoginUpgrades {
  /** The names of the forms, as the SCRAM mechanisms'. */
  readonly offered: readonly string[]
  /** Undefined where the account has that form, or the form is not offered. `began` as with tokens. */
  begin(account: Account, form: string, began: number): Promise<FormUpgrade | undefined>
}

export interface FormUpgrade {
  readonly salt: Uint8Array
  readonly iterations: number
  /** Keeps what belongs to the salted password; resolves when it is durable, or the password was changed meanwhile. Rejects with a RangeError for one that is no such. */
  keep(salted: Uint8Array): Promise<void>
}

/** What a recipient address means here. */
export type Resolution =
  /** Deliver to these accounts and send on to these foreign addresses (an alias may name both; either may be empty, not both). */
  | { readonly kind: 'local'; readonly accounts: readonly Account[]; readonly forwards: readonly string[] }
  /** The domain is ours, the address is nobody's. */
  | { readonly kind: 'unknown' }
  /** The domain is not ours. */
  | { readonly kind: 'foreign' }

/** The one way to log in and to look somebody up, for every protocol. */
export interface Accounts {
  /** Names of the SASL mechanisms offered to this session now, strongest first; empty where none may be used yet (no TLS). */
  mechanisms(context: LoginContext): readonly string[]
  /**
   * Starts a SASL exchange; undefined for a mechanism that is not offered. Limits, growing delays, bans, success counting and the audit line are inside:
   * the caller only runs the exchange. On success `identity.authcid` is the account's primary address.
   */
  begin(mechanism: string, context: LoginContext): ServerMechanism | undefined
  readonly clients: LoginClients
  readonly upgrades: LoginUpgrades
  readonly guests: Guests
  /** How an endpoint of that protocol asks its clients for certificates, see `ListenOptions`; undefined: not at all. */
  clientCertificates(protocol: string): ListenOptions['clientCertificates']
  readonly roles: Roles
  /** True where the account may do it: its role has the first of the permissions that it says anything about. A disabled account may nothing. */
  may(account: Account, ...permissions: readonly Permission[]): boolean
  /** The account that a successful exchange named; undefined if it has gone or was disabled meanwhile. */
  byAddress(address: string): Promise<Account | undefined>
  byId(id: string): Promise<Account | undefined>
  /** True when `domain` (A-label, lower case) is one of ours. Synchronous: domains are kept in memory. */
  isLocal(domain: string): boolean
  /** Our domains, A-labels in lower case. */
  domains(): readonly string[]
  /** What the address means. `+detail` after the local part is dropped where the whole address is unknown. Rejects when the answer cannot be had now. */
  resolve(address: string): Promise<Resolution>
  /** True when the account may send with this reverse-path or From: its own addresses and the aliases that lead to it alone. */
  maySendAs(account: Account, address: string): Promise<boolean>
  /** Tells when accounts, domains or aliases changed; `accountId` where one account is meant (password changed, disabled, deleted ...). Returns the way to stop. */
  watch(listener: (change: AccountChange) => void): () => void
}

export interface AccountChange {
  readonly kind: 'created' | 'password' | 'disabled' | 'enabled' | 'deleted' | 'revoked' | 'domains' | 'aliases'
  readonly accountId?: string
  readonly address?: string
  /** Of `revoked`: the programs that were, as `clientKey` makes them of their ids. */
  readonly clients?: readonly string[]
}

export const Accounts = serviceKey<Accounts>('accounts')

/**
 * Rooms that keep something for every account (mailboxes, rosters) register here; an account is created and erased in all of them in one step.
 */
export interface AccountRoom {
  readonly name: string
  /** Makes what a new account needs at once. Called again for an account that has it already: must then do nothing. */
  create(account: Account): Promise<void>
  /**
   * Asked before an account is made. Rejects with an `AccountError` that tells why the name cannot be had.
   * `chosen`: by a stranger who registers himself; administrators know what they do.
   */
  admit?(wish: {
    readonly local: string
    readonly domain: string
    readonly address: string
    readonly chosen: boolean
  }): Promise<void>
  /** Called before the account's database is erased. */
  erase?(account: Account): Promise<void>
}
