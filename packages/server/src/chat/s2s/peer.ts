// One stream that we open to another server, up to where it believes us, or (for a key to be verified) where we believe it.

import {
  type CloseReason,
  type Dialback,
  dialbackKey,
  dialbackXml,
  el,
  type Element,
  NS,
  PeerStream,
  type PeerStreamHandlers,
  type PeerStreamLimits,
  readDialback,
  StreamError,
  streamLimits,
} from '@aviso/xmpp'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../kernel/clock.ts'
import type { TLSSocket } from 'node:tls'
import { type DialTools, type Doubt, doubtOf, secured } from './dial.ts'
import type { Assurance } from './hops.ts'
import type { Policy } from './policy.ts'

export interface PeerTerms extends DialTools {
  readonly clock: Clock
  readonly policy: Policy
  /** Of our dialback keys. */
  readonly secret: Uint8Array
  readonly requireTls: boolean
  readonly dialback: boolean
  readonly bidi: boolean
  readonly negotiationTimeout: number
  readonly limits: Partial<PeerStreamLimits> & Pick<PeerStreamLimits, 'stanzaBytes'>
  /** Answers a question about one of our keys. */
  answer(question: Dialback): string
}

/** Two domains: ours, and the other one. */
export interface Pair {
  readonly local: string
  readonly remote: string
}

export interface PeerEvents {
  /** Stanzas may come over this stream (XEP-0288). Undefined where they never do. */
  readonly stanza?: (stanza: Element) => void | Promise<void>
  closed(reason: CloseReason): void
}

/** How the other server came to believe us, or, of a stream that only asks, that it was never asked to. */
export type Proof = 'external' | 'dialback' | 'none'

export class PeerSession implements PeerStreamHandlers {
  readonly pair: Pair
  readonly stream: PeerStream
  /** Resolves when the stream can be used; rejects when that comes to nothing. */
  readonly ready: Promise<Proof>
  readonly #terms: PeerTerms
  readonly #events: PeerEvents
  readonly #verifyOnly: boolean
  #resolve!: (proof: Proof) => void
  #reject!: (error: Error) => void
  #settled = false
  readonly #hop: Assurance
  #doubt: Doubt | undefined
  #bidi = false
  /** Another reason for the end than the stream's own. */
  #why: string | undefined
  #verdict: ((answer: Dialback | undefined) => void) | undefined

  /** `verifyOnly`: the stream is for asking about a key (`verify`). */
  constructor(
    socket: Duplex,
    hop: Assurance & { readonly direct: boolean },
    pair: Pair,
    terms: PeerTerms,
    events: PeerEvents,
    verifyOnly = false,
  ) {
    this.pair = pair
    this.#hop = hop
    this.#terms = terms
    this.#events = events
    this.#verifyOnly = verifyOnly
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever waits hears of it; where nobody does any more, nobody is harmed.
    this.ready.catch(() => {})
    const { local, remote } = pair
    this.stream = new PeerStream(
      {
        socket,
        secure: hop.direct,
        from: local,
        to: remote,
        startTls: (plain) => secured(plain, local, remote, terms),
        requireTls: terms.requireTls || terms.policy.needsCertificate(remote) || hop.dane.kind !== 'none',
        limits: terms.limits,
        timers: terms.clock,
        negotiationTimeout: terms.negotiationTimeout,
      },
      this,
    )
  }

  /** Stanzas may come over this stream. */
  get bidi(): boolean {
    return this.#bidi
  }

  /** What there is to say against the other server's certificate; undefined for nothing. */
  get complaint(): string | undefined {
    return this.#doubt?.text
  }

  /** TLSA records vouch for its certificate. */
  get dane(): boolean {
    return this.#hop.dane.kind === 'records'
  }

  /** `TLSv1.3`; undefined in the clear. */
  get tlsVersion(): string | undefined {
    const { socket, secure } = this.stream
    return secure ? ((socket as TLSSocket).getProtocol() ?? undefined) : undefined
  }

  /** Asks the server of `remote` whether it has made this key for its stream `id` to us. Undefined when the stream ended without an answer. */
  verify(id: string, key: string): Promise<Dialback | undefined> {
    const { local, remote } = this.pair
    return new Promise((resolve) => {
      this.#verdict = (answer) => {
        if (answer !== undefined && answer.id !== id) return
        this.#verdict = undefined
        resolve(answer)
      }
      if (!this.stream.send(dialbackXml({ name: 'verify', from: local, to: remote, id, key }))) this.#verdict(undefined)
    })
  }

  // PeerStreamHandlers

  negotiate(features: Element, stream: PeerStream): void {
    const { policy, network, bidi, clock } = this.#terms
    const { remote, local } = this.pair
    const doubt = doubtOf(stream.socket, remote, this.#hop, clock.now())
    this.#doubt = doubt
    if (doubt !== undefined && (doubt.final || policy.needsCertificate(remote))) {
      this.#why = doubt.text
      throw new StreamError('not-authorized', doubt.text.replace(/\bits\b/g, 'your'))
    }
    if (this.#verifyOnly) return this.#done('none')
    if (bidi && this.#events.stanza !== undefined && features.child('bidi', NS.bidiFeature) !== undefined) {
      this.#bidi = true
      stream.send(el('bidi', { xmlns: NS.bidi }, streamLimits(this.#terms.limits.stanzaBytes)))
    }
    const mechanisms = features.child('mechanisms', NS.sasl)?.childrenNamed('mechanism') ?? []
    const offered = mechanisms.some((mechanism) => mechanism.text() === 'EXTERNAL')
    if (offered && network?.secureContext(local) !== undefined) stream.external()
    else this.#callBack('it does not believe our certificate')
  }

  authenticated(): void {
    this.#done('external')
  }

  refused(condition: string): void {
    this.#callBack(`it refused our certificate (${condition})`)
  }

  nonza(element: Element, stream: PeerStream): boolean {
    const dialback = readDialback(element)
    if (dialback === undefined) return false
    const { local, remote } = this.pair
    if (dialback.type === undefined) {
      // Our own keys may be asked about over any stream; nothing is believed over one that we have opened.
      if (dialback.name === 'verify') stream.send(this.#terms.answer(dialback))
      return true
    }
    if (dialback.from !== remote || dialback.to !== local) return true
    if (dialback.name === 'verify') this.#verdict?.(dialback)
    else if (dialback.type === 'valid') {
      stream.authenticate()
      this.#done('dialback')
    } else {
      this.#why = `it does not believe who we are (dialback: ${dialback.error?.message ?? 'invalid'})`
      stream.close()
    }
    return true
  }

  stanza(stanza: Element): void | Promise<void> {
    if (!this.#bidi || this.#events.stanza === undefined)
      throw new StreamError('not-authorized', 'stanzas come over a stream of your own')
    return this.#events.stanza(stanza)
  }

  closed(reason: CloseReason): void {
    const why = this.#why ?? reason.error?.message ?? (reason.by === 'local' ? 'given up' : 'it closed the connection')
    this.#fail(new Error(why, { cause: reason.error }))
    this.#verdict?.(undefined)
    this.#events.closed(reason)
  }

  /** XEP-0220 §2.1: sends a key that the other server has verified by asking us. */
  #callBack(otherwise: string): void {
    const { dialback, secret } = this.#terms
    const { local, remote } = this.pair
    if (!dialback || this.stream.id === '') {
      this.#why = otherwise
      throw new StreamError('undefined-condition', 'no way to prove who we are')
    }
    const key = dialbackKey(secret, remote, local, this.stream.id)
    this.stream.send(dialbackXml({ name: 'result', from: local, to: remote, key }))
  }

  #done(proof: Proof): void {
    if (this.#settled) return
    this.#settled = true
    this.#resolve(proof)
  }

  #fail(error: Error): void {
    if (this.#settled) return
    this.#settled = true
    this.#reject(error)
  }
}
