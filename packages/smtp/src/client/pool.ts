// Connections that are kept for the next message to the same destination.

import { systemClock, type Clock, type ClockTimer } from '../clock.ts'
import type { SmtpClient } from './client.ts'

export interface PoolOptions {
  /** Idle connections of one destination. Default 5. */
  readonly idle?: number
  /** Idle connections of all destinations together. Default 200. */
  readonly idleInAll?: number
  /** Milliseconds for which a connection is kept idle. Default 150,000. */
  readonly idleTime?: number
  /** Messages on one connection. Default 10. */
  readonly messages?: number
  readonly clock?: Clock
}

/** Milliseconds for a server to show that it is still there. */
const RESET_TIMEOUT = 20_000

interface Idle {
  readonly client: SmtpClient
  readonly timer: ClockTimer
  /** The server has closed its end. */
  readonly gone: () => void
}

/** Connections that are kept for the next message to the same place, by a key of the caller's; bounded in number, in time, and in messages that one carries. */
export class ClientPool {
  readonly #idlePerKey: number
  readonly #idleInAll: number
  readonly #idleTime: number
  readonly #messages: number
  readonly #clock: Clock
  /** By key, the longest idle first. A key without idle connections is not here. */
  readonly #idle = new Map<string, Idle[]>()
  #idleCount = 0
  #closed = false

  constructor({ idle = 5, idleInAll = 200, idleTime = 150_000, messages = 10, clock = systemClock }: PoolOptions = {}) {
    this.#idlePerKey = idle
    this.#idleInAll = idleInAll
    this.#idleTime = idleTime
    this.#messages = messages
    this.#clock = clock
  }

  /** Connections that nobody uses. */
  get idle(): number {
    return this.#idleCount
  }

  /**
   * Lets `work` use a connection for `key`, which must say everything that makes two connections alike: host, port, source address, TLS policy, login.
   * It is one that was kept, after a RSET that the server has answered with 250, else the one that `open` makes. Afterwards it is kept, or ended
   * when it has done its share. When `work` throws it is cut: what state it is in, nobody knows. Throws what `open` and `work` throw.
   */
  async use<T>(key: string, open: () => Promise<SmtpClient>, work: (client: SmtpClient) => Promise<T>): Promise<T> {
    const client = (await this.#kept(key)) ?? (await open())
    let outcome: T
    try {
      outcome = await work(client)
    } catch (error) {
      client.destroy()
      throw error
    }
    this.#keep(key, client)
    return outcome
  }

  /** Ends all idle connections, and those in use when they come back. Resolves when the idle ones are closed. */
  async close(): Promise<void> {
    this.#closed = true
    const idle = [...this.#idle.values()].flat()
    this.#idle.clear()
    this.#idleCount = 0
    for (const { timer } of idle) timer.cancel()
    await Promise.all(idle.map(({ client }) => client.quit()))
  }

  /** A connection that is still there, the one used last: the others may come to the end of their time. */
  async #kept(key: string): Promise<SmtpClient | undefined> {
    for (let idle = this.#idle.get(key)?.at(-1); idle !== undefined; idle = this.#idle.get(key)?.at(-1)) {
      this.#remove(key, idle)
      const { client } = idle
      try {
        if (!client.unasked) {
          await client.reset(RESET_TIMEOUT)
          if (!client.closed) return client
        }
      } catch {
        // It was closed over there meanwhile, or does not want to go on.
      }
      client.destroy()
    }
    return undefined
  }

  #keep(key: string, client: SmtpClient): void {
    if (client.closed) return client.close()
    const list = this.#idle.get(key) ?? []
    const full = list.length >= this.#idlePerKey || this.#idleCount >= this.#idleInAll
    if (this.#closed || full || client.sent >= this.#messages || client.exhausted) return void client.quit()
    const idle: Idle = {
      client,
      timer: this.#clock.after(this.#idleTime, () => {
        this.#remove(key, idle)
        void client.quit()
      }),
      gone: () => {
        this.#remove(key, idle)
        client.close()
      },
    }
    this.#idle.set(key, list)
    list.push(idle)
    this.#idleCount++
    client.socket.once('end', idle.gone)
    client.onClose(() => this.#remove(key, idle))
  }

  #remove(key: string, idle: Idle): void {
    idle.timer.cancel()
    idle.client.socket.off('end', idle.gone)
    const list = this.#idle.get(key) ?? []
    const place = list.indexOf(idle)
    if (place < 0) return
    list.splice(place, 1)
    this.#idleCount--
    if (list.length === 0) this.#idle.delete(key)
  }
}
