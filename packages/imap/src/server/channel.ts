// RFC 9051 §3, §5.4: the octets of one connection and whose turn it is. What commands mean is the session's.

import type { Duplex } from 'node:stream'
import { CommandReader, type ReaderEvent, type ReaderLimits, type Refusal } from '../wire/command-reader.ts'
import { humanText } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { ResponseStream, StreamClosed } from '../wire/response-stream.ts'
import { compressed } from './compression.ts'
import { LiteralShare } from './literal-budget.ts'
import { type Alarm, defaultAlarm, type ImapLimits, type ImapServerOptions } from './options.ts'

/** Milliseconds of work before the event loop gets its turn. */
const SLICE = 4

export type LiteralEvent = Extract<ReaderEvent, { kind: 'literal' }>

/** Who is served over a channel. */
export interface ChannelOwner {
  /** After login, silence may last longer. */
  authenticated(): boolean
  /** Does what the client asks for. Nothing else is begun before the promise resolves; whatever it rejects with ends the connection. */
  serve(event: ReaderEvent): Promise<void>
  /** Nothing runs, and nothing more has come. */
  rest(): void
  /** The connection is gone. */
  gone(): void
}

/** The socket, who reads it and when, the timer over it, and how it ends. */
export class Channel {
  readonly out: ResponseStream
  readonly closed: Promise<void>
  readonly #owner: ChannelOwner
  readonly #options: ImapServerOptions
  readonly #limits: ImapLimits
  #resolveClosed: () => void = () => undefined
  #socket: Duplex
  #secure: boolean
  #reader: CommandReader
  #alarm: Alarm
  #busy = false
  #ending = false
  #gone = false
  #inputEnded = false
  /** A TLS handshake is under way: nothing can be said, and a peer that does not go on is cut off. */
  #upgrading = false
  /** Octets that came since the alarm was wound up. */
  #heard = 0
  /** Memory held for the literals of the command that is being read or runs. */
  #literals: LiteralShare
  #compressed = false
  #sliceStart = 0
  #waitingLine: { resolve: (line: Uint8Array) => void; reject: (error: Error) => void } | undefined
  #shutdownText: string | undefined

  constructor(owner: ChannelOwner, socket: Duplex, options: ImapServerOptions, limits: ImapLimits) {
    this.#owner = owner
    this.#options = options
    this.#limits = limits
    this.#socket = socket
    this.#secure = options.secure ?? false
    this.out = new ResponseStream(socket)
    this.#reader = new CommandReader({ line: limits.lineBeforeLogin, skip: limits.skip })
    this.#literals = options.literalBudget?.share() ?? new LiteralShare(undefined)
    this.#alarm = (options.alarm ?? defaultAlarm)(() => this.#timeout())
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve))
  }

  get socket(): Duplex {
    return this.#socket
  }

  get secure(): boolean {
    return this.#secure
  }

  get compressed(): boolean {
    return this.#compressed
  }

  /** Nothing more is served: the end is said, or the connection gone. */
  get ending(): boolean {
    return this.#ending
  }

  get gone(): boolean {
    return this.#gone
  }

  /** A command or a turn of its own runs. */
  get busy(): boolean {
    return this.#busy
  }

  /** What one command may have, from now on. */
  set readerLimits(limits: ReaderLimits) {
    this.#reader.limits = limits
  }

  /** More commands are waiting behind the one that runs. */
  get pipelined(): boolean {
    return this.#reader.buffered > 0
  }

  /** The next line of a continuation (AUTHENTICATE, IDLE). Send the `+` first. */
  async readLine(): Promise<Uint8Array> {
    this.out.flush()
    this.#reader.lineMode = true
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        this.#waitingLine = { resolve, reject }
        this.#pull()
      })
    } finally {
      this.#waitingLine = undefined
      this.#reader.lineMode = false
    }
  }

  /** In every long loop: gives the event loop its turn every few milliseconds, and waits while the peer does not read. */
  async breathe(): Promise<void> {
    await this.out.room()
    const now = this.#now()
    if (now - this.#sliceStart < SLICE) return
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (this.#gone) throw new StreamClosed()
    this.#sliceStart = this.#now()
  }

  /** Waits until the command that runs may hold so many octets more, until it is done. */
  reserve(octets: number): Promise<void> {
    return this.#literals.take(octets)
  }

  /** True when it is time to `await breathe()`: cheaper to ask than to await for every message. */
  get winded(): boolean {
    return this.#socket.writableNeedDrain || this.#now() - this.#sliceStart >= SLICE
  }

  /** Reads a literal over, and refuses its command behind it. One too long for that ends the connection. */
  refuseLiteral(event: LiteralEvent, refusal: Refusal): void {
    if (!event.synchronising && event.size > this.#reader.limits.skip) {
      this.out.untagged(`BYE [TOOBIG] ${humanText(refusal.message)}`)
      this.hangUp()
      return
    }
    this.#reader.refuse(refusal)
  }

  /** Lets a literal in. Until there is room, nothing more is read from this client. */
  async acceptLiteral(event: LiteralEvent): Promise<void> {
    await this.#literals.take(event.size)
    if (this.#ending) return
    this.#reader.accept()
    if (event.synchronising) {
      this.out.text('+ Ready for the literal\r\n')
      this.out.flush()
    }
  }

  /** The command is done: what its literals took is given back. */
  releaseLiterals(): void {
    this.#literals.release()
  }

  // --- Layers --------------------------------------------------------------------------------------------------------------------------

  /** STARTTLS, after its OK was written. */
  async startTls(): Promise<void> {
    const upgrade = this.#options.startTls
    // What stands behind STARTTLS in the clear must never be taken for something said under TLS (CVE-2011-0411).
    if (upgrade === undefined || this.pipelined || this.#socket.readableLength > 0) {
      this.end('Nothing may follow STARTTLS before TLS is on')
      return
    }
    this.out.flush()
    // What comes now is TLS: it waits for whoever reads it.
    this.#socket.pause()
    this.#detach()
    const plain = this.#socket
    // From here on the plain socket's end is seen through the TLS one; unheard, its error would end the process.
    plain.on('error', () => undefined)
    this.#upgrading = true
    try {
      const socket = await upgrade(plain)
      if (this.#gone) {
        socket.on('error', () => undefined)
        socket.destroy()
        return
      }
      this.#socket = socket
    } catch (error) {
      this.#options.log?.('starttls-failed', { error })
      this.#destroy()
      return
    } finally {
      this.#upgrading = false
    }
    this.#secure = true
    this.out.replaceSocket(this.#socket)
    this.#attach()
  }

  /** COMPRESS, after its OK was written (RFC 4978 §3). */
  compress(): void {
    if (this.pipelined || this.#socket.readableLength > 0) {
      this.end('Nothing may follow COMPRESS before its answer')
      return
    }
    this.out.flush()
    this.#detach()
    this.#socket = compressed(this.#socket, this.#options.alarm ?? defaultAlarm)
    this.#compressed = true
    this.out.replaceSocket(this.#socket)
    this.#attach()
  }

  // --- Life ----------------------------------------------------------------------------------------------------------------------------

  /** Begins to listen. */
  open(): void {
    this.#alarm.reset(this.#limits.loginTimeout)
    this.#attach()
  }

  /** Ends politely: a command that runs finishes first, then `* BYE`. Resolves when the connection is closed. */
  shutdown(text: string): Promise<void> {
    this.#shutdownText = text
    // IDLE is no work to wait for.
    if (!this.#busy || this.#waitingLine !== undefined) this.end(text)
    return this.closed
  }

  /** Ends at once, whatever runs. */
  destroy(): void {
    this.#destroy()
  }

  /** `* BYE text`, then the connection closes. */
  end(text: string): void {
    if (this.#ending) return
    this.#ending = true
    this.out.untagged(`BYE ${humanText(text)}`)
    this.#finish()
  }

  /** Closes after what was written has left (LOGOUT has said BYE itself). */
  hangUp(): void {
    this.#ending = true
    this.#finish()
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now()
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#ending) return
    this.#heard += chunk.length
    this.#reader.push(chunk)
    this.#pull()
  }
  readonly #onEnd = (): void => {
    this.#inputEnded = true
    // What was answered still has to leave.
    if (!this.#ending && (!this.#busy || this.#waitingLine !== undefined)) this.hangUp()
  }
  readonly #onError = (): void => this.#destroy()
  readonly #onClose = (): void => this.#destroy()

  #attach(): void {
    // Responses leave in whole turns already: waiting for more (Nagle) would only cost time.
    if ('setNoDelay' in this.#socket && typeof this.#socket.setNoDelay === 'function') this.#socket.setNoDelay(true)
    this.#socket.on('data', this.#onData)
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('error', this.#onError)
    this.#socket.on('close', this.#onClose)
    this.#socket.resume()
  }

  #detach(): void {
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.off('error', this.#onError)
    this.#socket.off('close', this.#onClose)
  }

  #timeout(): void {
    if (this.#gone) return
    const working = this.#busy && !this.#upgrading && this.#waitingLine === undefined && !this.out.stalled
    // A long literal on a slow line is no silence, as long as it keeps nobody else waiting; before login, only whole commands count.
    const pace = this.#literals.held > 0 ? this.#limits.literalPace : 1
    if (!this.#ending && (working || (this.#owner.authenticated() && this.#heard >= pace))) {
      this.#windUp()
      return
    }
    if (this.out.stalled || this.#ending || this.#upgrading) this.#destroy()
    else this.end('Nothing was heard for too long: logged out')
  }

  #windUp(): void {
    this.#heard = 0
    const { literalTimeout, idleTimeout, loginTimeout } = this.#limits
    this.#alarm.reset(
      !this.#owner.authenticated() ? loginTimeout : this.#literals.held > 0 ? literalTimeout : idleTimeout,
    )
  }

  /** Stops reading and closes once everything written has left; a peer that does not take it is cut off. */
  #finish(): void {
    this.#waitingLine?.reject(new StreamClosed())
    this.out.flush()
    // Input is still read and dropped: closing over unread octets would reset the connection and lose the BYE.
    this.#socket.resume()
    this.#socket.end(() => setImmediate(() => this.#destroy()))
    this.#alarm.reset(5000)
  }

  #destroy(): void {
    if (this.#gone) return
    this.#gone = true
    this.#ending = true
    this.#alarm.stop()
    this.#literals.close()
    this.out.close()
    this.#detach()
    this.#socket.on('error', () => undefined)
    this.#socket.destroy()
    this.#waitingLine?.reject(new StreamClosed())
    this.#owner.gone()
    this.#resolveClosed()
  }

  // --- Turn-taking ---------------------------------------------------------------------------------------------------------------------

  /** Nothing else is begun before `work` is done. */
  turn(work: () => Promise<void>): void {
    this.#busy = true
    this.#sliceStart = this.#now()
    work()
      .catch((error: unknown) => {
        if (!(error instanceof StreamClosed)) this.#defect(error)
      })
      .finally(() => {
        this.#busy = false
        this.out.settle()
        if (this.#shutdownText !== undefined) this.end(this.#shutdownText)
        if (!this.#ending) this.#windUp()
        this.#pull()
      })
  }

  /** Takes what the reader has, as long as nothing runs. */
  #pull(): void {
    while (!this.#ending) {
      if (this.#busy && this.#waitingLine === undefined) {
        if (this.#reader.buffered > 0) this.#socket.pause()
        return
      }
      const event = this.#reader.next()
      if (event === undefined) {
        this.out.flush()
        if (this.#inputEnded) this.hangUp()
        else if (this.#socket.isPaused()) this.#socket.resume()
        this.#owner.rest()
        return
      }
      this.#take(event)
    }
  }

  #take(event: ReaderEvent): void {
    if (this.#waitingLine !== undefined) {
      const waiting = this.#waitingLine
      this.#waitingLine = undefined
      if (event.kind === 'line') waiting.resolve(event.octets)
      else if (event.kind === 'refused') waiting.reject(bad('The line is too long'))
      else this.end('The line is too long')
      return
    }
    if (event.kind === 'fatal') {
      this.end(`[TOOBIG] ${event.message}`)
      return
    }
    this.#windUp()
    this.turn(() => this.#owner.serve(event))
  }

  #defect(error: unknown): void {
    this.#options.log?.('defect', { error })
    this.end('An internal error ended this session; it has been logged')
  }
}
