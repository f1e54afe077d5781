// Accounts as the rooms see them: who exists, who may log in, whose address is whose.

import type { Announcement, ServerMechanism } from '@aviso/sasl'
import { serviceKey } from '../kernel/scope.ts'

/** What an account may do: `admin` everything, `user` mail and chat, `limited` local mail and chat only. */
export type Role = 'admin' | 'user' | 'limited'

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
  /** Channel binding data by type (`tls-exporter`, `tls-server-end-point`), where TLS gives them. */
  readonly channelBinding?: ReadonlyMap<string, Uint8Array> | undefined
  /** The mechanisms and channel bindings that the peer was shown, where SCRAM is to sign them (XEP-0474). */
  readonly announced?: Announcement | undefined
  /** The domain that the peer addressed (XMPP `to`, TLS SNI): completes a login name without `@`. */
  readonly domain?: string
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
  readonly kind: 'created' | 'password' | 'disabled' | 'enabled' | 'deleted' | 'domains' | 'aliases'
  readonly accountId?: string
  readonly address?: string
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
