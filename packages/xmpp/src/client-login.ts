// RFC 6120 §6, XEP-0388, XEP-0386, XEP-0484: how a client proves who it is, in the newest way that the server has

import {
  type ChannelBinding,
  type ClientMechanism,
  offeredTokenMechanisms,
  tokenClient,
  tokenMechanismName,
} from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import { el, type Element } from './element.ts'
import { Jid } from './jid.ts'
import { NS } from './namespaces.ts'
import { StreamError } from './stream-error.ts'
import { saslOctets, saslText } from './stream/sasl.ts'
import type { UserAgent } from './stream/sasl2.ts'

/** The log-in was refused: the SASL failure condition, with the server's words. */
export class AuthenticationError extends Error {
  override readonly name = 'AuthenticationError'
  readonly condition: string

  constructor(condition: string, text = '') {
    super(text === '' ? condition : `${condition}: ${text}`)
    this.condition = condition
  }
}

/** A log-in with the resource, and what a client needs with it, in one round trip (XEP-0388, XEP-0386). */
export interface Sasl2Options {
  /** What the client says of itself; its id stays the same for an installation. */
  readonly userAgent?: UserAgent
  /** What the resource begins with: the name of the program. */
  readonly tag?: string
  /** What is to be switched on together with it: carbons, stream management ... */
  readonly inline?: readonly Element[]
  /** Tokens in place of the password (XEP-0484). Needs an id of the user agent. */
  readonly fast?: Fast
}

export interface Fast {
  /** The name that logs in. */
  readonly authcid: string
  /** The one that is kept from before. */
  readonly token?: KeptToken | undefined
  /** Keeps a token for the next time, or forgets the one before (undefined). Called before anything is sent that needs it to be kept. */
  keep(token: KeptToken | undefined): void
  /** What a token can be bound to; without it, it is bound to nothing. */
  channelBinding?(socket: Duplex): ChannelBinding | undefined
}

export interface KeptToken {
  readonly mechanism: string
  readonly token: string
  /** As the server said it (XEP-0082). */
  readonly expiry: string
  /** How often it was used. */
  readonly count: number
}

/** A stream that is being negotiated. */
export interface Negotiation {
  readonly socket: Duplex
  send(element: Element): void
  /** The next element that comes. */
  answer(): Promise<Element>
  /** See `ClientOptions.sasl`. */
  sasl(mechanisms: readonly string[], socket: Duplex): ClientMechanism | undefined
}

const mechanismsOf = (element: Element | undefined): readonly string[] =>
  element?.childrenNamed('mechanism').map((mechanism) => mechanism.text()) ?? []

function chosen(negotiation: Negotiation, offered: readonly string[]): ClientMechanism {
  const mechanism = negotiation.sasl(offered, negotiation.socket)
  if (mechanism === undefined) throw new AuthenticationError('invalid-mechanism', `offered were: ${offered.join(' ')}`)
  return mechanism
}

const refused = (failure: Element): AuthenticationError =>
  new AuthenticationError(
    failure.elements.find(({ xmlns }) => xmlns === NS.sasl)?.name ?? 'not-authorized',
    failure.childText('text') ?? '',
  )

function octetsOf(element: Element): Uint8Array | undefined {
  const octets = saslOctets(element)
  if (octets === undefined) throw new AuthenticationError('incorrect-encoding')
  return octets === 'absent' ? undefined : octets
}

/** RFC 6120 §6.4. @throws AuthenticationError */
export async function authenticate(negotiation: Negotiation, features: Element): Promise<void> {
  const mechanism = chosen(negotiation, mechanismsOf(features.child('mechanisms', NS.sasl)))
  const initial = await mechanism.start()
  const text = initial === undefined ? '' : saslText(initial)
  negotiation.send(el('auth', { xmlns: NS.sasl, mechanism: mechanism.name }, text))
  for (;;) {
    const answer = await negotiation.answer()
    if (answer.is('failure', NS.sasl)) throw refused(answer)
    const octets = octetsOf(answer)
    if (answer.is('success', NS.sasl)) return mechanism.success(octets)
    if (!answer.is('challenge', NS.sasl)) throw new AuthenticationError('malformed-request')
    const response = await mechanism.next(octets ?? new Uint8Array())
    negotiation.send(el('response', { xmlns: NS.sasl }, response.length === 0 ? '' : saslText(response)))
  }
}

/** What a log-in by SASL2 has given. */
export interface Sasl2Login {
  /** Undefined where the server binds no resource with it. */
  readonly jid: Jid | undefined
  /** What it said of what was to be switched on. */
  readonly bound: Element | undefined
}

/** Logs in by SASL2; undefined where the server has none. A token that is not good any more is followed by the password. @throws AuthenticationError */
export async function authenticate2(
  negotiation: Negotiation,
  features: Element,
  options: Sasl2Options,
): Promise<Sasl2Login | undefined> {
  const offer = features.child('authentication', NS.sasl2)
  if (offer === undefined) return undefined
  const inline = offer.child('inline', NS.sasl2)
  const login = new Login(negotiation, options, inline)
  return (await login.byToken()) ?? login.by(chosen(negotiation, mechanismsOf(offer)), [login.tokenWish()])
}

class Login {
  readonly #negotiation: Negotiation
  readonly #options: Sasl2Options
  readonly #inline: Element | undefined
  readonly #binding: ChannelBinding | undefined
  /** The token mechanisms that both sides can do, the best first. */
  readonly #tokens: readonly string[]

  constructor(negotiation: Negotiation, options: Sasl2Options, inline: Element | undefined) {
    this.#negotiation = negotiation
    this.#options = options
    this.#inline = inline
    const offered = mechanismsOf(inline?.child('fast', NS.fast))
    const able = options.fast !== undefined && options.userAgent?.id !== undefined
    this.#binding = able ? options.fast.channelBinding?.(negotiation.socket) : undefined
    this.#tokens = able
      ? offeredTokenMechanisms(this.#binding?.types ?? []).filter((name) => offered.includes(name))
      : []
  }

  /** Asks for a token for the next time. */
  tokenWish(): Element | undefined {
    const [mechanism] = this.#tokens
    return mechanism === undefined ? undefined : el('request-token', { xmlns: NS.fast, mechanism })
  }

  /** With the token that is kept; undefined where there is none that is good. */
  async byToken(): Promise<Sasl2Login | undefined> {
    const { fast } = this.#options
    const name = tokenMechanismName(fast?.token?.mechanism ?? '')
    if (fast?.token === undefined || name === undefined || !this.#tokens.includes(name)) return undefined
    const token = { ...fast.token, count: fast.token.count + 1 }
    // A count that is not kept would be used twice.
    fast.keep(token)
    const mechanism = tokenClient(name, fast.authcid, Buffer.from(token.token), this.#binding)
    try {
      return await this.by(mechanism, [el('fast', { xmlns: NS.fast, count: token.count })])
    } catch (error) {
      if (!(error instanceof AuthenticationError) || !TOKEN_ENDED.has(error.condition)) throw error
      fast.keep(undefined)
      return undefined
    }
  }

  /** @throws AuthenticationError */
  async by(mechanism: ClientMechanism, more: readonly (Element | undefined)[]): Promise<Sasl2Login> {
    const initial = await mechanism.start()
    this.#negotiation.send(
      el(
        'authenticate',
        { xmlns: NS.sasl2, mechanism: mechanism.name },
        initial && el('initial-response', {}, base64(initial)),
        this.#userAgent(),
        ...more,
        this.#bind(),
      ),
    )
    for (;;) {
      const answer = await this.#negotiation.answer()
      if (answer.is('failure', NS.sasl2)) throw refused(answer)
      if (answer.is('success', NS.sasl2)) return this.#succeeded(mechanism, answer)
      if (answer.is('continue', NS.sasl2))
        throw new AuthenticationError('not-authorized', 'the server asks for more than this client can do')
      if (!answer.is('challenge', NS.sasl2)) throw new AuthenticationError('malformed-request')
      const response = await mechanism.next(octetsOf(answer) ?? new Uint8Array())
      this.#negotiation.send(el('response', { xmlns: NS.sasl2 }, base64(response)))
    }
  }

  async #succeeded(mechanism: ClientMechanism, success: Element): Promise<Sasl2Login> {
    const data = success.child('additional-data', NS.sasl2)
    await mechanism.success(data && octetsOf(data))
    const address = Jid.tryParse(success.childText('authorization-identifier') ?? '')
    if (address === undefined) throw new StreamError('bad-format', 'the server does not say who has logged in')
    const given = success.child('token', NS.fast)
    const token = given?.get('token')
    if (given !== undefined && token !== undefined)
      this.#options.fast?.keep({
        mechanism: tokenMechanismName(mechanism.name) ?? this.#tokens[0] ?? '',
        token,
        expiry: given.get('expiry') ?? '',
        count: 0,
      })
    const bound = success.child('bound', NS.bind2)
    return { jid: bound === undefined ? undefined : address, bound }
  }

  #userAgent(): Element | undefined {
    const { userAgent } = this.#options
    if (userAgent === undefined) return undefined
    const { id, software, device } = userAgent
    return el('user-agent', { id }, software && el('software', {}, software), device && el('device', {}, device))
  }

  #bind(): Element | undefined {
    if (this.#inline?.child('bind', NS.bind2) === undefined) return undefined
    const { tag, inline = [] } = this.#options
    return el('bind', { xmlns: NS.bind2 }, tag !== undefined && el('tag', {}, tag), ...inline)
  }
}

/** The token is good for nothing any more: the password may be. */
const TOKEN_ENDED: ReadonlySet<string> = new Set(['not-authorized', 'credentials-expired', 'invalid-mechanism'])

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')
