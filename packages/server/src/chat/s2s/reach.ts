// Tries the addresses of another server until a stream to it can be used.

import { StanzaError } from '@aviso/xmpp'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Duplex } from 'node:stream'
import { connections } from '../../net/happy-eyeballs.ts'
import { connected, secured } from './dial.ts'
import { type Hop, hopsOf, type HopSearch } from './hops.ts'
import { type Pair, type PeerEvents, PeerSession, type PeerTerms, type Proof } from './peer.ts'

export interface ReachTools {
  readonly terms: PeerTerms
  readonly search: Omit<HopSearch, 'signal'>
  readonly clock: Clock
  readonly log: Log
  /** For all addresses together. Milliseconds. */
  readonly timeout: number
  /** The end of everything. */
  readonly signal: AbortSignal
}

export interface Reached {
  readonly session: PeerSession
  readonly proof: Proof
  /** `192.0.2.1 5269` */
  readonly place: string
}

/** Opens a stream. `events.closed` is told of the stream that was resolved with only. Rejects with a StanzaError that says why to those whose stanzas wait. */
export async function reach(pair: Pair, tools: ReachTools, events: PeerEvents, verifyOnly = false): Promise<Reached> {
  const { terms, search, clock, log, timeout } = tools
  const giveUp = new AbortController()
  const signal = AbortSignal.any([giveUp.signal, tools.signal])
  const timer = clock.timeout(timeout, () => giveUp.abort(new Error('it took too long')))
  let last = ''
  try {
    const race = { clock, signal, failed, connect: (hop: Hop, stop: AbortSignal) => connected(hop, terms, stop) }
    for await (const { place: hop, socket } of connections(hopsOf(pair.remote, { ...search, signal }), race))
      try {
        const stream = hop.direct ? await secured(socket, pair.local, pair.remote, terms, ['xmpp-server']) : socket
        return { ...(await negotiated(stream, hop)), place: placeOf(hop) }
      } catch (error) {
        signal.throwIfAborted()
        failed(hop, error as Error)
      }
    throw StanzaError.of('remote-server-timeout', `${pair.remote} cannot be reached: ${last}`)
  } catch (error) {
    if (error instanceof StanzaError) throw error
    const why = signal.aborted ? (signal.reason as Error).message : (error as Error).message
    throw StanzaError.of('remote-server-timeout', `${pair.remote} cannot be reached: ${why}`, { cause: error })
  } finally {
    timer.cancel()
  }

  function failed(hop: Hop, error: Error): void {
    last = error.message
    log.debug({ domain: pair.remote, host: hop.host, at: placeOf(hop), reason: last }, 'no stream over this address')
  }

  async function negotiated(socket: Duplex, hop: Hop): Promise<Omit<Reached, 'place'>> {
    let isUp = false
    const own: PeerEvents = {
      ...(events.stanza && { stanza: events.stanza }),
      closed: (reason) => isUp && events.closed(reason),
    }
    const session = new PeerSession(socket, hop, pair, terms, own, verifyOnly)
    const abort = (): void => session.stream.destroy()
    signal.addEventListener('abort', abort, { once: true })
    try {
      const proof = await session.ready
      isUp = true
      return { session, proof }
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

const placeOf = ({ address, port }: Hop): string => `${address} ${port}`
