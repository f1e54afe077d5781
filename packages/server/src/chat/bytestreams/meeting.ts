// XEP-0065 §6.3.5: two clients that have named the same bytestream wait for the word that joins them.

import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Scope } from '../../kernel/scope.ts'
import { serviceKey } from '../../kernel/scope.ts'
import { Relay } from './relay.ts'

/** What a bytestream may cost. */
export interface StreamLimits {
  /** Octets a second; undefined: as fast as it goes. */
  readonly bandwidth: number | undefined
  /** Bytestreams of one account at the same time. */
  readonly perAccount: number
}

/** `nobody`: no connection waits under that name; `one`: only one does. `full`: the account has as many as it may. */
export type Outcome = 'joined' | 'nobody' | 'one' | 'full'

/** Octets that somebody may send before anybody is to read them: they are dropped. */
const MAX_EARLY = 64 * 1024
const STILL_MS = 60_000

/** The name under which the two meet. The addresses as XMPP compares them. */
export const streamName = (sid: string, requester: string, target: string): string =>
  createHash('sha1').update(sid).update(requester).update(target).digest('hex')

interface Waiting {
  readonly socket: Socket
  leave(): void
}

export class MeetingPlace {
  readonly #scope: Scope
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #relays = new Map<Relay, string>()
  #count = 0
  /** Of all bytestreams that are over. */
  #moved = 0

  constructor(scope: Scope) {
    this.#scope = scope
    scope.interval(STILL_MS, () => {
      for (const relay of this.#relays.keys()) relay.look()
    })
    const { metrics } = scope
    scope.defer(
      metrics.readings('gauge', 'aviso_chat_bytestreams', 'Bytestreams that are relayed now', [], () => [
        [{}, this.#relays.size],
      ]),
    )
    scope.defer(
      metrics.readings('counter', 'aviso_chat_bytestream_octets', 'Octets that were relayed', [], () => [
        [{}, [...this.#relays.keys()].reduce((sum, { moved }) => sum + moved, this.#moved)],
      ]),
    )
    scope.defer(() => {
      for (const relay of this.#relays.keys()) relay.destroy()
    })
  }

  /** Connections that wait. */
  get waiting(): number {
    return this.#count
  }

  /** Lets a connection wait for at most `ms`; false where two wait already. */
  wait(name: string, socket: Socket, ms: number): boolean {
    const there = this.#waiting.get(name) ?? []
    if (there.length === 2) return false
    let early = 0
    const drop = (octets: Buffer): void => {
      early += octets.length
      if (early > MAX_EARLY) socket.destroy()
    }
    const timer = this.#scope.timeout(ms, () => void socket.destroy())
    const leave = (): void => {
      timer.cancel()
      socket.off('data', drop)
      socket.off('close', leave)
      this.#count--
      const left = (this.#waiting.get(name) ?? []).filter((each) => each !== waiting)
      if (left.length > 0) this.#waiting.set(name, left)
      else this.#waiting.delete(name)
    }
    const waiting: Waiting = { socket, leave }
    this.#count++
    this.#waiting.set(name, [...there, waiting])
    socket.on('data', drop)
    socket.on('close', leave)
    return true
  }

  /** Joins the two that wait under a name. */
  join(name: string, account: string, { bandwidth, perAccount }: StreamLimits): Outcome {
    const [first, second] = this.#waiting.get(name) ?? []
    if (first === undefined) return 'nobody'
    if (second === undefined) return 'one'
    let running = 0
    for (const owner of this.#relays.values()) if (owner === account) running++
    if (running >= perAccount) return 'full'
    first.leave()
    second.leave()
    const relay = new Relay(this.#scope, [first.socket, second.socket], bandwidth, () => {
      this.#moved += relay.moved
      this.#relays.delete(relay)
    })
    this.#relays.set(relay, account)
    return 'joined'
  }
}

/** Outlives a reload: both generations' connections meet here. */
export const meetingPlace = serviceKey<MeetingPlace>('chat-bytestreams')
