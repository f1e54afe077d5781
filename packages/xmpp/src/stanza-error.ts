// RFC 6120 §8.3: stanza errors

import { el, type Element } from './element.ts'
import { NS } from './namespaces.ts'

export type StanzaErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait'

/** The defined conditions of RFC 6120 §8.3.3, each with the error type that it recommends. */
export const STANZA_CONDITIONS = {
  'bad-request': 'modify',
  conflict: 'cancel',
  'feature-not-implemented': 'cancel',
  forbidden: 'auth',
  gone: 'cancel',
  'internal-server-error': 'cancel',
  'item-not-found': 'cancel',
  'jid-malformed': 'modify',
  'not-acceptable': 'modify',
  'not-allowed': 'cancel',
  'not-authorized': 'auth',
  'policy-violation': 'modify',
  'recipient-unavailable': 'wait',
  redirect: 'modify',
  'registration-required': 'auth',
  'remote-server-not-found': 'cancel',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'cancel',
  'subscription-required': 'auth',
  'undefined-condition': 'cancel',
  'unexpected-request': 'wait',
} as const satisfies Record<string, StanzaErrorType>

export type StanzaCondition = keyof typeof STANZA_CONDITIONS

export interface StanzaErrorDetail {
  /** The entity that says so, where it is not the one the stanza was for (RFC 6120 §8.3.2). */
  readonly by?: string | undefined
  /** An application-specific condition in a namespace of its own. */
  readonly app?: Element | undefined
  /** The content of the condition element: the new address, for 'gone' and 'redirect'. */
  readonly content?: string
  readonly cause?: unknown
}

/** A refusal of one stanza; the stream goes on. */
export class StanzaError extends Error {
  override readonly name = 'StanzaError'
  readonly type: StanzaErrorType
  readonly condition: StanzaCondition
  readonly text: string
  readonly by: string | undefined
  readonly app: Element | undefined
  readonly content: string

  constructor(type: StanzaErrorType, condition: StanzaCondition, text = '', detail: StanzaErrorDetail = {}) {
    super(text === '' ? condition : `${condition}: ${text}`, { cause: detail.cause })
    this.type = type
    this.condition = condition
    this.text = text
    this.by = detail.by
    this.app = detail.app
    this.content = detail.content ?? ''
  }

  /** An error with the type that RFC 6120 recommends for its condition. */
  static of(condition: StanzaCondition, text = '', detail: StanzaErrorDetail = {}): StanzaError {
    return new StanzaError(STANZA_CONDITIONS[condition], condition, text, detail)
  }

  /** Reads the error of a stanza of type 'error', or an <error/> itself; what is missing or unknown becomes 'undefined-condition'. */
  static from(stanza: Element): StanzaError {
    const error = stanza.name === 'error' ? stanza : stanza.child('error')
    const found = error?.elements.find((child) => child.xmlns === NS.stanzaErrors && child.name !== 'text')
    const name = found?.name ?? ''
    const condition: StanzaCondition = isCondition(name) ? name : 'undefined-condition'
    const type = error?.get('type')
    const known = type === 'auth' || type === 'cancel' || type === 'continue' || type === 'modify' || type === 'wait'
    return new StanzaError(
      known ? type : STANZA_CONDITIONS[condition],
      condition,
      error?.childText('text', NS.stanzaErrors) ?? '',
      {
        by: error?.get('by'),
        content: found?.text() ?? '',
        app: error?.elements.find((child) => child.xmlns !== NS.stanzaErrors),
      },
    )
  }

  /** The <error/> element; it takes the namespace of the stanza it is put into. */
  toElement(): Element {
    return el(
      'error',
      { type: this.type, by: this.by },
      el(this.condition, { xmlns: NS.stanzaErrors }, this.content),
      this.text !== '' && el('text', { xmlns: NS.stanzaErrors, 'xml:lang': 'en' }, this.text),
      this.app,
    )
  }
}

function isCondition(name: string): name is StanzaCondition {
  return Object.hasOwn(STANZA_CONDITIONS, name)
}

/**
 * The stanza to send back: same kind and id, addresses exchanged, type 'error' (RFC 6120 §8.3.1).
 * @returns undefined where none may be sent: the stanza is an error or an IQ result itself.
 */
export function errorReply(stanza: Element, error: StanzaError): Element | undefined {
  const type = stanza.get('type')
  if (type === 'error' || (stanza.name === 'iq' && type === 'result')) return undefined
  return el(
    stanza.name,
    { xmlns: stanza.xmlns, type: 'error', id: stanza.get('id'), to: stanza.get('from'), from: stanza.get('to') },
    error.toElement(),
  )
}

/** The result of an IQ request: same id, addresses exchanged, with an optional payload (RFC 6120 §8.2.3). */
export function resultReply(iq: Element, ...payload: Parameters<typeof el>[2][]): Element {
  return el(
    'iq',
    { xmlns: iq.xmlns, type: 'result', id: iq.get('id'), to: iq.get('from'), from: iq.get('to') },
    ...payload,
  )
}
