// RFC 4978 COMPRESS=DEFLATE: a stream over the socket, raw deflate both ways.

import { Duplex } from 'node:stream'
import { constants, createDeflateRaw, createInflateRaw, type DeflateRaw, type InflateRaw } from 'node:zlib'

/**
 * What leaves. A small window and few hash chains: IMAP repeats itself at short range, and 32 KiB for each connection in place of 256 cost
 * about a tenth of the compression (measured: see the test of this file). Every write ends in a flush, so that the client can read all of it.
 */
const OUT = { level: 5, windowBits: 13, memLevel: 5, chunkSize: 8192, flush: constants.Z_SYNC_FLUSH }
/** What comes: the client chooses the window, up to 32 KiB. A stream that is cut off in the middle is an end like any other. */
const IN = { windowBits: 15, chunkSize: 8192, finishFlush: constants.Z_SYNC_FLUSH }
/** Octets written and not yet compressed, above which writers wait. */
const WRITE_AHEAD = 65_536

/** `socket` with deflate over it. Both directions wait for their reader: little in can never make much here (what unpacks to gigabytes is unpacked as it is read). */
export function compressed(socket: Duplex): Duplex {
  return new CompressedSocket(socket)
}

class CompressedSocket extends Duplex {
  readonly #socket: Duplex
  readonly #deflate: DeflateRaw = createDeflateRaw(OUT)
  readonly #inflate: InflateRaw = createInflateRaw(IN)

  constructor(socket: Duplex) {
    super({ writableHighWaterMark: WRITE_AHEAD, readableHighWaterMark: IN.chunkSize, allowHalfOpen: true })
    this.#socket = socket
    const fail = (error: Error): void => void this.destroy(error)

    this.#inflate.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) this.#inflate.pause()
    })
    this.#inflate.on('end', () => this.push(null))
    this.#inflate.on('error', fail)
    this.#inflate.pause()
    socket.pipe(this.#inflate)

    this.#deflate.on('data', (chunk: Uint8Array) => {
      if (!socket.write(chunk)) this.#deflate.pause()
    })
    socket.on('drain', () => this.#deflate.resume())
    this.#deflate.on('error', fail)

    socket.on('error', fail)
    socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#inflate.resume()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#deflate.write(chunk, done)
  }

  /** What gathered while the last write was compressed leaves with one flush. */
  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#deflate.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#deflate.once('end', () => this.#socket.end(() => done()))
    this.#deflate.end()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.unpipe(this.#inflate)
    this.#inflate.destroy()
    this.#deflate.destroy()
    this.#socket.destroy()
    done(error)
  }
}
