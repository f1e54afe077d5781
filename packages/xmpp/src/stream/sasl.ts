// RFC 6120 §6: SASL on a stream, the server's side

import type { Identity, ServerMechanism, ServerStep } from '@aviso/sasl'
import { el, type Element } from '../element.ts'
import { NS } from '../namespaces.ts'
import { StreamError } from '../stream-error.ts'

/** The failure conditions of RFC 6120 §6.5; whatever else a mechanism says becomes 'not-authorized'. */
const FAILURES: readonly string[] = [
  'aborted',
  'account-disabled',
  'credentials-expired',
  'encryption-required',
  'incorrect-encoding',
  'invalid-authzid',
  'invalid-mechanism',
  'malformed-request',
  'mechanism-too-weak',
  'not-authorized',
  'temporary-auth-failure',
]

/**
 * The octets in a SASL element: base64, where '=' stands for none and no text at all for "not given" (RFC 6120 §6.4.2).
 * @returns 'absent' without text, undefined for what is not base64
 */
export function saslOctets(element: Element): Uint8Array | 'absent' | undefined {
  const text = element.text()
  if (text === '') return 'absent'
  if (text === '=') return new Uint8Array()
  // Strict: Buffer.from would skip what it does not understand (RFC 6120 §6.4.2 and §13.9.1 forbid that).
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64')
}

/** The text of octets in a SASL element. */
export function saslText(octets: Uint8Array): string {
  return octets.length === 0 ? '=' : Buffer.from(octets).toString('base64')
}

/** A failure condition as an element. */
export function saslConditionElement(condition: string): Element {
  return el(FAILURES.includes(condition) ? condition : 'not-authorized', { xmlns: NS.sasl })
}

/** A `<failure/>` (RFC 6120 §6.5), with a text in English where one is given. */
export function saslFailure(condition: string, text = ''): Element {
  return el(
    'failure',
    { xmlns: NS.sasl },
    saslConditionElement(condition),
    text !== '' && el('text', { 'xml:lang': 'en' }, text),
  )
}

/** The SASL negotiation of one stream: at most one exchange at a time, and a bounded number of failures. */
export class SaslNegotiation {
  #exchange: ServerMechanism | undefined
  #failures = 0
  readonly #attempts: number
  readonly #begin: (mechanism: string) => ServerMechanism | undefined

  constructor(attempts: number, begin: (mechanism: string) => ServerMechanism | undefined) {
    this.#attempts = attempts
    this.#begin = begin
  }

  /**
   * Takes an element in the SASL namespace.
   * @returns what to send, and the identity once it is proved
   * @throws StreamError when there were too many failures, or for an element that does not belong here
   */
  async take(element: Element): Promise<{ reply: Element; identity?: Identity }> {
    const octets = saslOctets(element)
    switch (element.name) {
      case 'auth': {
        // A second <auth/> ends the first exchange (RFC 6120 §6.4.6).
        this.#exchange = undefined
        if (octets === undefined) return this.#fail('incorrect-encoding')
        this.#exchange = this.#begin(element.get('mechanism') ?? '')
        if (this.#exchange === undefined) return this.#fail('invalid-mechanism')
        return this.#step(await this.#exchange.start(octets === 'absent' ? undefined : octets))
      }
      case 'response': {
        if (octets === undefined) return this.#fail('incorrect-encoding')
        if (this.#exchange === undefined) return this.#fail('malformed-request')
        return this.#step(await this.#exchange.next(octets === 'absent' ? new Uint8Array() : octets))
      }
      case 'abort':
        this.#exchange?.abort()
        return this.#fail('aborted')
      default:
        throw new StreamError('unsupported-stanza-type')
    }
  }

  #step(step: ServerStep): { reply: Element; identity?: Identity } {
    switch (step.kind) {
      case 'challenge':
        return { reply: el('challenge', { xmlns: NS.sasl }, step.data.length === 0 ? '' : saslText(step.data)) }
      case 'failure':
        return this.#fail(step.condition, step.text)
      case 'success': {
        this.#exchange = undefined
        const additional = step.data === undefined ? '' : saslText(step.data)
        return { reply: el('success', { xmlns: NS.sasl }, additional), identity: step.identity }
      }
    }
  }

  #fail(condition: string, text?: string): { reply: Element } {
    this.failed()
    return { reply: saslFailure(condition, text) }
  }

  /** Counts a failure, of SASL2 too, and gives up the exchange. */
  failed(): void {
    this.#exchange = undefined
    this.#failures++
  }

  /** @throws StreamError policy-violation when the client has used up its attempts (RFC 6120 §6.4.5) */
  demandAttempts(): void {
    if (this.#failures >= this.#attempts) throw new StreamError('policy-violation', 'too many failed attempts')
  }
}
