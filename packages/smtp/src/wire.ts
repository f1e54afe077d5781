// Octets in and out of one stream: lines with a bound, counted octets, replies gathered into few writes, one timer.

import type { Duplex } from 'node:stream'
import type { Clock, ClockTimer } from './clock.ts'

const LF = 0x0a
const CR = 0x0d

/** A socket that sends ahead of what is read from it is paused from here on. */
const MAX_QUEUED = 65_536
/** Replies that have gathered this much are sent before their turn. */
const MAX_GATHERED = 16_384
/** How much of a line that is too long is thrown away in the hope of its end. */
const MAX_DISCARDED = 1_048_576
/** Milliseconds for the peer to take our last words before the connection is cut. */
const LINGER = 5_000

/** Why there is nothing more to read. */
export type WireEnd = 'closed' | 'timeout' | 'interrupted' | 'overrun'

export class WireError extends Error {
  readonly end: WireEnd

  constructor(end: WireEnd, options?: ErrorOptions) {
    super(`the connection is over: ${end}`, options)
    this.name = 'WireError'
    this.end = end
  }
}

interface Waiter {
  resolve(): void
  reject(error: WireError): void
}

/** A line was longer than allowed, and is gone. */
export const TOO_LONG = Symbol('too long')

export class Wire {
  #socket: Duplex
  readonly #clock: Clock
  readonly #idle: number
  #timer: ClockTimer | undefined
  /** When it goes off, and until when the peer has time. */
  #timerAt = 0
  #deadline = 0
  #queue: Buffer[] = []
  #queued = 0
  #gathered = ''
  #waiter: Waiter | undefined
  #over: WireError | undefined
  #abort: AbortController | undefined
  #onClose: (() => void) | undefined

  /** `idle`: milliseconds to wait for the peer, unless told otherwise. */
  constructor(socket: Duplex, clock: Clock, idle: number) {
    this.#socket = socket
    this.#clock = clock
    this.#idle = idle
    this.#listen()
  }

  get socket(): Duplex {
    return this.#socket
  }

  /** Octets that have come and were not read yet. */
  get queued(): number {
    return this.#queued + this.#socket.readableLength
  }

  /** The connection is gone, or going. */
  get over(): boolean {
    return this.#over !== undefined
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#over !== undefined) this.#abort.abort()
    }
    return this.#abort.signal
  }

  /** Calls back once, when the stream is closed for good. */
  onClose(listener: () => void): void {
    this.#onClose = listener
    if (this.#socket.closed) this.#closed()
  }

  /**
   * The next line without its line ending (CRLF, or LF of somebody typing). A longer one than `max` octets (`longMax`, when it begins with
   * `longVerb`) is thrown away: TOO_LONG. Throws WireError when none comes within the time.
   */
  async readLine(max: number, longVerb = '', longMax = max, idle = this.#idle): Promise<Buffer | typeof TOO_LONG> {
    let line: Buffer | undefined
    let discarded = 0
    let waited = false
    for (;;) {
      if (this.#queue.length === 0 || this.#socket.writableNeedDrain) {
        if (!waited) this.#startTimer(idle)
        waited = true
        await this.#more()
        continue
      }
      const piece = this.#shift()
      const lf = piece.indexOf(LF)
      const length = (line?.length ?? 0) + (lf < 0 ? piece.length : lf + 1)
      if (lf >= 0) this.#unshift(piece.subarray(lf + 1))
      const part = lf < 0 ? piece : piece.subarray(0, lf)
      const long = length > max && (length > longMax || !begins(line ?? part, part, longVerb))
      if (long || discarded > 0) {
        discarded += length
        line = undefined
        if (lf >= 0) return TOO_LONG
        if (discarded > MAX_DISCARDED) throw this.#end('overrun')
      } else if (lf >= 0) {
        const whole = line === undefined ? part : Buffer.concat([line, part])
        return whole[whole.length - 1] === CR ? whole.subarray(0, -1) : whole
      } else {
        // A copy of its own: the piece may be a corner of a large read.
        line = line === undefined ? exactCopy(part) : Buffer.concat([line, part])
      }
    }
  }

  /** The next piece of whatever size the stream gave it, at most `max` octets. Throws WireError. */
  async readPiece(max = Infinity, idle = this.#idle): Promise<Buffer> {
    while (this.#queue.length === 0) {
      this.#startTimer(idle)
      await this.#more()
    }
    const piece = this.#shift()
    if (piece.length <= max) return piece
    this.#unshift(piece.subarray(max))
    return piece.subarray(0, max)
  }

  /** Puts back what was read too much. */
  unread(rest: Buffer): void {
    this.#unshift(rest)
  }

  /** Gathers text for the peer; it leaves when the next read must wait, or much has gathered. */
  write(text: string): void {
    this.#gathered += text
    if (this.#gathered.length > MAX_GATHERED) this.flush()
  }

  flush(): void {
    if (this.#gathered === '') return
    const text = this.#gathered
    this.#gathered = ''
    if (this.#socket.writable) this.#socket.write(text, 'utf8')
  }

  /** Sends octets now, after the gathered text; resolves when the stream wants more. Throws WireError. */
  async send(octets: Uint8Array, idle = this.#idle): Promise<void> {
    if (this.#over !== undefined) throw this.#over
    // One packet for a command and the octets behind it: sent apart, the second would wait for the first one's acknowledgement (RFC 896).
    this.#socket.cork()
    this.flush()
    const accepted = this.#socket.write(octets)
    this.#socket.uncork()
    if (accepted) return
    while (this.#socket.writableNeedDrain) {
      this.#startTimer(idle)
      await this.#wait()
    }
  }

  /** Ends a wait for the peer, if there is one, with WireError 'interrupted'. */
  interrupt(): void {
    this.#waiter?.reject(new WireError('interrupted'))
  }

  /** Sends what has gathered, then closes in good order: our end first, then the peer's, cut off when that takes long. */
  close(): void {
    if (this.#socket.destroyed) return
    this.flush()
    this.#end('closed')
    this.#drop()
    const socket = this.#socket
    // What still comes is thrown away: unread octets would turn the close into a reset that swallows our last reply.
    socket.resume()
    socket.end()
    this.#timer?.cancel()
    this.#timer = this.#clock.after(LINGER, () => socket.destroy())
  }

  /** Closes at once, whatever is under way. */
  destroy(): void {
    this.#end('closed')
    this.#socket.destroy()
  }

  /**
   * Lets another stream take the place of this one: TLS. `reply` is sent first. Resolves when the new stream is in place, throws WireError when
   * anything has been sent behind the command that asked for it: it was sent in the clear and must not be taken for protected.
   */
  async upgrade(reply: string, makeSecure: (socket: Duplex) => Promise<Duplex>): Promise<void> {
    const plain = this.#socket
    plain.pause()
    if (this.queued > 0) {
      this.destroy()
      throw new WireError('closed')
    }
    this.flush()
    if (reply !== '') await new Promise<void>((resolve) => plain.write(reply, 'latin1', () => resolve()))
    if (this.#over !== undefined) throw this.#over
    this.#unlisten(plain)
    const gone = (): void => void this.#end('closed')
    plain.on('error', gone)
    plain.once('close', gone)
    const deadline = this.#clock.after(this.#idle, () => plain.destroy())
    try {
      this.#socket = await makeSecure(plain)
    } catch (cause) {
      plain.destroy()
      this.#closed()
      throw new WireError('closed', { cause })
    } finally {
      deadline.cancel()
      plain.removeListener('close', gone)
    }
    this.#listen()
    if (this.#over !== undefined || this.#socket.destroyed) {
      this.destroy()
      this.#closed()
      throw new WireError('closed')
    }
  }

  #listen(): void {
    this.#socket.on('data', this.#take).on('end', this.#ended).on('drain', this.#wake)
    this.#socket.on('error', this.#failed).on('close', this.#closed)
    this.#socket.resume()
  }

  #unlisten(socket: Duplex): void {
    socket.off('data', this.#take).off('end', this.#ended).off('drain', this.#wake)
    socket.off('error', this.#failed).off('close', this.#closed)
  }

  readonly #take = (piece: Buffer): void => {
    if (this.#over !== undefined) return
    this.#queue.push(piece)
    this.#queued += piece.length
    if (this.#queued > MAX_QUEUED) this.#socket.pause()
    this.#wake()
  }

  readonly #wake = (): void => {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve()
  }

  /** The peer sends no more: what it has sent is still worked off. */
  readonly #ended = (): void => {
    this.#end('closed', true)
  }

  readonly #failed = (): void => {
    this.#end('closed')
  }

  /** What had come before is still there to be read: perhaps it says why. */
  readonly #closed = (): void => {
    this.#end('closed')
    this.#gathered = ''
    this.#timer?.cancel()
    this.#timer = undefined
    const listener = this.#onClose
    this.#onClose = undefined
    listener?.()
  }

  #drop(): void {
    this.#queue = []
    this.#queued = 0
    this.#gathered = ''
  }

  #end(end: WireEnd, gently = false): WireError {
    this.#over ??= new WireError(end)
    if (!gently) this.#abort?.abort()
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(this.#over)
    return this.#over
  }

  #shift(): Buffer {
    const piece = this.#queue.shift() ?? Buffer.alloc(0)
    this.#queued -= piece.length
    return piece
  }

  #unshift(rest: Buffer): void {
    if (rest.length === 0) return
    this.#queue.unshift(rest)
    this.#queued += rest.length
  }

  /** Waits for more octets, having said everything that was to be said. */
  async #more(): Promise<void> {
    this.flush()
    if (this.#over !== undefined) throw this.#over
    if (this.#socket.isPaused() && !this.#socket.writableNeedDrain) this.#socket.resume()
    if (this.#queue.length > 0 && !this.#socket.writableNeedDrain) return
    await this.#wait()
  }

  #wait(): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#over)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  /** Gives the peer time from now on. A timer that goes off before that is set again then: to set one costs much more than to look at the clock. */
  #startTimer(milliseconds: number): void {
    this.#deadline = this.#clock.now() + milliseconds
    if (this.#timer !== undefined && this.#timerAt <= this.#deadline) return
    this.#timer?.cancel()
    this.#setTimer(milliseconds)
  }

  #setTimer(milliseconds: number): void {
    this.#timerAt = this.#clock.now() + milliseconds
    this.#timer = this.#clock.after(milliseconds, this.#timedOut)
  }

  readonly #timedOut = (): void => {
    this.#timer = undefined
    const left = this.#deadline - this.#clock.now()
    if (left > 0) return this.#setTimer(left)
    // Nobody waits: a handler is at work, and the peer is not to blame.
    if (this.#waiter === undefined) return
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter.reject(new WireError('timeout'))
  }
}

/** Whether the text that starts with `start` begins with `verb`, in any case. */
function begins(start: Buffer, part: Buffer, verb: string): boolean {
  const head = start.length >= verb.length ? start : Buffer.concat([start, part])
  return verb !== '' && head.toString('latin1', 0, verb.length).toUpperCase() === verb
}

function exactCopy(octets: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(octets.length)
  octets.copy(copy)
  return copy
}
