// What stands in a stream's place of a socket: messages either way, carried by nobody in particular

import { MESSAGE_SEPARATOR } from '@aviso/xmpp'
import { Duplex } from 'node:stream'

export interface PipeEvents {
  /** There is something in `fetch()`. */
  written(): void
  /** The stream has taken all that it was given. */
  taken(): void
  /** Nothing further will be written. */
  ended(): void
  closed(): void
}

/** Octets (as far as they are ASCII) that wait to be fetched, from which on the stream is told to pause. */
const ENOUGH = 65_536

/** Each chunk read is one message of the client's; each text written is one for the client, or several (`MESSAGE_SEPARATOR`). */
export class MessagePipe extends Duplex {
  readonly #events: PipeEvents
  readonly #incoming: string[] = []
  readonly #outgoing: string[] = []
  #length = 0
  #paused: (() => void) | undefined
  #wanted = false

  constructor(events: PipeEvents) {
    super({ readableObjectMode: true, readableHighWaterMark: 1, decodeStrings: false })
    this.#events = events
  }

  /** Messages that the stream has not taken yet. */
  get waiting(): number {
    return this.#incoming.length
  }

  /** Messages for the client that nobody has fetched yet. */
  get filled(): boolean {
    return this.#outgoing.length > 0
  }

  /** Hands messages to the stream, which takes them at its own pace. */
  give(messages: readonly string[]): void {
    this.#incoming.push(...messages)
    if (this.#wanted) this._read()
  }

  /** Fetches what is for the client, or the first part of it where that is much. */
  fetch(): readonly string[] {
    let count = 0
    for (let length = 0; count < this.#outgoing.length && length < ENOUGH; count++)
      length += this.#outgoing[count]?.length ?? 0
    const taken = this.#outgoing.splice(0, count)
    for (const { length } of taken) this.#length -= length
    if (this.#length < ENOUGH) {
      const goOn = this.#paused
      this.#paused = undefined
      goOn?.()
    }
    return taken
  }

  override _read(): void {
    const message = this.#incoming.shift()
    this.#wanted = message === undefined
    if (message === undefined) this.#events.taken()
    else this.push(message)
  }

  override _write(text: string, _encoding: BufferEncoding, done: () => void): void {
    for (const message of text.split(MESSAGE_SEPARATOR)) {
      this.#outgoing.push(message)
      this.#length += message.length
    }
    if (this.#length < ENOUGH) done()
    else this.#paused = done
    this.#events.written()
  }

  override _final(done: () => void): void {
    this.#events.ended()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#incoming.length = 0
    this.#events.closed()
    done(error)
  }
}
