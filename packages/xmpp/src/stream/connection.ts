// One XML stream over one socket, without knowing what is said on it: order of handling, back-pressure, and the closing handshake (RFC 6120 §4.4).

import type { Duplex } from 'node:stream'
import { type Element } from '../element.ts'
import { StreamError } from '../stream-error.ts'
import { StreamParser } from '../stream-parser.ts'
import type { ParserLimits, StreamHandlers, StreamReader } from '../stream-reader.ts'
import type { CloseReason, ConnectionEvents, ConnectionOptions } from './contracts.ts'
import { asMessage, CLOSE_MESSAGE, MESSAGE_SEPARATOR, MessageReader } from './messages.ts'
import { Outbox } from './outbox.ts'
import { Traffic, Underway } from './underway.ts'

/** Hears of itself what its reader finds: one object fewer for each of thousands of connections. */
export class Connection implements StreamHandlers {
  readonly #events: ConnectionEvents
  readonly #options: ConnectionOptions
  readonly #reader: StreamReader
  readonly #outbox: Outbox
  #socket: Duplex
  /** A handler's promise is pending, or an element waits for those that are underway. */
  #busy = false
  #traffic: Traffic | undefined
  /** `closed` was told. */
  #over = false
  /** The peer ended its side while a handler was busy: told when all that it sent is handled. */
  #endedBy: CloseReason | undefined
  #readingPaused = false
  #closeTimer: { cancel(): void } | undefined
  #drained: (() => void)[] | undefined
  readonly #asMessages: boolean

  constructor(socket: Duplex, events: ConnectionEvents, options: ConnectionOptions) {
    this.#events = events
    this.#options = options
    this.#socket = socket
    this.#asMessages = options.messages === true
    this.#outbox = new Outbox(socket, options.defer, this.#asMessages ? MESSAGE_SEPARATOR : '')
    this.#reader = new (this.#asMessages ? MessageReader : StreamParser)(this, options.limits)
    this.#listen(socket)
  }

  get socket(): Duplex {
    return this.#socket
  }

  get over(): boolean {
    return this.#over
  }

  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes
  }

  /** Octets received but not handled yet. */
  get waitingBytes(): number {
    return this.#reader.waitingBytes
  }

  get waitingIsBlank(): boolean {
    return this.#reader.waitingIsBlank
  }

  /** Limits for what is received; the wider ones come with authentication. */
  set parserLimits(limits: ParserLimits) {
    this.#reader.limits = limits
  }

  /** Sends XML text. False when the stream is over and it went nowhere. */
  send(xml: string): boolean {
    if (this.#over) return false
    this.#write(xml)
    if (this.#outbox.bufferedBytes <= this.#options.limits.outgoingBytes) return true
    this.fail(new StreamError('resource-constraint', 'you do not read what is sent to you'))
    return false
  }

  /** Resolves when what was sent has left for the socket and the socket takes more, or the stream is over. */
  drained(): Promise<void> {
    if (this.#over || (!this.#socket.writableNeedDrain && this.bufferedBytes === 0)) return Promise.resolve()
    return new Promise((resolve) => {
      this.#outbox.flush()
      if (!this.#socket.writableNeedDrain) return resolve()
      this.#drained ??= []
      this.#drained.push(resolve)
    })
  }

  /** Writes now what waits for the end of the turn. */
  flush(): void {
    this.#outbox.flush()
  }

  /** Expects a new stream header from the peer. */
  restart(): void {
    this.#reader.reset()
  }

  /**
   * Goes on over another socket that was built upon this one (STARTTLS). Call it while an element is being handled.
   * Nothing of what came in the clear is read any more.
   */
  async upgrade(start: (socket: Duplex) => Promise<Duplex>): Promise<void> {
    const plain = this.#socket
    this.#outbox.flush()
    this.#deafen(plain)
    plain.pause()
    const onError = (error: Error): void => this.#lost(error)
    const onClose = (): void => this.#lost()
    plain.on('error', onError).on('close', onClose)
    let socket: Duplex
    try {
      socket = await start(plain)
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error))
      this.#finish({ by: 'lost', error: cause })
      plain.destroy()
      return
    }
    if (this.#over) {
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    plain.off('close', onClose)
    this.#reader.discard()
    this.#reader.reset()
    this.#readingPaused = false
    this.#socket = socket
    this.#outbox.attach(socket)
    this.#listen(socket)
  }

  /** Closes the stream and waits for the peer to do so too, but not for ever. */
  close(): void {
    if (this.#over) return
    this.#write(this.#events.openingForError())
    this.#writeEnd()
    this.#outbox.flush()
    this.#awaitPeer()
    this.#finish({ by: 'local' })
  }

  /** Ends the stream with an error. */
  fail(error: StreamError): void {
    if (this.#over) return
    this.#write(this.#events.openingForError())
    this.#write(error.toString())
    this.#writeEnd()
    this.#endSocket()
    this.#finish({ by: 'error', error })
  }

  /** Drops the connection without a word. */
  destroy(): void {
    this.#finish({ by: 'local' })
    this.#socket.destroy()
  }

  /** The peer sent a stream error: it is the one that closes. */
  peerFailed(error: StreamError): void {
    if (this.#over) return
    this.#writeEnd()
    this.#endSocket()
    this.#finish({ by: 'peer-error', error })
  }

  // Incoming: StreamHandlers

  streamStart(header: Element, xmlns: string): void {
    this.#handle((element) => this.#events.header(element, xmlns), header)
  }

  element(element: Element): void {
    this.#handle(this.#events.element, element)
  }

  streamEnd(): void {
    this.#inOrder(() => this.#peerClosed())
  }

  error(error: StreamError): void {
    this.fail(error)
  }

  whitespace(): void {
    if (this.#over) return
    try {
      this.#events.whitespace?.()
    } catch (error) {
      this.#broken(error)
    }
  }

  // Sockets

  #listen(socket: Duplex): void {
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.on('drain', this.#onDrain)
    socket.resume()
  }

  #deafen(socket: Duplex): void {
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    socket.off('drain', this.#onDrain)
  }

  readonly #onData = (chunk: Uint8Array | string): void => {
    this.#reader.write(chunk)
    if (this.#busy && !this.#readingPaused && this.waitingBytes > this.#options.limits.waitingBytes) {
      this.#readingPaused = true
      this.#socket.pause()
    }
  }

  readonly #onEnd = (): void => {
    if (this.#working) this.#endedBy ??= { by: 'lost' }
    else this.#lost()
  }

  readonly #onError = (error: Error): void => this.#lost(error)

  readonly #onClose = (): void => {
    this.#closeTimer?.cancel()
    this.#closeTimer = undefined
    if (!this.#working || this.#endedBy === undefined) this.#lost()
  }

  readonly #onDrain = (): void => this.#releaseDrained()

  /** Something is being handled. */
  get #working(): boolean {
    return this.#busy || this.#traffic?.empty === false
  }

  /** Runs a handler; while it waits, nothing further is parsed. */
  #handle(handler: (element: Element) => void | Promise<void> | Underway, element: Element): void {
    const traffic = this.#traffic
    if (traffic === undefined || traffic.empty || (!traffic.full && this.#events.mayFollow?.(element) === true))
      this.#call(handler, element)
    else this.#inOrder(() => this.#call(handler, element))
  }

  /** Acts when nothing is underway any more. */
  #inOrder(act: () => void): void {
    if (this.#traffic === undefined || this.#traffic.empty) return act()
    this.#traffic.hold(act)
    this.#wait()
  }

  #wait(): void {
    this.#busy = true
    this.#reader.pause()
  }

  #call(handler: (element: Element) => void | Promise<void> | Underway, element: Element): void {
    if (this.#over) return
    let pending: void | Promise<void> | Underway
    try {
      pending = handler.call(this.#events, element)
    } catch (error) {
      return this.#broken(error)
    }
    if (pending === undefined) return
    if (pending instanceof Underway) return this.#setOff(pending)
    this.#wait()
    pending.then(this.#handled, (error: unknown) => {
      this.#broken(error)
      this.#handled()
    })
  }

  #setOff(underway: Underway): void {
    const traffic = (this.#traffic ??= new Traffic())
    if (!traffic.begin(underway)) return
    const arrived = (): void => {
      traffic.end(underway)
      if (traffic.empty) this.#arrived(traffic)
    }
    underway.done.then(arrived, (error: unknown) => {
      this.#broken(error)
      arrived()
    })
  }

  /** Nothing is underway any more. */
  #arrived(traffic: Traffic): void {
    const held = traffic.release()
    if (held !== undefined) {
      this.#busy = false
      held()
    }
    if (!this.#busy) this.#handled()
  }

  readonly #handled = (): void => {
    this.#busy = false
    this.#reader.resume()
    if (this.#busy) return
    if (this.#endedBy !== undefined && !this.#working) this.#lost(this.#endedBy.error)
    else if (this.#readingPaused) {
      this.#readingPaused = false
      this.#socket.resume()
    }
  }

  #write(xml: string): void {
    this.#outbox.write(this.#asMessages ? asMessage(xml) : xml)
  }

  #writeEnd(): void {
    this.#outbox.write(this.#asMessages ? CLOSE_MESSAGE : '</stream:stream>')
  }

  #broken(error: unknown): void {
    this.fail(error instanceof StreamError ? error : new StreamError('internal-server-error', '', { cause: error }))
  }

  // Closing

  #peerClosed(): void {
    if (this.#over) return this.#endSocket()
    this.#writeEnd()
    this.#endSocket()
    this.#finish({ by: 'peer' })
  }

  #lost(error?: Error): void {
    this.#finish(error === undefined ? { by: 'lost' } : { by: 'lost', error })
    this.#outbox.end()
    if (error !== undefined) this.#socket.destroy()
  }

  #endSocket(): void {
    this.#outbox.end()
    this.#awaitPeer()
  }

  #awaitPeer(): void {
    if (this.#socket.destroyed) return
    this.#closeTimer ??= this.#options.timers.timeout(this.#options.closeTimeout, () => this.#socket.destroy())
    // A peer's end can only be seen while reading.
    if (this.#readingPaused) this.#socket.resume()
  }

  #finish(reason: CloseReason): void {
    if (this.#over) return
    this.#over = true
    // After `close()` the peer's end tag is still waited for; otherwise nothing matters any more.
    if (reason.by !== 'local') this.#reader.close()
    this.#releaseDrained()
    this.#events.closed(reason)
  }

  #releaseDrained(): void {
    const waiting = this.#drained
    this.#drained = undefined
    for (const resolve of waiting ?? []) resolve()
  }
}
