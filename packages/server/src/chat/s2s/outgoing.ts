// Streams to other servers: opened when a stanza wants to go there, kept while they are used. What waits meanwhile is bounded.

import { type Element, Jid, NS, StanzaError, StreamError } from '@aviso/xmpp'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Handled, Origin, StanzaEvent } from '../core/contracts.ts'
import { isSilent } from '../core/presence.ts'
import type { Pair, PeerEvents } from './peer.ts'
import type { Reached } from './reach.ts'

/** A stream over which stanzas go to another server: one that we opened, or a bidirectional one that it did. */
export interface Wire {
  /** How large a stanza the other server takes, octets; undefined where it is not known. */
  readonly maxBytes?: number | undefined
  send(xml: string): boolean
  close(error?: StreamError): void
}

interface Waiting {
  readonly stanza: Element
  readonly origin: Origin
  readonly xml: string
}

/** The way from one of our domains to another domain. */
interface Link {
  readonly pair: Pair
  /** Undefined while it is being reached, or once it has failed. */
  wire: Wire | undefined
  waiting: Waiting[]
  octets: number
  /** Of the last stanza. Milliseconds of the monotonic clock. */
  usedAt: number
  failed: { readonly until: number; readonly error: StanzaError } | undefined
}

export interface OutgoingTerms {
  readonly queueStanzas: number
  readonly queueOctets: number
  readonly maxLinks: number
  readonly retryDelay: number
  readonly idleTimeout: number
  readonly clock: Clock
  readonly log: Log
  isLocal(domain: string): boolean
  permits(domain: string): boolean
  /** Opens a stream; rejects with a StanzaError. */
  open(pair: Pair, events: PeerEvents): Promise<Reached>
  /** A stanza that came the other way (XEP-0288). */
  received(pair: Pair, stanza: Element): void | Promise<void>
  /** Tells the sender. */
  refuse(stanza: Element, origin: Origin, error: StanzaError): void
  /** A stanza has left; for those who count. */
  sent(xml: string): void
  /** One was sent back. */
  bounced(): void
}

const keyOf = ({ local, remote }: Pair): string => `${local} ${remote}`

export class Outgoing {
  readonly #terms: OutgoingTerms
  readonly #links = new Map<string, Link>()
  #closed = false

  constructor(terms: OutgoingTerms) {
    this.#terms = terms
  }

  /** Tells the metrics until `scope` closes. */
  watch(scope: Scope): void {
    const { metrics } = scope
    scope.defer(
      metrics.readings('gauge', 'aviso_chat_s2s_links', 'Ways to other servers by state', ['state'], () => {
        let up = 0
        let failed = 0
        for (const { wire, failed: failure } of this.#links.values())
          if (failure !== undefined) failed++
          else if (wire !== undefined) up++
        return [
          [{ state: 'up' }, up],
          [{ state: 'failed' }, failed],
          [{ state: 'reaching' }, this.#links.size - up - failed],
        ]
      }),
    )
    const sum = (of: (link: Link) => number): number =>
      [...this.#links.values()].reduce((all, link) => all + of(link), 0)
    const waits = 'that wait for another server to be reached'
    scope.defer(
      metrics.readings('gauge', 'aviso_chat_s2s_queue_stanzas', `Stanzas ${waits}`, [], () => [
        [{}, sum(({ waiting }) => waiting.length)],
      ]),
    )
    scope.defer(
      metrics.readings('gauge', 'aviso_chat_s2s_queue_octets', `Octets ${waits}`, [], () => [
        [{}, sum(({ octets }) => octets)],
      ]),
    )
  }

  /** Streams that can be used, and servers that are being reached. */
  get size(): number {
    return this.#links.size
  }

  /** The host's hook `remote`. Throws a StanzaError for a domain that is not spoken with, or a queue that is full. */
  send({ stanza, origin, to }: StanzaEvent): Handled {
    const { permits } = this.#terms
    const pair = { local: this.#localOf(stanza, origin), remote: to.domain }
    if (!permits(pair.remote)) throw StanzaError.of('not-allowed', `${pair.remote} is not spoken with`)
    const link = this.#link(pair)
    link.usedAt = this.#terms.clock.monotonic()
    const xml = stanza.inNamespace(NS.server).toString(NS.server)
    if (link.wire !== undefined && isTooLarge(xml, link.wire)) {
      if (isSilent(stanza)) return 'handled'
      throw tooLarge(pair, link.wire)
    }
    if (link.wire?.send(xml) === true) {
      this.#terms.sent(xml)
      return 'handled'
    }
    if (link.failed !== undefined) {
      if (isSilent(stanza)) return 'handled'
      throw link.failed.error
    }
    this.#wait(link, { stanza, origin, xml })
    return 'handled'
  }

  /** Uses a stream that the other server opened (XEP-0288), unless there is one already. */
  adopt(pair: Pair, wire: Wire): void {
    const key = keyOf(pair)
    const link = this.#links.get(key)
    if (link?.wire !== undefined || this.#closed) return
    if (link === undefined) this.#links.set(key, this.#fresh(pair, wire))
    else this.#up(link, wire)
  }

  /** That stream is over. */
  drop(pair: Pair, wire: Wire): void {
    const key = keyOf(pair)
    if (this.#links.get(key)?.wire === wire) this.#links.delete(key)
  }

  /** Closes what was idle for long, and forgets what failed long ago. */
  sweep(): void {
    const { clock, idleTimeout } = this.#terms
    const now = clock.monotonic()
    for (const [key, link] of this.#links) {
      if (link.failed !== undefined) {
        if (link.failed.until <= now) this.#links.delete(key)
      } else if (link.wire !== undefined && now - link.usedAt >= idleTimeout) {
        this.#links.delete(key)
        link.wire.close()
      }
    }
  }

  /** Ends all streams; what waits is sent back. */
  close(): void {
    this.#closed = true
    const links = [...this.#links.values()]
    this.#links.clear()
    for (const link of links) {
      link.wire?.close(new StreamError('system-shutdown'))
      this.#bounce(link, StanzaError.of('remote-server-timeout', 'the server is stopping'))
    }
  }

  #localOf(stanza: Element, origin: Origin): string {
    if (origin.session !== undefined) return origin.jid.domain
    const domain = Jid.tryParse(stanza.get('from') ?? '')?.domain
    if (domain === undefined || !this.#terms.isLocal(domain))
      throw new Error(`a stanza to another server from ${stanza.get('from') ?? 'nobody'}`)
    return domain
  }

  #fresh(pair: Pair, wire?: Wire): Link {
    const usedAt = this.#terms.clock.monotonic()
    return { pair, wire, waiting: [], octets: 0, usedAt, failed: undefined }
  }

  #link(pair: Pair): Link {
    const { clock, maxLinks } = this.#terms
    const key = keyOf(pair)
    const link = this.#links.get(key)
    if (link !== undefined && (link.failed === undefined || link.failed.until > clock.monotonic())) return link
    if (this.#closed) throw StanzaError.of('remote-server-timeout', 'the server is stopping')
    if (link === undefined && this.#links.size >= maxLinks) this.sweep()
    if (link === undefined && this.#links.size >= maxLinks)
      throw StanzaError.of('resource-constraint', 'too many other servers are spoken with')
    const fresh = this.#fresh(pair)
    this.#links.set(key, fresh)
    void this.#reach(fresh)
    return fresh
  }

  #wait(link: Link, waiting: Waiting): void {
    const { queueStanzas, queueOctets } = this.#terms
    if (link.waiting.length >= queueStanzas || link.octets + waiting.xml.length > queueOctets)
      throw StanzaError.of('resource-constraint', `too much waits for ${link.pair.remote} already`)
    link.waiting.push(waiting)
    link.octets += waiting.xml.length
    // The stream was there, and is no more: its end has not been told yet.
    if (link.wire !== undefined) {
      const again = this.#fresh(link.pair)
      again.waiting = link.waiting
      again.octets = link.octets
      this.#links.set(keyOf(link.pair), again)
      void this.#reach(again)
    }
  }

  async #reach(link: Link): Promise<void> {
    const { open, log, clock, retryDelay, received } = this.#terms
    const { pair } = link
    let wire: Wire | undefined
    try {
      const { session, proof, place } = await open(pair, {
        stanza: (stanza) => {
          link.usedAt = clock.monotonic()
          return received(pair, stanza)
        },
        closed: (reason) => {
          log.debug(
            { domain: pair.remote, by: reason.by, why: reason.error?.message },
            'stream to another server closed',
          )
          if (wire !== undefined) this.drop(pair, wire)
        },
      })
      wire = session.stream
      log.info(
        {
          domain: pair.remote,
          local: pair.local,
          at: place,
          proof,
          tls: session.tlsVersion,
          certificate: session.complaint ?? (session.dane ? 'DANE' : 'valid'),
          bidi: session.bidi,
        },
        'stream to another server',
      )
      if (session.stream.state === 'closed')
        throw StanzaError.of('remote-server-timeout', `${pair.remote} closed the connection`)
      if (this.#closed) return session.stream.close(new StreamError('system-shutdown'))
      // Meanwhile a stream of theirs may have taken its place.
      if (link.wire === undefined) this.#up(link, wire)
      else session.stream.close()
    } catch (error) {
      if (link.wire !== undefined || this.#closed) return
      const known =
        error instanceof StanzaError
          ? error
          : StanzaError.of('remote-server-timeout', `${pair.remote} cannot be reached`, { cause: error })
      if (!(error instanceof StanzaError))
        log.error({ err: error, domain: pair.remote }, 'a stream could not be opened')
      else log.info({ domain: pair.remote, local: pair.local, reason: known.text }, 'another server was not reached')
      link.failed = { until: clock.monotonic() + retryDelay, error: known }
      this.#bounce(link, known)
    }
  }

  #up(link: Link, wire: Wire): void {
    link.wire = wire
    link.failed = undefined
    const { waiting } = link
    link.waiting = []
    link.octets = 0
    for (const { xml, stanza, origin } of waiting) {
      if (isTooLarge(xml, wire)) {
        if (isSilent(stanza)) continue
        this.#terms.bounced()
        this.#terms.refuse(stanza, origin, tooLarge(link.pair, wire))
        continue
      }
      if (!wire.send(xml)) return
      this.#terms.sent(xml)
    }
  }

  #bounce(link: Link, error: StanzaError): void {
    const { waiting } = link
    link.waiting = []
    link.octets = 0
    for (const { stanza, origin } of waiting) {
      if (isSilent(stanza)) continue
      this.#terms.bounced()
      this.#terms.refuse(stanza, origin, error)
    }
  }
}

/** XEP-0478 §4: what is larger than the other server takes would end the stream, and the stanzas of others with it. */
function isTooLarge(xml: string, { maxBytes }: Wire): boolean {
  // A character takes three octets at most.
  return maxBytes !== undefined && xml.length * 3 > maxBytes && Buffer.byteLength(xml) > maxBytes
}

const tooLarge = ({ remote }: Pair, { maxBytes }: Wire): StanzaError =>
  StanzaError.of('policy-violation', `${remote} takes ${maxBytes} octets at most`)
