// For tests of streams: sockets in memory, time turned by hand, and a peer that says what it is told to, right or wrong.

import { duplexPair, type Duplex } from 'node:stream'
import type { Element } from '../element.ts'
import type { StreamError } from '../stream-error.ts'
import { StreamParser } from '../stream-parser.ts'
import type { Timers } from '../stream/contracts.ts'

/** Two ends of a connection in memory. */
export function memorySockets(): [Duplex, Duplex] {
  return duplexPair()
}

/** Timers that run when a test turns them. */
export class HandTimers implements Timers {
  #now = 0
  readonly #waiting = new Set<{ readonly at: number; readonly callback: () => void }>()

  /** Calls back once the time was turned so far. */
  timeout(ms: number, callback: () => void): { cancel(): void } {
    const entry = { at: this.#now + ms, callback }
    this.#waiting.add(entry)
    return { cancel: () => this.#waiting.delete(entry) }
  }

  /** How many timers wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** Lets time pass, and calls whoever has waited long enough. */
  turn(ms: number): void {
    this.#now += ms
    for (const entry of this.#waiting) {
      if (entry.at > this.#now) continue
      this.#waiting.delete(entry)
      entry.callback()
    }
  }
}

/** What a peer saw: a stream header, an element, the end of the stream, a stream that cannot be read, or the end of the connection. */
export type Seen =
  | { readonly kind: 'header' | 'element'; readonly element: Element }
  | { readonly kind: 'end' }
  | { readonly kind: 'unreadable'; readonly error: StreamError }
  | { readonly kind: 'disconnected' }

/** The other end of a stream, without any manners of its own. */
export class RawPeer {
  #socket: Duplex
  readonly #seen: Seen[] = []
  #waiting: ((seen: Seen) => void) | undefined
  readonly #parser = new StreamParser({
    streamStart: (element) => this.#see({ kind: 'header', element }),
    element: (element) => this.#see({ kind: 'element', element }),
    streamEnd: () => this.#see({ kind: 'end' }),
    error: (error) => this.#see({ kind: 'unreadable', error }),
  })
  /** How many pieces came in. */
  chunks = 0

  constructor(socket: Duplex) {
    this.#socket = socket
    this.attach(socket)
  }

  /** The socket in use. */
  get socket(): Duplex {
    return this.#socket
  }

  /** Goes on over another socket, expecting a new stream. */
  attach(socket: Duplex): void {
    this.#socket.removeAllListeners('data')
    this.#socket.removeAllListeners('close')
    this.#socket = socket
    this.#parser.reset()
    socket.on('data', (chunk: Uint8Array) => {
      this.chunks++
      this.#parser.write(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => this.#see({ kind: 'disconnected' }))
    socket.on('end', () => socket.end())
  }

  /** Writes just these octets. */
  send(xml: string | Uint8Array): void {
    this.#socket.write(xml)
  }

  /** Sends a stream header and expects a new one in return. */
  open(attributes = "to='a.example'"): void {
    this.#parser.reset()
    this.send(
      `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' ${attributes}>`,
    )
  }

  /** What comes next. */
  next(): Promise<Seen> {
    const seen = this.#seen.shift()
    if (seen !== undefined) return Promise.resolve(seen)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  /** The element that comes next. Rejects if something else comes. */
  async element(): Promise<Element> {
    const seen = await this.next()
    if (seen.kind !== 'element') throw new Error(`an element was expected, not: ${seen.kind}`)
    return seen.element
  }

  /** Like `element`, for a stream header. */
  async header(): Promise<Element> {
    const seen = await this.next()
    if (seen.kind !== 'header') throw new Error(`a stream header was expected, not: ${seen.kind}`)
    return seen.element
  }

  #see(seen: Seen): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) this.#seen.push(seen)
    else waiting(seen)
  }
}
