// RFC 7395: a stream whose elements travel as messages of their own, each with its namespaces

import { isUtf8 } from 'node:buffer'
import { el, Element } from '../element.ts'
import { type NamespaceContext, readElement } from '../element-reader.ts'
import { NS } from '../namespaces.ts'
import { StreamError } from '../stream-error.ts'
import type { ParserLimits, StreamHandlers, StreamReader } from '../stream-reader.ts'
import type { HeaderAttributes } from './header.ts'

/** Parts the messages of one write. No XML can hold it. */
export const MESSAGE_SEPARATOR = '\0'

/** What closes the stream. */
export const CLOSE_MESSAGE = `<close xmlns='${NS.framing}'/>`

/** What opens the stream, in place of a header. */
export const openMessage = ({ from, to, id, lang }: HeaderAttributes): string =>
  el('open', { xmlns: NS.framing, from, to, id, version: '1.0', 'xml:lang': lang }).toString()

/** XML text that was made for a place within a stream, as it stands alone. */
export function asMessage(xml: string): string {
  if (xml.startsWith('<stream:')) return xml.replace(/[ />]/, ` xmlns:stream='${NS.streams}'$&`)
  const at = xml.startsWith('<message') ? 8 : xml.startsWith('<presence') ? 9 : xml.startsWith('<iq') ? 3 : 0
  if (at === 0 || !' />'.includes(xml.charAt(at)) || xml.startsWith(' xmlns=', at)) return xml
  return `${xml.slice(0, at)} xmlns='${NS.client}'${xml.slice(at)}`
}

/** What messages may leave away: many clients do not name the namespace of stanzas. */
const WITHIN: NamespaceContext = { xmlns: NS.client, bindings: ['stream', NS.streams] }

/** A declaration may stand before the element (§3.3.3). */
const DECLARATION = /^<\?xml [^<>]{1,100}\?>[ \t\r\n]*(?=<)/
/** What each message has to be: one element, from its first character on. No part of a stream of the other kind begins one. */
const ELEMENT = /^<(?!stream:stream[\s/>])[^/!?]/

/** Reads a stream that comes in messages. It is used as a StreamParser is: what it says to its handlers, and what they may do to it, are the same. */
export class MessageReader implements StreamReader {
  limits: ParserLimits
  readonly #handlers: StreamHandlers
  readonly #waiting: (Uint8Array | string)[] = []
  #waitingBytes = 0
  #opening = true
  #paused = false
  #reading = false
  #closed = false

  constructor(handlers: StreamHandlers, limits: ParserLimits) {
    this.#handlers = handlers
    this.limits = limits
  }

  write(message: Uint8Array | string): void {
    if (this.#closed) return
    if (this.#paused || this.#reading) {
      this.#waiting.push(message)
      this.#waitingBytes += message.length
    } else this.#run(message)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    if (!this.#reading) this.#drain()
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get waitingIsBlank(): boolean {
    return this.#waiting.length === 0
  }

  discard(): void {
    this.#waiting.length = 0
    this.#waitingBytes = 0
  }

  reset(): void {
    this.#opening = true
  }

  close(): void {
    this.#closed = true
    this.discard()
  }

  #drain(): void {
    while (!this.#paused) {
      const message = this.#waiting.shift()
      if (message === undefined) return
      this.#waitingBytes -= message.length
      this.#run(message)
    }
  }

  #run(message: Uint8Array | string): void {
    let element: Element
    try {
      element = this.#read(message)
    } catch (error) {
      if (!(error instanceof StreamError)) throw error
      this.close()
      return this.#handlers.error(error)
    }
    this.#reading = true
    try {
      this.#handle(element)
    } finally {
      this.#reading = false
    }
    this.#drain()
  }

  #handle(element: Element): void {
    if (element.xmlns !== NS.framing) return this.#handlers.element(element)
    if (element.name === 'open') {
      this.#opening = false
      return this.#handlers.streamStart(headerOf(element), NS.client)
    }
    this.close()
    this.#handlers.streamEnd()
  }

  #read(message: Uint8Array | string): Element {
    const size = typeof message === 'string' ? Buffer.byteLength(message) : message.length
    if (size > this.limits.stanzaBytes) throw new StreamError('policy-violation', 'stanza is too big')
    const text = typeof message === 'string' ? message : textOf(message)
    const source = text.startsWith('<?xml ') ? text.replace(DECLARATION, '') : text
    if (!ELEMENT.test(source)) throw new StreamError('bad-format', 'each message is one element')
    const element = readElement(source.trimEnd(), WITHIN, this.limits)
    if (element.xmlns === NS.framing ? !this.#isInPlace(element.name) : this.#opening)
      throw new StreamError('bad-format', this.#opening ? '<open/> was expected' : `<${element.name}/> is out of place`)
    return element
  }

  #isInPlace(name: string): boolean {
    return name === 'close' || (name === 'open' && this.#opening)
  }
}

function textOf(octets: Uint8Array): string {
  if (!isUtf8(octets)) throw new StreamError('not-well-formed', 'invalid UTF-8')
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString()
}

/** The header that an `<open/>` stands for. */
const headerOf = (open: Element): Element => new Element('stream', NS.streams, open.attrs)
