// One attempt to log in: what the SASL mechanism asks about the name that the peer gave.

import type {
  CredentialSource,
  Identity,
  PasswordVerdict,
  RefusalCondition,
  ScramHash,
  ScramKeys,
  TokenRequest,
  TokenSource,
  TokenVerdict,
} from '@aviso/sasl'
import type { ClientCertificates } from './certificates.ts'
import type { Account, LoginContext } from './contracts.ts'
import type { AuthConfig, Form } from './config.ts'
import { loginAddress } from './address.ts'
import { clientKey } from './clients.ts'
import { decoyForms, decoyScram, deriveForm, parseScram, provingForm, type ScramForm } from './credentials.ts'
import type { Directory } from './directory.ts'
import { accountOf } from './directory.ts'
import type { LoginGuard } from './guard.ts'
import type { GuestList } from './guests.ts'
import { HashingBusy, type HashingQueue } from './hashing.ts'
import type { CredentialTexts } from './operations/accounts.ts'
import type { AccessTokens } from './oauth/tokens.ts'
import type { RememberedLogins } from './remembered.ts'
import type { AccountStore } from './store.ts'
import type { Calls } from '../store/contracts.ts'
import type { Scope } from '../kernel/scope.ts'

/** Cannot be decided now: the peer is told to try again later, which is neither "right" nor "wrong". */
export class LoginDeferred extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LoginDeferred'
  }
}

/** What all attempts share. */
export interface LoginHouse {
  readonly scope: Scope
  readonly config: AuthConfig
  readonly rows: Calls<AccountStore['operations']>
  readonly directory: Directory
  readonly guests: GuestList
  readonly certificates: ClientCertificates
  /** Undefined where no tokens of other servers are taken. */
  readonly tokens: AccessTokens | undefined
  readonly guard: LoginGuard
  readonly remembered: RememberedLogins
  readonly hashing: HashingQueue
  /** Hashes that nobody waits for. */
  readonly upgrading: HashingQueue
  /** This server's secret behind the decoys. */
  readonly secret: Uint8Array
}

/** No honest password is longer. */
const PASSWORD_CHARACTERS = 1024

export class Attempt implements CredentialSource, TokenSource {
  /** The account's address as the peer claims it, or what it said instead of one; undefined until it said something. */
  claimed: string | undefined
  account: Account | undefined
  /** Why the answer could not be found out. */
  fault: unknown
  /** The token mechanism that is under way. */
  mechanism: string | undefined
  /** For the audit line. */
  reason: string | undefined
  readonly #house: LoginHouse
  readonly #context: LoginContext

  constructor(house: LoginHouse, context: LoginContext) {
    this.#house = house
    this.#context = context
  }

  /** The SCRAM keys of `authcid`; of a decoy, which nobody can meet, where there are none. Rejects when they cannot be had now. */
  scram(authcid: string, hash: ScramHash): Promise<ScramKeys> {
    return this.#noting(async () => {
      const form: ScramForm = `SCRAM-${hash}`
      const address = await this.#approach(authcid)
      const found = address === undefined ? undefined : await this.#house.rows.login(address)
      const stored = found?.credentials[form]
      const keys = stored === undefined ? undefined : parseScram(form, stored)
      if (found === undefined) this.reason = 'no such account'
      else if (keys === undefined)
        this.reason = `no ${form} keys are stored: log in once with PLAIN, or set the password anew`
      else this.account = accountOf(found.account)
      return keys ?? decoyScram(form, address ?? authcid, this.#house.secret, this.#house.config.passwords)
    })
  }

  /** Checks a prepared password. Rejects when that cannot be done now. */
  password(authcid: string, password: string): Promise<PasswordVerdict> {
    return this.#noting(async () => {
      const { directory, remembered, hashing, rows, config, secret } = this.#house
      const address = await this.#approach(authcid)
      if (password.length > PASSWORD_CHARACTERS) {
        this.reason = 'a password longer than any'
        return 'not-authorized'
      }
      const recent = address === undefined ? undefined : directory.remembered(address)
      if (recent !== undefined && remembered.knows(recent.id, password)) {
        this.account = recent
        return 'accepted'
      }
      const ticket = remembered.ticket()
      const found = address === undefined ? undefined : await rows.login(address)
      const stored: CredentialTexts =
        found === undefined || Object.keys(found.credentials).length === 0
          ? decoyForms(config.passwords.forms, address ?? authcid, secret, config.passwords)
          : found.credentials
      const form = await hashing.run(() => provingForm(password, stored))
      if (found === undefined) this.reason = 'no such account'
      if (found === undefined || form === undefined) return 'not-authorized'
      this.account = accountOf(found.account)
      remembered.remember(found.account.id, password, ticket)
      void this.#upgrade(found.account.id, password, stored, form)
      return 'accepted'
    })
  }

  /** Finds the client's token and uses it. Rejects when that cannot be done now. */
  token(authcid: string, proves: (token: Uint8Array) => boolean): Promise<Uint8Array | RefusalCondition> {
    return this.#noting(async () => {
      const address = await this.#approach(authcid)
      const { client, token: use } = this.#context
      const key = clientKey(client?.id ?? '')
      const found = address === undefined ? undefined : await this.#house.rows.tokens({ address, client: key })
      const token = found?.tokens.find(
        ({ mechanism, secret }) => mechanism === this.mechanism && proves(Buffer.from(secret)),
      )
      if (found === undefined || token === undefined || use === undefined) {
        this.reason = found === undefined ? 'no such account' : 'no such token'
        return 'not-authorized'
      }
      if (token.expires <= this.#house.scope.clock.now()) {
        this.reason = 'the token has expired'
        return 'credentials-expired'
      }
      const { count, invalidate } = use
      // Nothing is written for a token in use, unless there is something to remember.
      if (token.slot === 'new' || count !== undefined || invalidate) {
        const { id } = found.account
        if (!(await this.#house.rows.useToken({ account: id, client: key, secret: token.secret, count, invalidate }))) {
          this.reason = 'the token was used with this count before'
          return 'not-authorized'
        }
      }
      use.used({ mechanism: token.mechanism, issued: token.issued, invalidated: invalidate })
      this.account = accountOf(found.account)
      return Buffer.from(token.secret)
    })
  }

  /** Makes an account for who has none. Rejects where there are too many. */
  guest(): Promise<string> {
    return this.#noting(async () => {
      const { domain, guests, remoteAddress } = this.#context
      if (domain === undefined || guests === undefined) throw new Error('nobody is a guest there')
      this.account = await this.#house.guests.admit(domain, remoteAddress, guests)
      this.claimed = this.account.address
      return this.account.address
    })
  }

  /** The account that the certificate names: the one that is asked for, or the only one of the domain. */
  external(wish: string | undefined): Promise<Identity | 'not-authorized' | 'invalid-authzid'> {
    return this.#noting(async () => {
      const { directory, certificates } = this.#house
      const domain = this.#domain
      const proven = certificates.addresses(this.#context)
      const wanted = wish === undefined ? undefined : loginAddress(wish, domain)
      this.claimed = wanted ?? wish?.slice(0, 128) ?? proven[0]
      if (wish !== undefined && (wanted === undefined || !proven.includes(wanted))) {
        this.reason = 'the certificate is for another'
        return 'invalid-authzid'
      }
      const accounts: Account[] = []
      for (const address of wanted === undefined ? proven.filter((each) => each.endsWith(`@${domain}`)) : [wanted]) {
        const account = await directory.byCanonical(address)
        if (account !== undefined) accounts.push(account)
      }
      const [account, second] = accounts
      if (account === undefined || second !== undefined) {
        this.reason = account === undefined ? 'no such account' : 'the certificate names several accounts'
        return 'not-authorized'
      }
      this.account = account
      this.claimed = account.address
      return { authcid: account.address, authzid: undefined }
    })
  }

  /** The account that an access token names. Rejects when that cannot be told now. */
  bearer({ token, authzid }: TokenRequest): Promise<TokenVerdict> {
    return this.#noting(async () => {
      const { tokens, directory } = this.#house
      if (tokens === undefined) throw new Error('tokens are not taken')
      if (authzid !== '') this.claimed = loginAddress(authzid, this.#domain) ?? authzid.slice(0, 128)
      const { scope, 'openid-configuration': openidConfiguration } = tokens.config
      const telling = {
        ...(scope.length > 0 && { scope: scope.join(' ') }),
        ...(openidConfiguration !== undefined && { openidConfiguration }),
      }
      const found = await tokens.find(token)
      if ('refused' in found) {
        this.reason = found.refused
        const { status = 'invalid_token', expired } = found
        return { kind: 'refused', status, ...(expired === true && { condition: 'credentials-expired' }), ...telling }
      }
      // Not by the domain that the client asked for: `anna` is one person.
      const address = loginAddress(found.name, directory.domains[0])
      this.claimed = address ?? found.name.slice(0, 128)
      const account = address === undefined ? undefined : await directory.byCanonical(address)
      if (account === undefined) {
        this.reason = 'the token names no account of ours'
        return { kind: 'refused', ...telling }
      }
      this.account = account
      return { kind: 'accepted', authcid: account.address }
    })
  }

  /** True where a name that the client gave is the account's. */
  isSelf(name: string): boolean {
    return this.account !== undefined && loginAddress(name, this.#domain) === this.account.address
  }

  /** What completes a login name. */
  get #domain(): string | undefined {
    const { directory } = this.#house
    const { domain } = this.#context
    return domain !== undefined && directory.isLocal(domain) ? domain : directory.domains[0]
  }

  async #approach(authcid: string): Promise<string | undefined> {
    const { guard } = this.#house
    const { remoteAddress } = this.#context
    const address = loginAddress(authcid, this.#domain)
    this.claimed = address ?? authcid.slice(0, 128)
    if (!(await guard.approach(this.claimed, remoteAddress)))
      throw new LoginDeferred('the account is under attack and too many logins wait for it')
    return address
  }

  async #noting<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.fault = error
      throw error
    }
  }

  /** Brings the stored forms to those that the config wants, now that the password is known for once. */
  async #upgrade(id: string, password: string, stored: CredentialTexts, proof: Form): Promise<void> {
    const { config, rows, scope, upgrading } = this.#house
    const { forms } = config.passwords
    const missing = forms.filter((form) => stored[form] === undefined)
    const remove = Object.keys(stored).filter((form) => !forms.some((wanted) => wanted === form))
    const secret = stored[proof]
    if (secret === undefined || missing.length + remove.length === 0) return
    try {
      const add: Record<string, string> = {}
      for (const form of missing)
        add[form] = await upgrading.run(() => deriveForm(form, password, config.passwords, scope.random))
      await rows.upgradeCredentials({ id, proof: { form: proof, secret }, add, remove })
    } catch (error) {
      // Not now, then at a later login.
      if (!(error instanceof HashingBusy))
        scope.log.warn({ err: error, account: id }, 'the forms of a password could not be upgraded')
    }
  }
}
