// RFC 6120 §4.9: stream errors

import { el, type Element } from './element.ts'
import { NS } from './namespaces.ts'

/** The defined conditions of RFC 6120 §4.9.3. */
export const STREAM_CONDITIONS = [
  'bad-format',
  'bad-namespace-prefix',
  'conflict',
  'connection-timeout',
  'host-gone',
  'host-unknown',
  'improper-addressing',
  'internal-server-error',
  'invalid-from',
  'invalid-namespace',
  'invalid-xml',
  'not-authorized',
  'not-well-formed',
  'policy-violation',
  'remote-connection-failed',
  'reset',
  'resource-constraint',
  'restricted-xml',
  'see-other-host',
  'system-shutdown',
  'undefined-condition',
  'unsupported-encoding',
  'unsupported-feature',
  'unsupported-stanza-type',
  'unsupported-version',
] as const

export type StreamCondition = (typeof STREAM_CONDITIONS)[number]

export interface StreamErrorDetail {
  /** The content of the condition element: the host to go to, for 'see-other-host'. */
  readonly content?: string
  /** An application-specific condition in a namespace of its own. */
  readonly app?: Element | undefined
  readonly cause?: unknown
}

/** An error that ends a stream. */
export class StreamError extends Error {
  override readonly name = 'StreamError'
  readonly condition: StreamCondition
  readonly text: string
  readonly content: string
  readonly app: Element | undefined

  constructor(condition: StreamCondition, text = '', detail: StreamErrorDetail = {}) {
    super(text === '' ? condition : `${condition}: ${text}`, { cause: detail.cause })
    this.condition = condition
    this.text = text
    this.content = detail.content ?? ''
    this.app = detail.app
  }

  /** Reads a received <stream:error/>; an unknown condition becomes 'undefined-condition'. */
  static from(element: Element): StreamError {
    const known = new Set<string>(STREAM_CONDITIONS)
    const found = element.elements.find((child) => child.xmlns === NS.streamErrors && known.has(child.name))
    const condition = STREAM_CONDITIONS.find((name) => name === found?.name) ?? 'undefined-condition'
    return new StreamError(condition, element.childText('text', NS.streamErrors) ?? '', {
      content: found?.text() ?? '',
      app: element.elements.find((child) => child.xmlns !== NS.streamErrors),
    })
  }

  /** The <error/> element in the streams namespace. */
  toElement(): Element {
    return el(
      'error',
      { xmlns: NS.streams },
      el(this.condition, { xmlns: NS.streamErrors }, this.content),
      this.text !== '' && el('text', { xmlns: NS.streamErrors, 'xml:lang': 'en' }, this.text),
      this.app,
    )
  }

  /** As it stands on a stream, with the `stream:` prefix that old clients insist on (RFC 6120 §4.8.5). */
  override toString(): string {
    return `<stream:error>${this.toElement()
      .children.map((child) => (typeof child === 'string' ? child : child.toString(NS.streams)))
      .join('')}</stream:error>`
  }
}

/** What is no XML, or none with namespaces (§4.9.3.13). */
export const malformed = (text: string): StreamError => new StreamError('not-well-formed', text)
