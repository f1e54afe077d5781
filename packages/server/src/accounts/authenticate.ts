// The one login of all protocols: limits around a SASL exchange, one audit line for each attempt.

import {
  type Failure,
  type FailureCondition,
  type MechanismName,
  type ServerMechanism,
  type ServerStep,
  serverMechanism,
  type Success,
  tokenMechanismName,
  offeredTokenMechanisms,
  tokenServer,
  type TokenMechanismName,
} from '@aviso/sasl'
import type { CounterMetric } from '../kernel/metrics.ts'
import { Attempt, LoginDeferred, type LoginHouse } from './attempt.ts'
import { MECHANISMS } from './config.ts'
import type { Account, LoginContext } from './contracts.ts'
import { HashingBusy } from './hashing.ts'
import { channelBindingOf } from './channel-binding.ts'
import { GUEST } from './roles.ts'
import { isLoopback } from './neighbourhood.ts'

/** Failures that say something about a password; the others are slips of a client, which no guesser gains from. */
const GUESSES: ReadonlySet<FailureCondition> = new Set(['not-authorized', 'invalid-authzid'])

/** Old clients of these protocols know nothing but LOGIN. */
const LOGIN_PROTOCOLS: ReadonlySet<string> = new Set(['smtp', 'submission', 'imap', 'pop3', 'managesieve'])

export class Authenticator {
  readonly #house: LoginHouse
  readonly #logins: CounterMetric
  /** What is offered to those who show no certificate, by protocol, and whether they can bind to the connection. */
  readonly #usual = new Map<string, readonly MechanismName[]>()

  constructor(house: LoginHouse) {
    this.#house = house
    this.#logins = house.scope.metrics.counter('aviso_logins_total', 'Attempts to log in', ['protocol', 'outcome'])
  }

  mechanisms(context: LoginContext): readonly MechanismName[] {
    const { config } = this.#house
    if (!context.secure && !(config.cleartext === 'loopback' && isLoopback(context.remoteAddress))) return []
    if (context.guests !== undefined) return ['ANONYMOUS']
    const wanted: readonly string[] = config['channel-binding']
    const bindings = wanted.includes(context.protocol) && (context.channelBinding?.()?.size ?? 0) > 0
    const proven = this.#house.certificates.addresses(context).some((address) => this.#isOurs(address))
    const usual = this.#usually(context.protocol, bindings)
    return proven ? ['EXTERNAL', ...usual] : usual
  }

  #usually(protocol: string, bindings: boolean): readonly MechanismName[] {
    const key = `${protocol} ${bindings}`
    let usual = this.#usual.get(key)
    if (usual === undefined)
      this.#usual.set(key, (usual = [...this.#bearers(protocol), ...this.#passwords(protocol, bindings)]))
    return usual
  }

  #passwords(protocol: string, bindings: boolean): readonly MechanismName[] {
    const { config } = this.#house
    return MECHANISMS.filter((name) => {
      if (!config.mechanisms.includes(name)) return false
      if (name === 'LOGIN') return LOGIN_PROTOCOLS.has(protocol)
      if (name === 'PLAIN') return true
      if (name.endsWith('-PLUS') && !bindings) return false
      return config.passwords.forms.some((form) => name.replace('-PLUS', '') === form)
    })
  }

  /** XOAUTH2 is of mail; it never came to XMPP. */
  #bearers(protocol: string): readonly MechanismName[] {
    if (this.#house.tokens?.serves(protocol) !== true) return []
    return protocol === 'c2s' ? ['OAUTHBEARER'] : ['OAUTHBEARER', 'XOAUTH2']
  }

  #isOurs(address: string): boolean {
    return this.#house.directory.isLocal(address.slice(address.lastIndexOf('@') + 1))
  }

  begin(mechanism: string, context: LoginContext): ServerMechanism | undefined {
    const attempt = new Attempt(this.#house, context)
    const token = context.token === undefined ? undefined : tokenMechanismName(mechanism)
    if (token !== undefined) return this.#beginToken(token, attempt, context)
    const offered = this.mechanisms(context)
    const inner = serverMechanism(mechanism, {
      offered,
      credentials: attempt,
      secret: this.#house.secret,
      iterations: this.#house.config.passwords.iterations,
      // One may be named in several ways: `anna`, `Anna@Example.org`. Nobody acts as another.
      authorize: async (_authcid, wanted) => attempt.isSelf(wanted),
      channelBinding: offered.some((name) => name.endsWith('-PLUS')) ? channelBindingOf(context) : undefined,
      announced: context.announced,
      guest: () => attempt.guest(),
      verifyToken: (request) => attempt.bearer(request),
      external: (authzid) => attempt.external(authzid),
      nonce: () => this.#house.scope.random.bytes(18).toString('base64'),
    })
    return inner === undefined ? undefined : new GuardedExchange(this.#house, this.#logins, inner, attempt, context)
  }

  #beginToken(name: TokenMechanismName, attempt: Attempt, context: LoginContext): ServerMechanism | undefined {
    const { config } = this.#house
    const possible =
      config.tokens.life > 0 &&
      context.guests === undefined &&
      context.client?.id !== undefined &&
      this.mechanisms(context).length > 0
    if (!possible || !offeredTokenMechanisms(context.channelBinding?.()?.keys() ?? []).includes(name)) return undefined
    attempt.mechanism = name
    const inner = tokenServer(name, attempt, channelBindingOf(context))
    return new GuardedExchange(this.#house, this.#logins, inner, attempt, context)
  }
}

const SPENT: Failure = { kind: 'failure', condition: 'malformed-request', text: 'The exchange is over.' }

type Outcome = 'success' | 'failure' | 'refused' | 'fault'

class GuardedExchange implements ServerMechanism {
  readonly name: ServerMechanism['name']
  readonly #house: LoginHouse
  readonly #logins: CounterMetric
  readonly #inner: ServerMechanism
  readonly #attempt: Attempt
  readonly #context: LoginContext
  #over = false

  constructor(
    house: LoginHouse,
    logins: CounterMetric,
    inner: ServerMechanism,
    attempt: Attempt,
    context: LoginContext,
  ) {
    this.name = inner.name
    this.#house = house
    this.#logins = logins
    this.#inner = inner
    this.#attempt = attempt
    this.#context = context
  }

  start(initial: Uint8Array | undefined): Promise<ServerStep> {
    return this.#step(() => this.#inner.start(initial))
  }

  next(response: Uint8Array): Promise<ServerStep> {
    return this.#step(() => this.#inner.next(response))
  }

  abort(): Failure {
    if (!this.#over) this.#note('failure', 'the client gave up')
    this.#over = true
    return this.#inner.abort()
  }

  async #step(run: () => Promise<ServerStep>): Promise<ServerStep> {
    // Refused, failed, given up or done: the mechanism inside may still be in the middle, and must not be asked again.
    if (this.#over) return SPENT
    const step = await this.#guarded(run)
    const { account } = this.#attempt
    // Nobody will come of it.
    if (account?.role === GUEST && (this.#over || step.kind === 'failure')) this.#house.guests.leave(account)
    if (this.#over) return SPENT
    if (step.kind !== 'challenge') this.#over = true
    return step
  }

  async #guarded(run: () => Promise<ServerStep>): Promise<ServerStep> {
    if (this.#banned()) return this.#refuse()
    try {
      const step = await run()
      // Whatever the mechanism made of a fault: it must be neither a success nor "wrong password".
      if (this.#attempt.fault !== undefined) return this.#faulty(this.#attempt.fault)
      if (step.kind === 'challenge') return step
      const end = step.kind === 'success' ? await this.#welcome(step) : step
      return end.kind === 'failure' ? await this.#failed(end) : end
    } catch (error) {
      return this.#faulty(error)
    }
  }

  /** The password was right. Is the account still there, and may it log in? */
  async #welcome(step: Success): Promise<Success | Failure> {
    const proven = this.#attempt.account
    const account = proven && (await this.#asOfNow(proven))
    if (this.#over) return SPENT
    if (account === undefined || account.id !== proven?.id) return this.#wrong('not-authorized', 'the account has gone')
    if (account.disabled) return this.#wrong('account-disabled', 'the account is disabled')
    // Guesses made side by side all started before the first of them failed: what ends after the ban tells nothing.
    if (this.#banned()) return this.#wrong('not-authorized', 'the address was banned meanwhile')
    this.#house.guard.succeeded(account.address, this.#context.remoteAddress)
    this.#note('success', undefined, account.id, account.address)
    return { ...step, identity: { authcid: account.address, authzid: undefined } }
  }

  #asOfNow({ id, role, address }: Account): Promise<Account | undefined> | Account | undefined {
    const { guests, directory } = this.#house
    return role === GUEST ? guests.byId(id) : directory.byCanonical(address)
  }

  async #failed(step: Failure): Promise<Failure> {
    const { claimed, reason } = this.#attempt
    if (this.#over) return step
    if (step.condition === 'temporary-auth-failure') return this.#faulty(step.cause ?? new Error(step.text))
    this.#note('failure', reason ?? (step.condition === 'not-authorized' ? 'wrong password' : step.text))
    if (GUESSES.has(step.condition)) await this.#house.guard.failed(claimed, this.#context.remoteAddress)
    return step
  }

  #refuse(): Failure {
    this.#note('refused', 'the address is banned')
    return { kind: 'failure', condition: 'temporary-auth-failure', text: 'Too many failed logins: try again later.' }
  }

  #faulty(error: unknown): Failure {
    if (error instanceof LoginDeferred || error instanceof HashingBusy) this.#note('refused', error.message)
    else {
      this.#house.scope.log.error({ err: error, session: this.#context.session }, 'a login could not be checked')
      this.#note('fault', error instanceof Error ? error.message : String(error))
    }
    return {
      kind: 'failure',
      condition: 'temporary-auth-failure',
      text: 'Logins cannot be checked just now: try again later.',
    }
  }

  #wrong(condition: FailureCondition, reason: string): Failure {
    this.#attempt.reason = reason
    return {
      kind: 'failure',
      condition,
      text: condition === 'account-disabled' ? 'The account is disabled.' : 'The user name or password is wrong.',
    }
  }

  #banned(): boolean {
    return this.#house.guard.isBanned(this.#context.remoteAddress)
  }

  #note(outcome: Outcome, reason: string | undefined, id?: string, address = this.#attempt.claimed): void {
    const { protocol, session, remoteAddress } = this.#context
    this.#logins.inc({ protocol, outcome })
    const account = id ?? this.#attempt.account?.id
    this.#house.scope.log.info(
      {
        event: 'login',
        protocol,
        ...(account === undefined ? {} : { account }),
        address,
        session,
        remoteAddress,
        mechanism: this.name,
        outcome,
        ...(reason === undefined ? {} : { reason }),
      },
      outcome === 'success' ? 'logged in' : 'login failed',
    )
  }
}
