// Two connections of one bytestream: what comes from one goes to the other, as fast as it may and is read.

import type { Socket } from 'node:net'
import type { Scope } from '../../kernel/scope.ts'
import type { Timer } from '../../kernel/clock.ts'

export class Relay {
  /** Octets that went through, in both directions. */
  moved = 0
  readonly #sockets: readonly [Socket, Socket]
  readonly #scope: Scope
  /** Octets a second; undefined: as fast as it goes. */
  readonly #bandwidth: number | undefined
  readonly #ended: () => void
  /** Octets that may go through at once, as of `#at`. */
  #budget: number
  #at: number
  #timer: Timer | undefined
  #open = 2
  #looked = -1

  /** `ended` is called once, when both connections are closed. */
  constructor(scope: Scope, sockets: readonly [Socket, Socket], bandwidth: number | undefined, ended: () => void) {
    this.#scope = scope
    this.#sockets = sockets
    this.#bandwidth = bandwidth
    this.#ended = ended
    this.#budget = bandwidth ?? 0
    this.#at = scope.clock.monotonic()
    this.#join(sockets[0], sockets[1])
    this.#join(sockets[1], sockets[0])
  }

  /** Ends it where nothing has moved since the last look. */
  look(): void {
    if (this.moved === this.#looked) this.destroy()
    this.#looked = this.moved
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(from: Socket, to: Socket): void {
    from.on('data', (octets: Buffer) => {
      this.moved += octets.length
      if (!to.write(octets)) {
        from.pause()
        to.once('drain', () => void (this.#timer === undefined && from.resume()))
      }
      this.#spend(octets.length)
    })
    from.on('end', () => to.end())
    from.on('close', () => {
      to.destroySoon()
      if (--this.#open > 0) return
      this.#timer?.cancel()
      this.#ended()
    })
    if (from.destroyed || to.destroyed) this.destroy()
    else from.resume()
  }

  /** Both directions share what they may use. */
  #spend(octets: number): void {
    if (this.#bandwidth === undefined) return
    const now = this.#scope.clock.monotonic()
    this.#budget = Math.min(this.#bandwidth, this.#budget + ((now - this.#at) * this.#bandwidth) / 1000) - octets
    this.#at = now
    if (this.#budget >= 0 || this.#timer !== undefined) return
    for (const socket of this.#sockets) socket.pause()
    this.#timer = this.#scope.timeout(Math.ceil((-this.#budget * 1000) / this.#bandwidth), () => {
      this.#timer = undefined
      for (const [from, to] of [this.#sockets, [this.#sockets[1], this.#sockets[0]] as const])
        if (!to.writableNeedDrain) from.resume()
    })
  }
}
