// XEP-0388: Extensible SASL Profile, the server's side

import { type Identity, SaslFailure, type ServerMechanism, type ServerStep } from '@aviso/sasl'
import { el, type Element } from '../element.ts'
import type { Jid } from '../jid.ts'
import { NS } from '../namespaces.ts'
import { StreamError } from '../stream-error.ts'
import { saslConditionElement } from './sasl.ts'

/** What a client says of itself. Nobody else is told. */
export interface UserAgent {
  /** A UUID in lower case that stays the same for an installation. */
  readonly id?: string
  /** For people, cut at 128 characters. */
  readonly software?: string
  readonly device?: string
}

/** A request to log in: `<authenticate/>`. */
export interface Sasl2Request {
  readonly mechanism: string
  readonly userAgent: UserAgent
  /** With everything that the client asks for inline. */
  readonly element: Element
}

/** Something to be done between the exchange and success. */
export interface Sasl2Task {
  readonly name: string
  /**
   * Takes `<next/>`, then each `<task-data/>`.
   * @returns what goes into the next `<task-data/>`, or undefined when the task is done
   * @throws SaslFailure ends the login
   */
  take(element: Element): Promise<readonly Element[] | undefined>
}

/** What came of a login. */
export interface Sasl2End {
  /** The full address, where a resource was bound or a stream resumed. */
  readonly jid?: Jid | undefined
  /** A stream was resumed: no features follow (XEP-0198 §9.2). */
  readonly resumed?: boolean
  /** Goes into `<success/>`. */
  readonly elements: readonly Element[]
}

/** What SASL2 asks of those who use it. */
export interface Sasl2Handlers {
  /** What may be asked for together with the login, and what else stands in `<authentication/>`. */
  offer(): { readonly inline: readonly Element[]; readonly others: readonly Element[] }
  /** Starts an exchange; undefined for a mechanism that is not offered. */
  begin(request: Sasl2Request): ServerMechanism | undefined
  /** The next thing to be done before success; undefined when there is nothing (left). Asked after the exchange and after each task. */
  task?(identity: Identity, request: Sasl2Request): Promise<Sasl2Task | undefined>
  /** Everything is proved: does what was asked for inline. What is sent over the stream meanwhile follows `<success/>`. @throws SaslFailure, StreamError */
  complete(identity: Identity, request: Sasl2Request): Promise<Sasl2End>
}

/** Octets in an element: base64, where no text means none (XEP-0388 §2.2). */
function octetsOf(element: Element): Uint8Array | undefined {
  const text = element.text().trim()
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const DESCRIPTION = 128

/** @throws SaslFailure where the id is none */
function userAgentOf(authenticate: Element): UserAgent {
  const element = authenticate.child('user-agent', NS.sasl2)
  if (element === undefined) return {}
  const id = element.get('id')
  if (id !== undefined && !UUID.test(id))
    throw new SaslFailure('malformed-request', 'The id of the user agent is not a UUID.')
  const described = (name: string): string | undefined =>
    element.childText(name)?.trim().slice(0, DESCRIPTION) || undefined
  const [software, device] = [described('software'), described('device')]
  return {
    ...(id !== undefined && { id: id.toLowerCase() }),
    ...(software !== undefined && { software }),
    ...(device !== undefined && { device }),
  }
}

export function sasl2Failure(condition: string, text = ''): Element {
  return el('failure', { xmlns: NS.sasl2 }, saslConditionElement(condition), text !== '' && el('text', {}, text))
}

/** What is to be sent, or who has proved to be whom. */
export type Sasl2Answer =
  | { readonly kind: 'reply'; readonly element: Element }
  | { readonly kind: 'failure'; readonly element: Element }
  | {
      readonly kind: 'proven'
      readonly identity: Identity
      readonly request: Sasl2Request
      readonly data: Element | undefined
    }

/** The state between `<authenticate/>` and the end. */
interface Login {
  readonly request: Sasl2Request
  exchange: ServerMechanism | undefined
  identity: Identity | undefined
  task: Sasl2Task | undefined
  begun: boolean
}

/** The negotiation of one stream, one login after the other. */
export class Sasl2Negotiation {
  readonly #handlers: Sasl2Handlers
  #login: Login | undefined

  constructor(handlers: Sasl2Handlers) {
    this.#handlers = handlers
  }

  /** In the middle of a login nothing else may come (§2.4). */
  get busy(): boolean {
    return this.#login !== undefined
  }

  /** Takes an element in the SASL2 namespace. @throws StreamError for one that does not belong here */
  async take(element: Element): Promise<Sasl2Answer> {
    try {
      return await this.#take(element)
    } catch (error) {
      if (!(error instanceof SaslFailure)) throw error
      return this.#fail(error.condition, error.message)
    }
  }

  #take(element: Element): Promise<Sasl2Answer> {
    const login = this.#login
    switch (element.name) {
      case 'authenticate':
        if (login !== undefined) throw new StreamError('policy-violation', 'a login is under way')
        return this.#authenticate(element)
      case 'response':
        return this.#response(element)
      case 'abort':
        login?.exchange?.abort()
        return Promise.resolve(this.#fail('aborted'))
      case 'next':
      case 'task-data':
        return this.#work(element)
      default:
        throw new StreamError('unsupported-stanza-type')
    }
  }

  async #authenticate(element: Element): Promise<Sasl2Answer> {
    const initial = element.child('initial-response', NS.sasl2)
    const octets = initial && octetsOf(initial)
    if (initial !== undefined && octets === undefined) return this.#fail('incorrect-encoding')
    const request = { mechanism: element.get('mechanism') ?? '', userAgent: userAgentOf(element), element }
    const exchange = this.#handlers.begin(request)
    if (exchange === undefined) return this.#fail('invalid-mechanism')
    const login: Login = { request, exchange, identity: undefined, task: undefined, begun: false }
    this.#login = login
    return this.#step(login, await exchange.start(octets))
  }

  async #response(element: Element): Promise<Sasl2Answer> {
    const login = this.#login
    const octets = octetsOf(element)
    if (octets === undefined) return this.#fail('incorrect-encoding')
    if (login?.exchange === undefined) return this.#fail('malformed-request')
    return this.#step(login, await login.exchange.next(octets))
  }

  async #step(login: Login, step: ServerStep): Promise<Sasl2Answer> {
    if (step.kind === 'failure') return this.#fail(step.condition, step.text)
    if (step.kind === 'challenge')
      return { kind: 'reply', element: el('challenge', { xmlns: NS.sasl2 }, base64(step.data)) }
    login.exchange = undefined
    login.identity = step.identity
    return this.#goOn(login, step.identity, step.data && el('additional-data', {}, base64(step.data)))
  }

  async #goOn(login: Login, identity: Identity, data: Element | undefined): Promise<Sasl2Answer> {
    const { request } = login
    login.begun = false
    login.task = await this.#handlers.task?.(identity, request)
    if (login.task === undefined) {
      this.#login = undefined
      return { kind: 'proven', identity, request, data }
    }
    const tasks = el('tasks', {}, el('task', {}, login.task.name))
    return { kind: 'reply', element: el('continue', { xmlns: NS.sasl2 }, data, tasks) }
  }

  async #work(element: Element): Promise<Sasl2Answer> {
    const login = this.#login
    if (login?.identity === undefined || login.task === undefined) return this.#fail('malformed-request')
    const begins = element.name === 'next'
    if (begins === login.begun || (begins && element.get('task') !== login.task.name))
      return this.#fail('malformed-request', 'This is not the task that is to be done.')
    login.begun = true
    const elements = await login.task.take(element)
    if (elements === undefined) return this.#goOn(login, login.identity, undefined)
    return { kind: 'reply', element: el('task-data', { xmlns: NS.sasl2 }, ...elements) }
  }

  #fail(condition: string, text?: string): Sasl2Answer {
    this.#login = undefined
    return { kind: 'failure', element: sasl2Failure(condition, text) }
  }
}
