// What a stream writes: everything of one turn of the event loop in one write.

import type { Duplex } from 'node:stream'

/** Runs a function at the end of the current turn; `setImmediate` unless a test wants otherwise. */
export type Defer = (flush: () => void) => void

/** From here on the text is handed to the socket without waiting for the end of the turn. */
const WRITE_AT = 65_536

export class Outbox {
  #socket: Duplex
  #text = ''
  readonly #separator: string
  #scheduled = false
  readonly #defer: Defer
  readonly #flushLater = (): void => {
    this.#scheduled = false
    this.flush()
  }

  /** `separator`: what parts the texts of one write. */
  constructor(socket: Duplex, defer: Defer = setImmediate, separator = '') {
    this.#socket = socket
    this.#defer = defer
    this.#separator = separator
  }

  /** Sends over another socket from now on (STARTTLS). Flush first. */
  attach(socket: Duplex): void {
    this.#socket = socket
  }

  /** Octets (as far as they are ASCII) that the peer has not taken yet. */
  get bufferedBytes(): number {
    return this.#text.length + this.#socket.writableLength
  }

  write(xml: string): void {
    if (xml === '') return
    this.#text += this.#separator === '' || this.#text === '' ? xml : this.#separator + xml
    if (this.#text.length >= WRITE_AT) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      this.#defer(this.#flushLater)
    }
  }

  flush(): void {
    if (this.#text === '') return
    const text = this.#text
    this.#text = ''
    if (this.#socket.writable) this.#socket.write(text)
  }

  /** Flushes and ends the writing side. */
  end(): void {
    this.flush()
    if (this.#socket.writable) this.#socket.end()
  }
}
