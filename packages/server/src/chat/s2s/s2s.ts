// Federation: what the streams to and from other servers have in common.

import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'
import { dialbackKey, dialbackXml, type Element, Jid, StanzaError, StreamError } from '@aviso/xmpp'
import { timingSafeEqual } from 'node:crypto'
import type { Scope } from '../../kernel/scope.ts'
import { Network } from '../../net/contracts.ts'
import { Resolver } from '../../net/dns/contracts.ts'
import { StartError } from '../../net/start-error.ts'
import { Chat, type Origin } from '../core/contracts.ts'
import { Traffic } from '../core/tally.ts'
import type { S2sConfig } from './config.ts'
import { S2s } from './contracts.ts'
import { Outgoing } from './outgoing.ts'
import type { Pair, PeerTerms } from './peer.ts'
import { Policy } from './policy.ts'
import { reach, type ReachTools } from './reach.ts'

const SWEEP_MS = 30_000

/** Opens federation until `scope` closes, and provides `S2s` in it. Uses Chat and Resolver; Network when it is there. */
export async function openS2s(scope: Scope, config: S2sConfig): Promise<void> {
  const chat = scope.use(Chat)
  const inner = scope.child('chat.s2s')
  const { clock, log, metrics } = inner
  // A key that one generation has made is verified by the next.
  const secret = await scope.keep({ name: 's2s-secret' }, (kept): Buffer => kept.random.bytes(32))
  const ca = authorities(config['trust-store'])
  const policy = new Policy(config)
  const traffic = new Traffic()
  inner.defer(traffic.watch(metrics, 'server'))
  const streams = metrics.counter('aviso_chat_s2s_streams', 'Streams with other servers, by how they ended up', [
    'direction',
    'result',
  ])
  const bounced = metrics.counter('aviso_chat_s2s_bounced', 'Stanzas sent back because a server was not reached')
  let verifying = 0

  const answer: S2s['answer'] = ({ from, to, id = '', key }) => {
    // We are the originating server of the key (`to`), they are the receiving one (XEP-0220 §2.3).
    const expected = Buffer.from(dialbackKey(secret, from, to, id))
    const given = Buffer.from(key)
    const isOurs = chat.isServed(to) && given.length === expected.length && timingSafeEqual(given, expected)
    return dialbackXml({ name: 'verify', from: to, to: from, id, type: isOurs ? 'valid' : 'invalid' })
  }

  const terms: PeerTerms = {
    clock,
    policy,
    secret,
    answer,
    ca,
    get network() {
      return scope.find(Network)
    },
    requireTls: config['require-tls'],
    dialback: config.dialback,
    bidi: config.bidi,
    connectTimeout: config['connect-timeout'],
    negotiationTimeout: config['negotiation-timeout'],
    limits: {
      stanzaBytes: config['max-stanza'],
      // Features of servers that offer much are large.
      unauthenticatedStanzaBytes: Math.max(config['max-stanza-before-auth'], 16_384),
      outgoingBytes: config['max-write-buffer'],
    },
  }
  const tools: ReachTools = {
    terms,
    search: {
      resolver: scope.use(Resolver),
      random: inner.random,
      families: config.families,
      dane: config.dane,
      routes: config.routes,
    },
    clock,
    log,
    timeout: config['reach-timeout'],
    signal: inner.signal,
  }

  /** Somebody on another server: what is answered goes to it as any stanza does. */
  const originOf = (jid: Jid): Origin => ({
    jid,
    reply(stanza) {
      // Nothing is answered to an answer that could not be sent.
      chat.receive(stanza, { jid: Jid.parse(stanza.get('from') ?? ''), reply: () => {} })
    },
  })

  const receive = ({ local, remote }: Pair, stanza: Element): void | Promise<void> => {
    const addresses = checked(stanza)
    if (addresses.from.domain !== remote) throw new StreamError('invalid-from', 'this is not your domain')
    if (addresses.to.domain !== local && !chat.isServed(addresses.to.domain))
      throw new StreamError('host-unknown', `${addresses.to.domain} is not served here`)
    traffic.in.count(stanza.name)
    const own = stanza
      .inNamespace('jabber:client')
      .with({ from: addresses.from.toString(), to: addresses.to.toString() })
    const origin = originOf(addresses.from)
    // As for a name that nobody has.
    if (!chat.isReachable(addresses.to)) return chat.refuse(own, origin, StanzaError.of('service-unavailable'))
    return chat.receive(own, origin)
  }

  const outgoing = new Outgoing({
    clock,
    log,
    queueStanzas: config['queue-stanzas'],
    queueOctets: config['queue-octets'],
    maxLinks: config['max-connections'],
    retryDelay: config['retry-delay'],
    idleTimeout: config['idle-timeout'],
    isLocal: (domain) => chat.isServed(domain),
    permits: (domain) => policy.permits(domain),
    async open(pair, events) {
      try {
        const reached = await reach(pair, tools, events)
        streams.inc({ direction: 'out', result: reached.proof })
        return reached
      } catch (error) {
        streams.inc({ direction: 'out', result: error instanceof StanzaError ? error.condition : 'error' })
        throw error
      }
    },
    received: receive,
    refuse: (stanza, origin, error) => chat.refuse(stanza, origin, error),
    sent: (xml) => traffic.sent(xml),
    bounced: () => bounced.inc(),
  })
  outgoing.watch(inner)
  inner.interval(SWEEP_MS, () => outgoing.sweep())
  inner.defer(() => outgoing.close())
  chat.host(inner).hooks.remote.on((event) => outgoing.send(event))

  scope.provide(S2s, {
    config,
    policy,
    ca,
    answer,
    receive,
    adopt: (pair, wire) => outgoing.adopt(pair, wire),
    drop: (pair, wire) => outgoing.drop(pair, wire),
    counted: (result) => streams.inc({ direction: 'in', result }),
    async verify(pair, id, key) {
      if (verifying >= config['max-verifications'])
        throw StanzaError.of('resource-constraint', 'too many keys are being verified')
      verifying++
      try {
        const { session } = await reach(pair, tools, { closed: () => {} }, true)
        const verdict = await session.verify(id, key)
        session.stream.close()
        if (verdict === undefined) throw StanzaError.of('remote-server-timeout', `${pair.remote} gave no answer`)
        if (verdict.type === 'error') throw verdict.error ?? StanzaError.of('undefined-condition')
        return verdict.type === 'valid'
      } finally {
        verifying--
      }
    },
  })
}

/** RFC 6120 §8.1.1.2, §8.1.2.2: between servers, both addresses are there. @throws StreamError improper-addressing */
function checked(stanza: Element): { readonly from: Jid; readonly to: Jid } {
  const from = Jid.tryParse(stanza.get('from') ?? '')
  const to = Jid.tryParse(stanza.get('to') ?? '')
  if (from === undefined || to === undefined)
    throw new StreamError('improper-addressing', 'stanzas between servers need proper addresses')
  return { from, to }
}

/** PEM of the authorities that the config names; undefined for those of Node itself. Throws StartError. */
function authorities(trust: string): string | undefined {
  if (trust === 'bundled') return undefined
  if (trust === 'system') return getCACertificates('system').join('\n')
  try {
    const pem = readFileSync(trust, 'utf8')
    // OpenSSL takes a file without certificates for an empty one, and then nobody would be believed.
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate')
    return pem
  } catch (error) {
    throw new StartError(`the trust-store '${trust}' cannot be used: ${(error as Error).message}`, { cause: error })
  }
}
