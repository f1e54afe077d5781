// Tries the addresses of another server one after the other, until a stream to it can be used.

import { StanzaError } from '@aviso/xmpp'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import { dial } from './dial.ts'
import { hopsOf, type HopSearch } from './hops.ts'
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
    for await (const hop of hopsOf(pair.remote, { ...search, signal })) {
      const place = `${hop.address} ${hop.port}`
      try {
        const socket = await dial(hop, pair.local, pair.remote, terms, signal)
        return { ...(await negotiated(socket, hop.direct)), place }
      } catch (error) {
        signal.throwIfAborted()
        last = (error as Error).message
        log.debug({ domain: pair.remote, host: hop.host, at: place, reason: last }, 'no stream over this address')
      }
    }
    throw StanzaError.of('remote-server-timeout', `${pair.remote} cannot be reached: ${last}`)
  } catch (error) {
    if (error instanceof StanzaError) throw error
    const why = signal.aborted ? (signal.reason as Error).message : (error as Error).message
    throw StanzaError.of('remote-server-timeout', `${pair.remote} cannot be reached: ${why}`, { cause: error })
  } finally {
    timer.cancel()
  }

  async function negotiated(
    socket: ConstructorParameters<typeof PeerSession>[0],
    direct: boolean,
  ): Promise<Omit<Reached, 'place'>> {
    let isUp = false
    const own: PeerEvents = {
      ...(events.stanza && { stanza: events.stanza }),
      closed: (reason) => isUp && events.closed(reason),
    }
    const session = new PeerSession(socket, direct, pair, terms, own, verifyOnly)
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
