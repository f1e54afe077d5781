// Connections that are kept for the next message to the same server.

import { createHash } from 'node:crypto'
import type { Clock, Timer } from '../../../kernel/clock.ts'
import type { Hop, Link } from './link.ts'
import type { Demands } from './policy.ts'

export interface LinksOptions {
  /** Idle connections of one server that are kept; 0 keeps none. */
  readonly perServer: number
  /** Milliseconds that an idle connection is kept. */
  readonly idle: number
  /** Messages that one connection carries. */
  readonly messages: number
}

/** Idle connections in all. */
const MAX_IDLE = 500

interface Idle {
  readonly link: Link
  readonly timer: Timer
}

/** The idle connections of a courier. */
export class Links {
  readonly #clock: Clock
  readonly #options: LinksOptions
  readonly #idle = new Map<string, Idle[]>()
  /** How many messages each connection has carried. */
  readonly #carried = new WeakMap<Link, number>()
  #size = 0
  #closed = false

  constructor(clock: Clock, options: LinksOptions) {
    this.#clock = clock
    this.#options = options
  }

  /** Idle connections now. */
  get size(): number {
    return this.#size
  }

  /** A connection that is still open, the one used last; undefined where there is none. */
  take(key: string): Link | undefined {
    const idle = this.#idle.get(key)
    for (let last = idle?.pop(); last !== undefined; last = idle?.pop()) {
      this.#forget(key, last)
      if (!last.link.client.closed && !last.link.client.socket.destroyed) return last.link
      last.link.client.close()
    }
    return undefined
  }

  /** Gives a connection back whose transaction has ended properly. */
  give(key: string, link: Link): void {
    const carried = (this.#carried.get(link) ?? 0) + 1
    this.#carried.set(link, carried)
    const idle = this.#idle.get(key) ?? []
    const room = idle.length < this.#options.perServer && this.#size < MAX_IDLE && carried < this.#options.messages
    if (this.#closed || !room || link.client.closed) return this.#end(link)
    const one: Idle = {
      link,
      timer: this.#clock.timeout(this.#options.idle, () => {
        const at = idle.indexOf(one)
        if (at < 0) return
        idle.splice(at, 1)
        this.#forget(key, one)
        this.#end(link)
      }),
    }
    idle.push(one)
    this.#idle.set(key, idle)
    this.#size++
    // A server that hangs up first leaves nothing to keep.
    link.client.socket.once('close', () => {
      const at = idle.indexOf(one)
      if (at < 0) return
      idle.splice(at, 1)
      this.#forget(key, one)
    })
  }

  /** Says QUIT on all of them. Resolves when all are closed. */
  async close(): Promise<void> {
    this.#closed = true
    const all = [...this.#idle.values()].flat()
    this.#idle.clear()
    this.#size = 0
    for (const { timer } of all) timer.cancel()
    await Promise.all(all.map(({ link }) => link.client.quit()))
  }

  #forget(key: string, one: Idle): void {
    one.timer.cancel()
    this.#size--
    if (this.#idle.get(key)?.length === 0) this.#idle.delete(key)
  }

  #end(link: Link): void {
    void link.client.quit()
  }
}

/** Connections of one key are as good as each other: the same server at the same address, held against the same records. */
export function linkKey({ host, at, tls, kind }: Hop, { dane }: Demands): string {
  const place = 'path' in at ? at.path : `${at.address} ${at.port}`
  if (dane.kind !== 'records') return `${kind} ${tls} ${host} ${place} ${dane.kind}`
  const hash = createHash('sha256')
  for (const { usage, selector, matchingType, data } of dane.records)
    hash.update(`${usage} ${selector} ${matchingType} `).update(data)
  return `${kind} ${tls} ${host} ${place} ${dane.names.join(' ')} ${hash.digest('hex')}`
}
