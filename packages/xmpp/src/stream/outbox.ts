// What a stream writes: everything of one turn of the event loop in one write.

import type { Duplex } from 'node:stream'

/** Runs a function at the end of the current turn; `setImmediate` unless a test wants otherwise. */
export type Defer = (flush: () => void) => void

/** From here on the text is handed to the socket without waiting for the end of the turn. */
const WRITE_AT = 65_536

export class Outbox {
  #socket: Duplex
  #text = ''
  /** Where each text is a message of its own: those before `#text`, which stays empty. */
  readonly #messages: string[] | undefined
  #length = 0
  #scheduled = false
  readonly #defer: Defer
  readonly #flushLater = (): void => {
    this.#scheduled = false
    this.flush()
  }

  /** `messages`: what is given to `write` is written by itself each. */
  constructor(socket: Duplex, defer: Defer = setImmediate, messages = false) {
    this.#socket = socket
    this.#defer = defer
    this.#messages = messages ? [] : undefined
  }

  /** Sends over another socket from now on (STARTTLS). Flush first. */
  attach(socket: Duplex): void {
    this.#socket = socket
  }

  /** Octets (as far as they are ASCII) that the peer has not taken yet. */
  get bufferedBytes(): number {
    return this.#length + this.#socket.writableLength
  }

  write(xml: string): void {
    if (xml === '') return
    if (this.#messages === undefined) this.#text += xml
    else this.#messages.push(xml)
    this.#length += xml.length
    if (this.#length >= WRITE_AT) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      this.#defer(this.#flushLater)
    }
  }

  flush(): void {
    if (this.#length === 0) return
    this.#length = 0
    const text = this.#text
    this.#text = ''
    const messages = this.#messages?.splice(0) ?? [text]
    const socket = this.#socket
    if (!socket.writable) return
    if (messages.length > 1) socket.cork()
    for (const message of messages) socket.write(message)
    if (messages.length > 1) socket.uncork()
  }

  /** Flushes and ends the writing side. */
  end(): void {
    this.flush()
    if (this.#socket.writable) this.#socket.end()
  }
}
