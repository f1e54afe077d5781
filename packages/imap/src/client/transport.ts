// The octets under the commands: a socket, that TLS (RFC 9051 §6.2.1) or DEFLATE (RFC 4978) can be put over while it is open.

import type { Duplex, Readable, Writable } from 'node:stream'
import { constants, createDeflateRaw, createInflateRaw, type DeflateRaw } from 'node:zlib'

export interface TransportEvents {
  octets(chunk: Buffer): void
  closed(error: Error | undefined): void
}

export class Transport {
  #socket: Duplex
  #input: Readable
  #output: Writable
  #deflate: DeflateRaw | undefined
  #flushing = false
  #paused = false
  #over = false
  readonly #events: TransportEvents

  constructor(socket: Duplex, events: TransportEvents) {
    this.#events = events
    this.#socket = this.#input = this.#output = socket
    this.#attach()
  }

  get socket(): Duplex {
    return this.#socket
  }

  get over(): boolean {
    return this.#over
  }

  get compressed(): boolean {
    return this.#deflate !== undefined
  }

  #attach(): void {
    const socket = this.#socket
    this.#input.on('data', this.#take)
    if (!this.#paused) this.#input.resume()
    socket.on('error', this.#end)
    socket.on('end', this.#ended)
    socket.on('close', this.#ended)
  }

  #detach(): void {
    const socket = this.#socket
    this.#input.off('data', this.#take)
    socket.off('end', this.#ended)
    socket.off('close', this.#ended)
    socket.off('error', this.#end)
  }

  readonly #take = (chunk: Buffer): void => this.#events.octets(chunk)
  readonly #ended = (): void => {
    // What was received is read first: with DEFLATE it may still be in the making.
    if (this.#deflate === undefined) this.#end()
    else setImmediate(this.#end)
  }
  readonly #end = (error?: Error): void => {
    if (this.#over) return
    this.#over = true
    this.#events.closed(error)
    this.#socket.destroy()
  }

  /** False when the octets wait for a slow peer: see `drained`. */
  write(octets: Uint8Array | string): boolean {
    if (this.#over) return true
    const ready = this.#output.write(octets)
    if (this.#deflate !== undefined && !this.#flushing) {
      // One flush for all commands of one turn.
      this.#flushing = true
      queueMicrotask(() => {
        this.#flushing = false
        this.#deflate?.flush(constants.Z_SYNC_FLUSH)
      })
    }
    return ready
  }

  /** Resolves when the peer has taken most of what was written, or the connection is over. */
  async drained(): Promise<void> {
    const output = this.#output
    if (!output.writableNeedDrain || this.#over) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        output.off('drain', done)
        this.#socket.off('close', done)
        resolve()
      }
      output.once('drain', done)
      this.#socket.once('close', done)
    })
  }

  pause(): void {
    this.#paused = true
    this.#input.pause()
  }

  resume(): void {
    this.#paused = false
    this.#input.resume()
  }

  /** Puts another stream in the place of the socket; `make` gets the old one with nobody listening. Throws what `make` throws. */
  async replace(make: (socket: Duplex) => Promise<Duplex>): Promise<void> {
    this.#detach()
    this.#socket.pause()
    // The old socket must not throw while nobody listens.
    this.#socket.on('error', () => undefined)
    this.#socket = this.#input = this.#output = await make(this.#socket)
    this.#attach()
  }

  /** From here on everything is raw DEFLATE in both directions. `received` came behind the answer of the server. */
  compress(received: Buffer): void {
    this.#input.off('data', this.#take)
    this.#input.pause()
    const inflate = createInflateRaw({ flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH })
    const deflate = createDeflateRaw()
    inflate.on('error', this.#end)
    deflate.on('error', this.#end)
    inflate.on('data', this.#take)
    if (received.length > 0) inflate.write(received)
    this.#socket.pipe(inflate)
    deflate.pipe(this.#socket)
    this.#input = inflate
    this.#output = this.#deflate = deflate
    if (this.#paused) inflate.pause()
  }

  /** Ends at once. */
  destroy(error?: Error): void {
    this.#end(error)
  }
}
