// RFC 6455: WebSocket, the server's side, for protocols that speak in text messages

import { isAscii, isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { Duplex } from 'node:stream'
import type { Clock, Timer } from '../../kernel/clock.ts'
import { WebError, type WebRequest } from './contracts.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The headers of the response that accepts a WebSocket which speaks `protocol`. @throws WebError where the request is none of that kind (§4.2.1) */
export function acceptWebSocket({ headers }: WebRequest, protocol: string): Record<string, string> {
  const key = headers['sec-websocket-key']
  const offered = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim())
  if (headers['sec-websocket-version'] !== '13')
    throw new WebError(426, 'Version 13 of the WebSocket protocol is spoken here.', { 'sec-websocket-version': '13' })
  if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key))
    throw new WebError(400, 'The WebSocket key is malformed.')
  if (offered?.includes(protocol) !== true)
    throw new WebError(400, `The WebSocket subprotocol '${protocol}' is spoken here.`)
  return {
    'sec-websocket-accept': createHash('sha1')
      .update(key + GUID)
      .digest('base64'),
    'sec-websocket-protocol': protocol,
  }
}

const CONTINUATION = 0x0
const TEXT = 0x1
const BINARY = 0x2
const CLOSE = 0x8
const PING = 0x9
const PONG = 0xa

// §7.4.1
const NORMAL = 1000
const GOING_AWAY = 1001
const PROTOCOL_ERROR = 1002
const NOT_TEXT = 1003
const INVALID = 1007
const VIOLATION = 1008
const TOO_BIG = 1009

/** Pieces of a message. */
const MAX_FRAGMENTS = 64

export interface WebSocketOptions {
  readonly clock: Clock
  /** Parts the messages of one write. Without it, each write is one. */
  readonly separator?: string
  /** Octets of a message. */
  readonly maxMessage: number
  /** After so many milliseconds of silence the client is asked whether it is there; after as many more it is given up. */
  readonly ping: number
  /** How long the client may take to close its side. Milliseconds. */
  readonly closeTimeout: number
}

/** Octets in front of a payload at most, without the mask. */
const MAX_HEADER = 10
const NOTHING = Buffer.alloc(0)

interface FrameHeader {
  readonly opcode: number
  readonly final: boolean
  readonly length: number
  /** Its four octets, the first one on top. */
  readonly mask: number
}

/** A stream of messages: each chunk read is the text of one, each text written becomes one. `end` closes it in order. */
export class WebSocket extends Duplex {
  readonly #socket: Duplex
  readonly #options: WebSocketOptions
  /** What was read and not looked at, from `#at` on; further pieces of a frame that has not come whole. */
  #octets: Buffer = NOTHING
  #at = 0
  readonly #later: Buffer[] = []
  #laterSize = 0
  #frame: FrameHeader | undefined
  #fragments: Buffer[] | undefined
  #fragmentBytes = 0
  #closeSent = false
  #closeReceived = false
  #closing: Timer | undefined
  readonly #pinging: Timer
  #heard = true
  #asked = false

  /** `head`: octets that have come already behind the request. */
  constructor(socket: Duplex, head: Uint8Array, options: WebSocketOptions) {
    super({ readableObjectMode: true, decodeStrings: false })
    this.#socket = socket
    this.#options = options
    socket
      .on('data', (chunk: Buffer) => this.#take(chunk))
      .on('end', () => this.#ended())
      .on('close', () => this.destroy())
      .on('error', (error) => this.destroy(error))
    this.#pinging = options.clock.interval(options.ping, () => this.#tick())
    if (head.length > 0) socket.unshift(head)
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(text: string, _encoding: BufferEncoding, done: () => void): void {
    const { separator } = this.#options
    this.#pass(this.#text(separator === undefined ? [text] : text.split(separator)), done)
  }

  override _final(done: () => void): void {
    this.#close(NORMAL)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#pinging.cancel()
    this.#closing?.cancel()
    const socket = this.#socket
    if (!socket.destroyed) {
      if (error === null) this.#close(GOING_AWAY)
      socket.destroy()
    }
    done(error)
  }

  /** Back-pressure of the connection becomes that of the messages. */
  #pass(goesOn: boolean, done: () => void): void {
    if (goesOn || this.#socket.destroyed) return done()
    const go = (): void => {
      this.#socket.off('drain', go).off('close', go)
      done()
    }
    this.#socket.on('drain', go).on('close', go)
  }

  /** Sends texts, each as a message, in one write. */
  #text(texts: readonly string[]): boolean {
    if (this.#closeSent || !this.#socket.writable) return true
    const lengths = texts.map((text) => Buffer.byteLength(text))
    const frames = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + MAX_HEADER + length, 0))
    let end = 0
    for (const [index, text] of texts.entries()) {
      const length = lengths[index] ?? 0
      end = header(frames, end, TEXT, length)
      // Most of it is ASCII.
      frames.write(text, end, length === text.length ? 'latin1' : 'utf8')
      end += length
    }
    return this.#socket.write(frames.subarray(0, end))
  }

  #control(opcode: number, payload: Buffer): void {
    if (this.#closeSent || !this.#socket.writable) return
    const frame = Buffer.allocUnsafe(2 + payload.length)
    payload.copy(frame, header(frame, 0, opcode, payload.length))
    this.#socket.write(frame)
  }

  /** Sends a close frame, and gives the client some time to answer it (§7.1.1). */
  #close(code: number): void {
    if (this.#closeSent) return
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    this.#control(CLOSE, payload)
    this.#closeSent = true
    if (this.#closeReceived) return void this.#socket.end()
    this.#closing = this.#options.clock.timeout(this.#options.closeTimeout, () => this.#socket.destroy())
    // The answer is only seen while reading.
    this.#socket.resume()
  }

  /** §7.1.7: the client has broken the rules. */
  #fail(code: number): void {
    this.#close(code)
    this.#closeReceived = true
    this.#forget()
    this.push(null)
    this.#socket.end()
  }

  #ended(): void {
    this.push(null)
    this.#socket.end()
  }

  #tick(): void {
    if (this.#heard) {
      this.#heard = false
      this.#asked = false
    } else if (this.#asked) this.#socket.destroy()
    else {
      this.#asked = true
      this.#control(PING, NOTHING)
    }
  }

  #take(chunk: Buffer): void {
    this.#heard = true
    if (this.#closeReceived) return
    if (this.#at === this.#octets.length) {
      this.#octets = chunk
      this.#at = 0
    } else {
      this.#later.push(chunk)
      this.#laterSize += chunk.length
    }
    while (!this.#closeReceived && this.#next());
  }

  /** Reads the next frame; false where it has not come whole. */
  #next(): boolean {
    const frame = (this.#frame ??= this.#header())
    if (frame === undefined || this.#closeReceived || !this.#has(frame.length)) return false
    this.#frame = undefined
    const payload = this.#octets.subarray(this.#at, this.#at + frame.length)
    this.#at += frame.length
    if (frame.mask !== 0) unmask(payload, frame.mask)
    this.#handle(frame, payload)
    return true
  }

  #header(): FrameHeader | undefined {
    if (!this.#has(2)) return undefined
    const first = this.#octets[this.#at] ?? 0
    const second = this.#octets[this.#at + 1] ?? 0
    const opcode = first & 0x0f
    const final = (first & 0x80) !== 0
    const short = second & 0x7f
    const control = opcode >= CLOSE
    const known = opcode <= BINARY || (control && opcode <= PONG)
    // §5.2, §5.1, §5.5
    if ((first & 0x70) !== 0 || (second & 0x80) === 0 || !known) return void this.#fail(PROTOCOL_ERROR)
    if (control && (!final || short > 125)) return void this.#fail(PROTOCOL_ERROR)
    if (opcode === BINARY) return void this.#fail(NOT_TEXT)
    if (!control && (opcode === CONTINUATION) !== (this.#fragments !== undefined))
      return void this.#fail(PROTOCOL_ERROR)
    const extra = short === 126 ? 2 : short === 127 ? 8 : 0
    if (!this.#has(2 + extra + 4)) return undefined
    const octets = this.#octets
    const at = this.#at + 2
    const length = extra === 0 ? short : extra === 2 ? octets.readUInt16BE(at) : Number(octets.readBigUInt64BE(at))
    if (!control && this.#fragmentBytes + length > this.#options.maxMessage) return void this.#fail(TOO_BIG)
    this.#at = at + extra + 4
    return { opcode, final, length, mask: octets.readInt32BE(at + extra) }
  }

  #handle({ opcode, final }: FrameHeader, payload: Buffer): void {
    switch (opcode) {
      case PING:
        // Who does not read gets no answers either.
        if (!this.#socket.writableNeedDrain) this.#control(PONG, payload)
        return
      case PONG:
        return
      case CLOSE:
        return this.#closed(payload)
      default:
        this.#fragments ??= []
        this.#fragments.push(payload)
        this.#fragmentBytes += payload.length
        if (this.#fragments.length > MAX_FRAGMENTS) return this.#fail(VIOLATION)
        if (final) this.#message(this.#fragments)
    }
  }

  #message(fragments: readonly Buffer[]): void {
    this.#fragments = undefined
    this.#fragmentBytes = 0
    const octets = fragments.length === 1 && fragments[0] !== undefined ? fragments[0] : Buffer.concat(fragments)
    const ascii = isAscii(octets)
    if (!ascii && !isUtf8(octets)) return this.#fail(INVALID)
    const message = octets.toString(ascii ? 'latin1' : 'utf8')
    // As `push` does where somebody listens and nothing waits, but without a look a moment later for more.
    if (this.readableFlowing === true && this.readableLength === 0) this.emit('data', message)
    else if (!this.push(message)) this.#socket.pause()
  }

  /** §5.5.1: its code is sent back. */
  #closed(payload: Buffer): void {
    this.#closeReceived = true
    const given = payload.length === 0 ? NORMAL : payload.length === 1 ? 0 : payload.readUInt16BE(0)
    // §7.4.2; some are never sent (§7.4.1).
    const valid = (given >= 1000 && given <= 1014 && ![1004, 1005, 1006].includes(given)) || given >= 3000
    this.#closing?.cancel()
    if (this.#closeSent) this.#socket.end()
    else this.#close(valid ? given : PROTOCOL_ERROR)
    this.push(null)
  }

  /** True where so many octets have come, which then lie together. */
  #has(length: number): boolean {
    const here = this.#octets.length - this.#at
    if (here >= length) return true
    if (here + this.#laterSize < length) return false
    this.#octets = Buffer.concat([this.#octets.subarray(this.#at), ...this.#later])
    this.#at = 0
    this.#later.length = 0
    this.#laterSize = 0
    return true
  }

  #forget(): void {
    this.#octets = NOTHING
    this.#at = 0
    this.#later.length = 0
    this.#laterSize = 0
  }
}

/** Writes the header of a frame that is whole and has no mask; answers where the payload begins. */
function header(frame: Buffer, at: number, opcode: number, length: number): number {
  frame[at] = 0x80 | opcode
  if (length < 126) {
    frame[at + 1] = length
    return at + 2
  }
  if (length < 65_536) {
    frame[at + 1] = 126
    return frame.writeUInt16BE(length, at + 2)
  }
  frame[at + 1] = 127
  return frame.writeBigUInt64BE(BigInt(length), at + 2)
}

/** §5.3 */
function unmask(payload: Buffer, mask: number): void {
  const [a, b, c, d] = [(mask >>> 24) & 0xff, (mask >>> 16) & 0xff, (mask >>> 8) & 0xff, mask & 0xff]
  const whole = payload.length & ~3
  let i = 0
  for (; i < whole; i += 4) {
    payload[i]! ^= a
    payload[i + 1]! ^= b
    payload[i + 2]! ^= c
    payload[i + 3]! ^= d
  }
  for (const octet of [a, b, c]) if (i < payload.length) payload[i++]! ^= octet
}
