// XEP-0357: Push Notifications

import { DEFAULT_PARSER_LIMITS, el, type Element, Jid, NS, readElement, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import { chatFeature, type Host } from '../core/contracts.ts'
import { FORMS, type Field, result, Submission } from '../core/forms.ts'
import type { Session } from '../core/session.ts'
import { importance } from './importance.ts'
import { device, isOf } from './push-device.ts'
import { type PushAnswer, type PushWork, pushRoom } from './push-room.ts'
import { pushStore, type Registration } from './push.store.ts'
import { unacknowledged } from './stream-management.ts'

const PUSH = 'urn:xmpp:push:0'
const PUBSUB = 'http://jabber.org/protocol/pubsub'
const PUBLISH_OPTIONS = `${PUBSUB}#publish-options`

const MAX_NODE = 1024
const MAX_OPTIONS = 4096
const MAX_TEXT = 200
/** Accounts whose registrations are remembered. */
const REMEMBERED = 10_000
const ANSWER_MS = 60_000
/** So many failures in a row that may pass by themselves end a registration. */
const MAX_FAILURES = 10
const NOTHING: ReadonlySet<string> = new Set()
/** Reasons of `importance` for which somebody is to be woken. */
const WAKING: ReadonlySet<string | undefined> = new Set(['body', 'encrypted', 'room', 'call'])

export const push = chatFeature({
  name: 'push',
  summary: 'Wakes the apps of phones that are not connected, by way of their makers’ servers.',
  config: v.strictObject({
    content: v.optional(
      v.pipe(
        v.picklist(['nothing', 'sender', 'text']),
        v.description('what the app server learns besides that there is a message: who wrote it, or also its text'),
      ),
      'nothing',
    ),
    'max-registrations': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('devices of one account; the oldest go')),
      20,
    ),
  }),

  attach(host, config, scope) {
    const pushes = new Pushes(host, scope, config.content)
    scope.defer(scope.use(pushRoom).enter(pushes, (domain) => host.covers(domain)))
    host.disco.feature(PUSH, ['account'])

    host.iq.set(PUSH, 'enable', ['self'], async (iq) => {
      const { account, origin, payload } = iq
      if (account === undefined) throw StanzaError.of('forbidden')
      const options = payload.child('x', FORMS)
      if (options !== undefined && Submission.of(payload)?.formType !== PUBLISH_OPTIONS)
        throw StanzaError.of('bad-request', 'this is not the form')
      const registration = { ...placeOf(payload), options: options?.toString() ?? '' }
      if (registration.options.length > MAX_OPTIONS) throw StanzaError.of('policy-violation', 'the form is too large')
      const limit = config['max-registrations']
      pushes.know(account, await host.store.account(pushStore, account.id).enable({ ...registration, limit }))
      origin.session?.set(device, registration)
      return iq.result()
    })

    host.iq.set(PUSH, 'disable', ['self'], async (iq) => {
      const { account, payload } = iq
      if (account === undefined) throw StanzaError.of('forbidden')
      const { jid, node } = placeOf(payload)
      const all = payload.get('node') === undefined
      const own = iq.origin.session?.get(device)
      if (own?.jid === jid && (all || own.node === node)) iq.origin.session?.set(device, undefined)
      pushes.know(
        account,
        await host.store.account(pushStore, account.id).disable({ jid, node: all ? undefined : node }),
      )
      return iq.result()
    })

    host.hooks.bound.on(({ account: { account } }) => void pushes.registrations(account))
    host.hooks.delivered.on(({ stanza, sessions }) => {
      const account = sessions[0]?.account
      if (account === undefined) return
      // What is said in a room is for the client that is in it: another one is not woken by it.
      const reached = stanza.get('type') === 'groupchat' ? sessions : undefined
      pushes.message(account.account, account.sessions, stanza, reached)
    })
    host.hooks.undelivered.on(({ stanza, account }) => {
      pushes.message(account, host.sessions(account.address), stanza)
      return undefined
    }, 20)
    host.hooks.mentioned.on(({ account, stanza }) => pushes.message(account, host.sessions(account.address), stanza))
    // What was sent to a connection that was dead already.
    host.hooks.away.on((session) => {
      const registration = session.get(device)
      if (registration === undefined) return
      for (const text of unacknowledged(session))
        if (text.startsWith('<message')) pushes.missed(session.account.account, registration, read(text))
    })
    host.hooks.answered.on(({ stanza, origin }) => pushes.answered(stanza, origin.jid))
  },
})

function placeOf(payload: Element): { readonly jid: string; readonly node: string } {
  const jid = Jid.tryParse(payload.get('jid') ?? '')
  if (jid === undefined) throw StanzaError.of('jid-malformed')
  const node = payload.get('node') ?? ''
  if (node.length > MAX_NODE) throw StanzaError.of('policy-violation', 'the node is too long')
  return { jid: jid.toString(), node }
}

const read = (text: string): Element =>
  readElement(text, { xmlns: NS.client, bindings: [] }, { ...DEFAULT_PARSER_LIMITS, depth: 200 })

const isWaking = (message: Element): boolean => WAKING.has(importance(message, NOTHING).reason)

/** Nobody looks at it now: its client is away, or its user is. */
const isAsleep = (session: Session): boolean => session.away || session.gate !== undefined

function errorOf(answer: Element | StanzaError): StanzaError | undefined {
  if (answer instanceof StanzaError) return answer
  return answer.get('type') === 'error' ? StanzaError.from(answer) : undefined
}

const isPassing = ({ type, condition }: StanzaError): boolean =>
  type === 'wait' || condition.startsWith('remote-server-')

/** What becomes of one registration's notifications. */
interface Course {
  /** Messages since the last notification that was sent. */
  waiting: number
  /** The last one of them. */
  last: Element
  busy: boolean
  failures: number
}

class Pushes implements PushWork {
  readonly #host: Host
  readonly #scope: Scope
  readonly #content: 'nothing' | 'sender' | 'text'
  readonly #outcomes: { inc(labels: { readonly outcome: string }): void }
  /** By account id. */
  readonly #known = new RecentMap<string, readonly Registration[]>(REMEMBERED)
  /** Courses that have something to tell, by account, address and node. */
  readonly #courses = new Map<string, Course>()
  /** Requests that wait for their answer, by id. */
  readonly #asked = new Map<string, { readonly jid: string; settle(answer: Element | StanzaError): void }>()

  constructor(host: Host, scope: Scope, content: 'nothing' | 'sender' | 'text') {
    this.#host = host
    this.#scope = scope
    this.#content = content
    this.#outcomes = scope.metrics.counter('aviso_chat_pushes', 'Push notifications, by outcome', ['outcome'])
  }

  know({ id }: Account, registrations: readonly Registration[]): void {
    this.#known.set(id, registrations)
  }

  /** Those of the account; undefined while they are being read. */
  async registrations(account: Account): Promise<readonly Registration[]> {
    const known = this.#known.get(account.id)
    if (known !== undefined) return known
    try {
      const found = await this.#host.store.account(pushStore, account.id).list()
      // What was changed meanwhile is newer.
      if (this.#known.peek(account.id) === undefined) this.know(account, found)
      return this.#known.peek(account.id) ?? found
    } catch (error) {
      this.#scope.log.warn({ err: error, account: account.address }, 'push registrations could not be read')
      return []
    }
  }

  /** A message for the account was given to its sessions, or to none of them. `only`: for the devices of these sessions alone. */
  message(account: Account, sessions: readonly Session[], message: Element, only?: readonly Session[]): void {
    const known = this.#known.peek(account.id)
    // Most accounts have none: this is asked for each message.
    if (known?.length === 0 || !isWaking(message)) return
    const tell = (registrations: readonly Registration[]): void => {
      for (const registration of registrations) {
        const own = sessions.find((session) => isOf(session.get(device), registration))
        if (only !== undefined && (own === undefined || !only.includes(own))) continue
        if (own === undefined || own.over || isAsleep(own)) this.#notify(account, registration, message)
      }
    }
    if (known !== undefined) tell(known)
    else void this.registrations(account).then(tell)
  }

  /** A message was sent to a client that did not get it. */
  missed(account: Account, registration: Registration, message: Element): void {
    if (this.#known.peek(account.id)?.some((each) => isOf(each, registration)) === true && isWaking(message))
      this.#notify(account, registration, message)
  }

  async test(account: Account, registration: Registration): Promise<PushAnswer> {
    const message = el('message', { xmlns: NS.client, from: account.domain }, el('body', {}, 'This is a test.'))
    const error = errorOf(await this.#publish(account, registration, this.#summary(1, message)))
    if (error === undefined) return { outcome: 'published' }
    return { outcome: isPassing(error) ? 'failed' : 'refused', why: error.message }
  }

  /** An answer to an IQ request came to one of our accounts. */
  answered(answer: Element, from: Jid): void {
    const asked = this.#asked.get(answer.get('id') ?? '')
    if (asked !== undefined && from.toString() === asked.jid) asked.settle(answer)
  }

  #notify(account: Account, registration: Registration, message: Element): void {
    const key = `${account.id} ${registration.jid} ${registration.node}`
    const course = this.#courses.get(key) ?? { waiting: 0, last: message, busy: false, failures: 0 }
    this.#courses.set(key, course)
    course.waiting++
    course.last = message
    // One at a time: what comes meanwhile is told in one more.
    if (course.busy) return
    course.busy = true
    void this.#run(account, registration, course).then(() => {
      course.busy = false
      if (course.failures === 0) this.#courses.delete(key)
    })
  }

  async #run(account: Account, registration: Registration, course: Course): Promise<void> {
    while (course.waiting > 0) {
      const count = course.waiting
      course.waiting = 0
      const error = errorOf(await this.#publish(account, registration, this.#summary(count, course.last)))
      if (error === undefined) {
        course.failures = 0
        this.#outcomes.inc({ outcome: 'published' })
        continue
      }
      course.failures++
      const passing = isPassing(error)
      this.#outcomes.inc({ outcome: passing ? 'failed' : 'refused' })
      if (passing && course.failures < MAX_FAILURES) continue
      course.failures = 0
      course.waiting = 0
      const { jid, node } = registration
      try {
        this.know(account, await this.#host.store.account(pushStore, account.id).disable({ jid, node }))
        this.#scope.log.info({ account: account.address, jid, why: error.message }, 'a push registration has ended')
      } catch (failure) {
        this.#scope.log.warn({ err: failure, account: account.address }, 'a push registration could not be ended')
      }
    }
  }

  #summary(count: number, message: Element): Element {
    const fields: Field[] = [{ name: 'message-count', type: 'text-single', values: [String(count)] }]
    if (this.#content !== 'nothing') {
      const from = Jid.tryParse(message.get('from') ?? '')?.bareString ?? ''
      fields.push({ name: 'last-message-sender', type: 'jid-single', values: [from] })
    }
    const text = message.childText('body')
    if (this.#content === 'text' && text !== undefined)
      fields.push({
        name: 'last-message-body',
        type: 'text-single',
        values: [Array.from(text).slice(0, MAX_TEXT).join('')],
      })
    return result({ formType: 'urn:xmpp:push:summary' }, fields)
  }

  /** Publishes, and answers what came back; an error of ours where nothing did. */
  #publish(account: Account, { jid, node, options }: Registration, summary: Element): Promise<Element | StanzaError> {
    const id = randomWord(this.#scope.random, 16)
    const request = el(
      'iq',
      { type: 'set', from: account.address, to: jid, id },
      el(
        'pubsub',
        { xmlns: PUBSUB },
        el(
          'publish',
          { node: node === '' ? undefined : node },
          el('item', {}, el('notification', { xmlns: PUSH }, summary)),
        ),
        options !== '' && el('publish-options', {}, read(options)),
      ),
    )
    return new Promise((resolve) => {
      const timer = this.#scope.clock.timeout(ANSWER_MS, () => settle(StanzaError.of('remote-server-timeout')))
      const settle = (answer: Element | StanzaError): void => {
        timer.cancel()
        this.#asked.delete(id)
        resolve(answer)
      }
      this.#asked.set(id, { jid, settle })
      const origin = { jid: Jid.parse(account.address), reply: settle }
      this.#host.route(request, origin).catch((error: unknown) => {
        settle(error instanceof StanzaError ? error : StanzaError.of('internal-server-error'))
        if (!(error instanceof StanzaError)) this.#scope.log.warn({ err: error }, 'a push notification was not sent')
      })
    })
  }
}
