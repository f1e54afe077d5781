// Responses on their way to a socket: collected, written in large pieces, at the peer's pace.

import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const FIRST = 512
/** A piece handed to the socket: one write, one TLS record run. */
const PIECE = 65536
/** Text that is gathered before it goes into the buffer: a copy into octets costs more by its beginning than by its length. */
const TEXT = 4096
/** Buffers kept for the next pieces while many are written. */
const SPARES = 2
/** Octets this long are handed over as they are, without a copy. */
const LARGE = 32768

/** The peer has gone; the command that was writing ends quietly. */
export class StreamClosed extends Error {
  constructor() {
    super('the connection is closed')
    this.name = 'StreamClosed'
  }
}

/** Holds a buffer only while there is something to say. */
export class ResponseStream {
  #socket: Duplex
  #buffer: Buffer | undefined
  #length = 0
  /** Said, and not in the buffer yet. */
  #text = ''
  /** A whole piece was filled since `settle`: more of that size is likely. */
  #streaming = false
  /** Buffers of whole pieces that the socket is done with: new ones would cost more than what is written into them. */
  #spares: Buffer[] = []
  #scheduled = false
  #closed = false
  #wake: (() => void) | undefined

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  /** After STARTTLS. Everything must have been flushed. */
  replaceSocket(socket: Duplex): void {
    this.#socket = socket
  }

  /** Appends ASCII (or latin1) text. */
  text(text: string): void {
    this.#text += text
    if (this.#text.length >= TEXT) this.#gather()
    else this.#schedule()
  }

  #gather(): void {
    const text = this.#text
    if (text === '') return
    this.#text = ''
    const at = this.#reserve(text.length)
    this.#length += at.write(text, this.#length, 'latin1')
  }

  /** An untagged response: `* text`. */
  untagged(text: string): void {
    this.text(`* ${text}\r\n`)
  }

  bytes(octets: Uint8Array): void {
    if (octets.length >= LARGE) {
      this.flush()
      if (!this.#closed) this.#socket.write(octets)
      return
    }
    this.#gather()
    this.#reserve(octets.length).set(octets, this.#length)
    this.#length += octets.length
  }

  #reserve(length: number): Buffer {
    const needed = this.#length + length
    const buffer = this.#buffer
    if (buffer !== undefined && needed <= buffer.length) return buffer
    if (needed > PIECE && this.#length > 0) {
      this.flush()
      this.#streaming = true
      return this.#reserve(length)
    }
    const size = Math.min(PIECE, this.#streaming ? PIECE : (buffer?.length ?? FIRST / 4) * 4)
    const spare = needed <= PIECE && size === PIECE ? this.#spares.pop() : undefined
    const grown = spare ?? Buffer.allocUnsafeSlow(Math.max(needed, size))
    if (buffer !== undefined) buffer.copy(grown, 0, 0, this.#length)
    else this.#schedule()
    this.#buffer = grown
    return grown
  }

  /** What is said in one turn of the event loop leaves in one write. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    this.#gather()
    const buffer = this.#buffer
    if (buffer === undefined) return
    const length = this.#length
    this.#buffer = undefined
    this.#length = 0
    if (this.#closed || !this.#socket.writable) return
    const octets = buffer.subarray(0, length)
    // A real socket has copied what it calls back for; another stream may have handed it on.
    if (buffer.length === PIECE && this.#streaming && this.#socket instanceof Socket)
      this.#socket.write(octets, () => this.#reuse(buffer))
    else this.#socket.write(octets)
  }

  /** A command has ended: nothing is kept for more of its kind. */
  settle(): void {
    this.#streaming = false
    this.#spares = []
  }

  #reuse(buffer: Buffer): void {
    if (this.#streaming && !this.#closed && this.#spares.length < SPARES) this.#spares.push(buffer)
  }

  /** Resolves when the peer has room for more. Rejects with `StreamClosed` when it is gone. Call it in every loop that writes. */
  async room(): Promise<void> {
    if (this.#closed) throw new StreamClosed()
    if (!this.#socket.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      const socket = this.#socket
      const wake = (): void => {
        socket.off('drain', wake)
        this.#wake = undefined
        resolve()
      }
      this.#wake = wake
      socket.on('drain', wake)
    })
    if (this.#closed) throw new StreamClosed()
  }

  /** True while the peer does not read what it asked for. */
  get stalled(): boolean {
    return this.#wake !== undefined
  }

  /** The socket is gone: nothing more is written, and whoever waits for room is woken. */
  close(): void {
    this.#closed = true
    this.#buffer = undefined
    this.#length = 0
    this.#text = ''
    this.#spares = []
    this.#wake?.()
  }
}
