// For tests of whoever speaks SMTP, or anything else in lines: a clock turned by hand, a peer that speaks octets.

import type { Duplex } from 'node:stream'
import type { Clock, ClockTimer } from '../clock.ts'

/** A clock that stands still until it is turned. */
export class HandClock implements Clock {
  #now = 0
  #timers = new Set<{ at: number; action: () => void }>()

  /** Milliseconds; 0 until it is turned. */
  now(): number {
    return this.#now
  }

  /** Calls back once the time was turned so far. */
  after(milliseconds: number, action: () => void): ClockTimer {
    const timer = { at: this.#now + milliseconds, action }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Lets time pass; what falls due happens now. */
  turn(milliseconds: number): void {
    this.#now += milliseconds
    for (const timer of this.#timers) {
      if (timer.at > this.#now) continue
      this.#timers.delete(timer)
      timer.action()
    }
  }
}

/** One end of a connection, driven by a test. */
export class PeerEnd {
  readonly stream: Duplex
  text = ''
  ended = false
  writes = 0
  #notice: (() => void) | undefined

  constructor(stream: Duplex) {
    this.stream = stream
    const ended = (): void => {
      this.ended = true
      this.#notice?.()
    }
    stream.on('error', ended).on('end', ended).on('close', ended)
    // As a socket does that is not allowed to be half open.
    stream.on('end', () => stream.end())
    stream.on('data', (octets: Buffer) => {
      this.writes++
      this.text += octets.toString('utf8')
      this.#notice?.()
    })
  }

  /** Sends, then waits for text that fits; returns everything received since the last call, this included. */
  async say(octets: string | Uint8Array, until: RegExp = /^\d{3}(?: .*)?\r\n$/m): Promise<string> {
    this.stream.write(octets)
    return this.hear(until)
  }

  /** Waits for text that fits; returns everything received since the last call. */
  async hear(until: RegExp = /^\d{3}(?: .*)?\r\n$/m): Promise<string> {
    while (!until.test(this.text)) {
      if (this.ended) throw new Error(`the connection ended after: ${this.text}`)
      await new Promise<void>((resolve) => (this.#notice = resolve))
    }
    const heard = this.text
    this.text = ''
    return heard
  }

  /** Waits for the end; returns what was said up to it. */
  async end(): Promise<string> {
    while (!this.ended) await new Promise<void>((resolve) => (this.#notice = resolve))
    return this.text
  }
}
