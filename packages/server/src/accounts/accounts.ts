// Opens the accounts of this server: the directory, the login, and the administrators' door, over one store.

import type { ServerMechanism } from '@aviso/sasl'
import type { Scope } from '../kernel/scope.ts'
import { Bans } from '../net/contracts.ts'
import { Store } from '../store/contracts.ts'
import { canonical } from './address.ts'
import { Administration } from './admin.ts'
import { AccountAdmin } from './administration.ts'
import type { LoginHouse } from './attempt.ts'
import { ClientCertificates } from './certificates.ts'
import { Clients } from './clients.ts'
import { Authenticator } from './authenticate.ts'
import type { AuthConfig } from './config.ts'
import { type Account, type AccountChange, Accounts, type LoginContext, type Resolution } from './contracts.ts'
import { Directory } from './directory.ts'
import { FailureMemory, failureMemory, LoginGuard } from './guard.ts'
import { GuestList, guestList } from './guests.ts'
import { HashingQueue } from './hashing.ts'
import { AccessTokens } from './oauth/tokens.ts'
import { RememberedLogins } from './remembered.ts'
import { type Permission, Roles } from './roles.ts'
import { AccountRooms, accountRooms } from './rooms.ts'
import { accountStore } from './store.ts'
import { Upgrades } from './upgrades.ts'

const DAY = 86_400_000
const AUDIT_DAYS = 730
/** So long a client is told that its token has expired, and not that it is wrong. */
const TOKENS_EXPIRED_DAYS = 30
const AUDIT_ROWS = 200_000
const UPGRADES_WAITING = 1000
/** Each makes two or three forms at once; the thread pool has four threads, which logins and files need too. */
const HASHES_OF_ADMINISTRATORS = 2

export interface OpenedAccounts {
  readonly accounts: Accounts
  readonly admin: AccountAdmin
  /** Where the other rooms register what they keep for every account. */
  readonly rooms: AccountRooms
}

/**
 * Opens the accounts until `scope` closes, and provides `Accounts`, `AccountAdmin` and `accountRooms` in it. Uses the services `Store` and, where there is
 * one, `Bans`. When all rooms have registered, call `admin.recover()` once per process. Rejects with `StoreError` when the database cannot be had.
 */
export async function openAccounts(scope: Scope, config: AuthConfig): Promise<OpenedAccounts> {
  const store = scope.use(Store)
  const rows = store.core(accountStore)
  const directory = await Directory.open(scope, store)
  const memory = await scope.keep(failureMemory, () => new FailureMemory(config.failures.addresses))
  memory.limit(config.failures.addresses)
  const fresh = scope.random.bytes(32).toString('base64')
  const secret = Buffer.from(
    (await rows.secret('decoy')) ?? (await rows.keepSecret({ name: 'decoy', value: fresh })),
    'base64',
  )
  const guests = await scope.keep(guestList, (life) => new GuestList(life))
  const certificates = new ClientCertificates(scope, config.certificates)
  const house: LoginHouse = {
    scope,
    config,
    rows,
    directory,
    guests,
    certificates,
    tokens: config.oauth && new AccessTokens(scope, config.oauth),
    guard: new LoginGuard(scope, config.failures, memory, scope.find(Bans)),
    remembered: new RememberedLogins(scope.random, config.remembered),
    hashing: new HashingQueue(config.passwords.concurrency, config.passwords.queue),
    upgrading: new HashingQueue(1, UPGRADES_WAITING),
    secret,
  }
  const clients = new Clients(scope, config.tokens, rows)
  const upgrades = new Upgrades(scope, config.passwords, rows)
  const roles = new Roles(config.roles)
  const accounts = new HouseAccounts(directory, new Authenticator(house), {
    clients,
    upgrades,
    guests,
    roles,
    certificates,
  })
  scope.defer(
    directory.watch(({ kind, accountId, address }) => {
      if (accountId === undefined || kind === 'created') return
      house.remembered.forget(accountId)
      if (address !== undefined && (kind === 'password' || kind === 'deleted')) house.guard.forget(address)
    }),
  )
  const rooms = new AccountRooms()
  guests.adopt({ scope, store, rows, rooms })
  const admin = new Administration(
    {
      scope,
      store,
      rows,
      rooms,
      roles,
      guests,
      passwords: config.passwords,
      hashing: new HashingQueue(HASHES_OF_ADMINISTRATORS, Number.POSITIVE_INFINITY),
    },
    directory,
  )
  scope.interval(DAY, async () => {
    await rows.sweepAudit({ before: scope.clock.now() - AUDIT_DAYS * DAY, keep: AUDIT_ROWS })
    await rows.sweepTokens(scope.clock.now() - TOKENS_EXPIRED_DAYS * DAY)
  })
  scope.provide(Accounts, accounts)
  scope.provide(AccountAdmin, admin)
  scope.provide(accountRooms, rooms)
  return { accounts, admin, rooms }
}

type Parts = Pick<HouseAccounts, 'clients' | 'upgrades' | 'guests' | 'roles'> & {
  readonly certificates: ClientCertificates
}

class HouseAccounts implements Accounts {
  readonly #directory: Directory
  readonly #authenticator: Authenticator
  readonly clients: Clients
  readonly upgrades: Upgrades
  readonly guests: GuestList
  readonly #certificates: ClientCertificates
  readonly roles: Roles

  constructor(
    directory: Directory,
    authenticator: Authenticator,
    { clients, upgrades, guests, roles, certificates }: Parts,
  ) {
    this.guests = guests
    this.#certificates = certificates
    this.roles = roles
    this.clients = clients
    this.upgrades = upgrades
    this.#directory = directory
    this.#authenticator = authenticator
  }

  mechanisms(context: LoginContext): readonly string[] {
    return this.#authenticator.mechanisms(context)
  }

  begin(mechanism: string, context: LoginContext): ServerMechanism | undefined {
    return this.#authenticator.begin(mechanism, context)
  }

  clientCertificates(protocol: string): ReturnType<Accounts['clientCertificates']> {
    return this.#certificates.terms(protocol)
  }

  may(account: Account, ...permissions: readonly Permission[]): boolean {
    return !account.disabled && this.roles.may(account.role, ...permissions)
  }

  async byAddress(text: string): Promise<Account | undefined> {
    const address = canonical(text)
    if (address === undefined) return undefined
    const account = this.guests.byAddress(address) ?? (await this.#directory.byCanonical(address))
    return account?.disabled === true ? undefined : account
  }

  async byId(id: string): Promise<Account | undefined> {
    return this.guests.byId(id) ?? (await this.#directory.byId(id))
  }

  isLocal(domain: string): boolean {
    return this.#directory.isLocal(domain)
  }

  domains(): readonly string[] {
    return this.#directory.domains
  }

  resolve(address: string): Promise<Resolution> {
    return this.#directory.resolve(address)
  }

  maySendAs(account: Account, address: string): Promise<boolean> {
    return this.#directory.maySendAs(account, address)
  }

  watch(listener: (change: AccountChange) => void): () => void {
    return this.#directory.watch(listener)
  }
}
