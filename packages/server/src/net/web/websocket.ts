// RFC 6455: WebSocket, the server's side, for protocols that speak in text messages

import { isUtf8 } from 'node:buffer'
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
  /** Octets of a message. */
  readonly maxMessage: number
  /** After so many milliseconds of silence the client is asked whether it is there; after as many more it is given up. */
  readonly ping: number
  /** How long the client may take to close its side. Milliseconds. */
  readonly closeTimeout: number
}

interface FrameHeader {
  readonly opcode: number
  readonly final: boolean
  readonly length: number
  readonly mask: Buffer
}

/** A stream of messages: each chunk read is one (octets, checked UTF-8), each text written becomes one. `end` closes it in order. */
export class WebSocket extends Duplex {
  readonly #socket: Duplex
  readonly #options: WebSocketOptions
  #chunks: Buffer[] = []
  #size = 0
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

  override _write(text: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#pass(this.#send(TEXT, typeof text === 'string' ? Buffer.from(text) : text), done)
  }

  override _writev(chunks: { readonly chunk: string | Buffer }[], done: () => void): void {
    let goesOn = true
    this.#socket.cork()
    for (const { chunk } of chunks) goesOn = this.#send(TEXT, typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    this.#socket.uncork()
    this.#pass(goesOn, done)
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

  #send(opcode: number, payload: Buffer): boolean {
    if (this.#closeSent || !this.#socket.writable) return true
    const { length } = payload
    const extra = length < 126 ? 0 : length < 65_536 ? 2 : 8
    const frame = Buffer.allocUnsafe(2 + extra + length)
    frame[0] = 0x80 | opcode
    frame[1] = extra === 0 ? length : extra === 2 ? 126 : 127
    if (extra === 2) frame.writeUInt16BE(length, 2)
    if (extra === 8) frame.writeBigUInt64BE(BigInt(length), 2)
    payload.copy(frame, 2 + extra)
    return this.#socket.write(frame)
  }

  /** Sends a close frame, and gives the client some time to answer it (§7.1.1). */
  #close(code: number): void {
    if (this.#closeSent) return
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    this.#send(CLOSE, payload)
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
    this.#chunks = []
    this.#size = 0
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
      this.#send(PING, Buffer.alloc(0))
    }
  }

  #take(chunk: Buffer): void {
    this.#heard = true
    if (this.#closeReceived) return
    this.#chunks.push(chunk)
    this.#size += chunk.length
    while (!this.#closeReceived && this.#next());
  }

  /** Reads the next frame; false where it has not come whole. */
  #next(): boolean {
    const frame = (this.#frame ??= this.#header())
    if (frame === undefined || this.#closeReceived || this.#size < frame.length) return false
    this.#frame = undefined
    const payload = this.#consume(frame.length)
    const [a = 0, b = 0, c = 0, d = 0] = frame.mask
    const mask = [a, b, c, d]
    for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (mask[i & 3] as number)
    this.#handle(frame, payload)
    return true
  }

  #header(): FrameHeader | undefined {
    if (this.#size < 2) return undefined
    const [first = 0, second = 0] = this.#peek(2)
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
    if (this.#size < 2 + extra + 4) return undefined
    const header = this.#consume(2 + extra + 4)
    const length = extra === 0 ? short : extra === 2 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2))
    if (!control && this.#fragmentBytes + length > this.#options.maxMessage) return void this.#fail(TOO_BIG)
    return { opcode, final, length, mask: header.subarray(2 + extra) }
  }

  #handle({ opcode, final }: FrameHeader, payload: Buffer): void {
    switch (opcode) {
      case PING:
        // Who does not read gets no answers either.
        if (!this.#socket.writableNeedDrain) this.#send(PONG, payload)
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
    const message = fragments.length === 1 && fragments[0] !== undefined ? fragments[0] : Buffer.concat(fragments)
    if (!isUtf8(message)) return this.#fail(INVALID)
    if (!this.push(message)) this.#socket.pause()
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

  #peek(length: number): Buffer {
    const [first] = this.#chunks
    if (first !== undefined && first.length >= length) return first
    this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Buffer
  }

  #consume(length: number): Buffer {
    this.#size -= length
    const [first] = this.#chunks
    if (first !== undefined && first.length > length) {
      this.#chunks[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    if (first !== undefined && first.length === length) {
      this.#chunks.shift()
      return first
    }
    const all = Buffer.concat(this.#chunks)
    this.#chunks = all.length > length ? [all.subarray(length)] : []
    return all.subarray(0, length)
  }
}
