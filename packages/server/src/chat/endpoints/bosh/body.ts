// XEP-0124 §6, XEP-0206: the element that wraps what goes either way

import { isUtf8 } from 'node:buffer'
import {
  type AttributeValues,
  Attributes,
  CLOSE_MESSAGE,
  el,
  type Element,
  escapeAttribute,
  NO_CONTEXT,
  NS,
  readElement,
  type ReaderLimits,
  StreamError,
} from '@aviso/xmpp'

const BOSH = 'http://jabber.org/protocol/httpbind'
const XBOSH = 'urn:xmpp:xbosh'

/** Why a session is over (§17.2). */
export type TerminalCondition =
  | 'bad-request'
  | 'host-unknown'
  | 'improper-addressing'
  | 'item-not-found'
  | 'other-request'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'remote-stream-error'

/** What cannot be taken; the client is told the condition. */
export class BoshError extends Error {
  override readonly name = 'BoshError'
  readonly condition: TerminalCondition

  constructor(condition: TerminalCondition, message: string) {
    super(message)
    this.condition = condition
  }
}

/** A request of a client. */
export interface BoshRequest {
  /** Undefined: it wants a new session. */
  readonly sid: string | undefined
  readonly rid: number
  readonly to: string | undefined
  readonly from: string | undefined
  readonly lang: string | undefined
  /** Of BOSH; undefined: a client of before version 1.6, which knows errors by the status of HTTP. */
  readonly ver: readonly [major: number, minor: number] | undefined
  /** Of XMPP. */
  readonly version: string | undefined
  /** Seconds. */
  readonly wait: number | undefined
  readonly hold: number | undefined
  readonly pause: number | undefined
  /** The media type that the client wants its answers in. */
  readonly content: string | undefined
  readonly key: string | undefined
  readonly newKey: string | undefined
  readonly terminates: boolean
  readonly restarts: boolean
  /** The payloads, each with its namespaces. */
  readonly messages: readonly string[]
}

/** The largest `rid` (§14.1). */
const MAX_RID = Number.MAX_SAFE_INTEGER

/** Reads what a client has sent. @throws BoshError bad-request */
export function readBody(octets: Buffer, limits: ReaderLimits): BoshRequest {
  const body = elementOf(octets, limits)
  if (!body.is('body', BOSH)) throw new BoshError('bad-request', 'a <body/> is expected')
  const rid = wholeNumber(body, 'rid', MAX_RID)
  if (rid === undefined) throw new BoshError('bad-request', 'there is no request id')
  return {
    sid: body.get('sid'),
    rid,
    to: body.get('to'),
    from: body.get('from'),
    lang: body.get('xml:lang'),
    ver: versionOf(body),
    version: body.get(`{${XBOSH}}version`),
    wait: wholeNumber(body, 'wait'),
    hold: wholeNumber(body, 'hold'),
    pause: wholeNumber(body, 'pause'),
    content: body.get('content'),
    key: body.get('key'),
    newKey: body.get('newkey'),
    terminates: body.get('type') === 'terminate',
    restarts: ['true', '1'].includes(body.get(`{${XBOSH}}restart`) ?? ''),
    messages: payloads(body),
  }
}

function elementOf(octets: Buffer, limits: ReaderLimits): Element {
  if (!isUtf8(octets)) throw new BoshError('bad-request', 'this is not UTF-8')
  const text = octets.toString().replace(/^\ufeff?(?:<\?xml [^<>]{0,100}\?>)?\s*/, '')
  try {
    // The wrapper is no part of what it wraps.
    return readElement(text.trimEnd(), NO_CONTEXT, { ...limits, depth: limits.depth + 1 })
  } catch (error) {
    if (error instanceof StreamError) throw new BoshError('bad-request', error.message)
    throw error
  }
}

function payloads(body: Element): string[] {
  return body.children.flatMap((child) => {
    if (typeof child !== 'string') return carried(child).toString()
    if (child.trim() !== '') throw new BoshError('bad-request', 'there is text between the elements')
    return []
  })
}

/** XEP-0206 §2: many clients do not name the namespace of stanzas. */
const carried = (payload: Element): Element =>
  payload.xmlns === BOSH && ['message', 'presence', 'iq'].includes(payload.name)
    ? payload.inNamespace(NS.client)
    : payload

function wholeNumber(body: Element, name: string, most = 999_999_999): number | undefined {
  const text = body.get(name)
  if (text === undefined) return undefined
  if (!/^\d{1,16}$/.test(text) || Number(text) > most) throw new BoshError('bad-request', `'${name}' is no number`)
  return Number(text)
}

function versionOf(body: Element): BoshRequest['ver'] {
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(body.get('ver') ?? '')
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

/** What opens the stream that a request asks for, or opens it anew. */
export const openOf = ({ to, from, lang, version = '1.0' }: BoshRequest): string =>
  el('open', { xmlns: NS.framing, to, from, version, 'xml:lang': lang }).toString()

/** What closes it. */
export { CLOSE_MESSAGE as CLOSE }

/** A `<body/>` around payloads, each of which has its namespaces. */
export function writeBody(attributes: AttributeValues, payloadsOfIt: readonly string[] = []): string {
  let tag = `<body xmlns='${BOSH}'`
  for (const [name, value] of Attributes.of(attributes)) tag += ` ${name}='${escapeAttribute(value)}'`
  if (payloadsOfIt.length === 0) return `${tag}/>`
  // XEP-0206 §2
  if (payloadsOfIt.some((payload) => payload.startsWith('<stream:'))) tag += ` xmlns:stream='${NS.streams}'`
  return `${tag}>${payloadsOfIt.join('')}</body>`
}

/** The end of a session, for a reason or, without one, as both wanted it. */
export const writeEnd = (condition?: TerminalCondition, payloadsOfIt: readonly string[] = []): string =>
  writeBody({ type: 'terminate', condition }, payloadsOfIt)

/** §17.3: the same request has come again, and is answered there. */
export const REPEATED = writeBody({ type: 'error' })

/** What the first answer tells of the session (§7.2, XEP-0206 §4). */
export interface SessionFacts {
  readonly sid: string
  readonly wait: number
  readonly hold: number
  readonly requests: number
  readonly inactivity: number
  readonly polling: number
  readonly maxPause: number
  /** The version of BOSH that the client speaks. */
  readonly ver: BoshRequest['ver']
  /** The host and the stream id, as far as they are known. */
  readonly from: string | undefined
  readonly streamId: string | undefined
}

const OURS: readonly [number, number] = [1, 11]

export const factsOf = ({ ver = OURS, streamId, maxPause, ...facts }: SessionFacts): AttributeValues => {
  const [major, minor] = ver[0] < OURS[0] || (ver[0] === OURS[0] && ver[1] < OURS[1]) ? ver : OURS
  return {
    ...facts,
    maxpause: maxPause,
    ver: `${major}.${minor}`,
    authid: streamId,
    'xmlns:xmpp': XBOSH,
    'xmpp:version': '1.0',
    'xmpp:restartlogic': 'true',
  }
}
