// A connection that scripts speak on: octets out, whole responses in.

import { once } from 'node:events'
import type { Duplex } from 'node:stream'

/** Nothing of what is waited for has come in time, or the connection ended. */
export class NotHeard extends Error {}

export class ScriptConnection {
  readonly #socket: Duplex
  readonly #patience: number
  /** Octets that make no whole response yet, as latin1 text. */
  #text = ''
  #heard: string[] = []
  #ended = false
  #wake: (() => void) | undefined

  /** `patience`: milliseconds that are waited for any one answer. */
  constructor(socket: Duplex, patience: number) {
    this.#socket = socket
    this.#patience = patience
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      this.#take()
      this.#wake?.()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    for (const event of ['end', 'close', 'error']) socket.on(event, end)
  }

  /** Responses heard and not yet asked for, each with its literals and without its last CRLF. */
  get heard(): readonly string[] {
    return this.#heard
  }

  /** True once the server has closed. */
  get ended(): boolean {
    return this.#ended
  }

  /** `octets`: latin1 text. */
  send(octets: string): void {
    this.#socket.write(Buffer.from(octets, 'latin1'))
  }

  /** What is sent waits until `release`, and goes out together. */
  hold(): void {
    if (this.#socket.writableCorked === 0) this.#socket.cork()
  }

  release(): void {
    if (this.#socket.writableCorked > 0) this.#socket.uncork()
  }

  /** Waits until `done`, which is asked again with every response; then the responses up to its answer are taken away and given. Throws NotHeard. */
  async until(what: string, done: (heard: readonly string[]) => number | undefined): Promise<string[]> {
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.#wake?.()
    }, this.#patience)
    try {
      for (;;) {
        const count = done(this.#heard)
        if (count !== undefined) return this.#heard.splice(0, count)
        if (this.#ended) throw new NotHeard(`the connection ended before ${what}`)
        if (late) throw new NotHeard(`waited in vain for ${what}`)
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async close(): Promise<void> {
    this.#socket.end()
    if (!this.#ended) await Promise.race([once(this.#socket, 'close').catch(() => undefined), tick(this.#patience)])
    this.#socket.destroy()
  }

  /** Moves whole responses from the text to what is heard. */
  #take(): void {
    for (;;) {
      let at = 0
      let end = this.#text.indexOf('\r\n')
      for (; end >= 0; end = this.#text.indexOf('\r\n', at)) {
        const literal = /\{(\d+)\}$/.exec(this.#text.slice(Math.max(at, end - 20), end))
        if (!literal) break
        at = end + 2 + Number(literal[1])
        if (at > this.#text.length) return
      }
      if (end < 0) return
      this.#heard.push(this.#text.slice(0, end))
      this.#text = this.#text.slice(end + 2)
    }
  }
}

const tick = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref()
  })
