// RFC 6120, XEP-0220, XEP-0368, XEP-0288: where other servers connect

import { type Identity, serverMechanism, type ServerMechanism } from '@aviso/sasl'
import {
  type CloseReason,
  type Dialback,
  dialbackXml,
  el,
  type Element,
  Jid,
  NS,
  readDialback,
  ServerStream,
  type ServerStreamHandlers,
  StanzaError,
  StreamError,
} from '@aviso/xmpp'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { defineModule } from '../../kernel/module.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import { listenAddress } from '../../net/addresses.ts'
import {
  type Bound,
  type Connection,
  endpoints,
  Limits,
  Network,
  type Session as NetSession,
} from '../../net/contracts.ts'
import { proxyProtocol } from '../../net/proxy-protocol.ts'
import { Chat } from '../core/contracts.ts'
import { S2s } from '../s2s/contracts.ts'
import { isFor } from '../s2s/identity.ts'
import { Pace } from './pace.ts'
import type { Pair } from '../s2s/peer.ts'
import { streamOpening } from './opening.ts'
import { shutDown } from './shut-down.ts'

const config = v.strictObject({
  listen: v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where servers connect in the clear and then start TLS')),
    ['[::]:5269'],
  ),
  'listen-tls': v.optional(
    v.pipe(v.array(listenAddress), v.description('addresses where servers begin with TLS (XEP-0368)')),
    ['[::]:5270'],
  ),
  'proxy-protocol': proxyProtocol,
})

const KEEPALIVE_MS = 120_000
/** Domains that one stream may prove. */
const MAX_DOMAINS = 100
/** Keys of one stream that are being verified. */
const MAX_PENDING = 10

export const s2s = defineModule({
  family: endpoints,
  name: 's2s',
  summary: 'Other chat servers (XMPP).',
  config,

  async create({ listen, 'listen-tls': listenTls, 'proxy-protocol': proxies }, scope) {
    const federation = scope.find(S2s)
    const bound: Bound[] = []
    // `chat.s2s.enabled` is off: nobody is spoken with.
    if (federation === undefined) return { bound }
    const network = scope.use(Network)
    const terms: Terms = {
      scope,
      federation,
      accounts: scope.use(Accounts),
      chat: scope.use(Chat),
      pace: new Pace(scope.find(Limits), scope.clock, 's2s'),
      secret: scope.random.bytes(16),
    }
    const common = {
      protocol: 's2s',
      opening: streamOpening('servers'),
      proxies,
      clientCertificates: { ca: federation.ca },
      serve: (connection: Connection): NetSession => new ServerConnection(terms, connection),
    }
    for (const address of listen) bound.push(await network.listen(scope, { ...common, address, tls: 'starttls' }))
    for (const address of listenTls)
      bound.push(await network.listen(scope, { ...common, address, tls: 'implicit', alpn: ['xmpp-server'] }))
    return { bound }
  },
})

/** What all connections of an endpoint have in common. */
interface Terms {
  readonly scope: Scope
  readonly federation: S2s
  readonly accounts: Accounts
  readonly chat: Chat
  /** By domain. */
  readonly pace: Pace
  readonly secret: Uint8Array
}

/** One connection of another server. */
class ServerConnection implements ServerStreamHandlers, NetSession {
  readonly #terms: Terms
  readonly #connection: Connection
  readonly #stream: ServerStream
  /** Domains that the peer has proved to be. */
  readonly #proved = new Set<string>()
  /** Keys that are being verified, as `from to`. */
  readonly #pending = new Set<string>()
  #bidi = false
  #adopted: Pair[] = []

  constructor(terms: Terms, connection: Connection) {
    const { scope, federation, accounts } = terms
    const { config: settings } = federation
    this.#terms = terms
    this.#connection = connection
    connection.socket.setNoDelay(true)
    connection.socket.setKeepAlive(true, KEEPALIVE_MS)
    this.#stream = new ServerStream(
      {
        socket: connection.socket,
        secure: connection.tls !== undefined,
        namespace: NS.server,
        streamId: () => randomWord(scope.random, 26),
        defaultHost: accounts.domains()[0] ?? 'localhost',
        starttls: { required: settings['require-tls'], start: () => connection.startTls() },
        limits: {
          stanzaBytes: settings['max-stanza'],
          unauthenticatedStanzaBytes: settings['max-stanza-before-auth'],
          outgoingBytes: settings['max-write-buffer'],
        },
        timers: scope.clock,
        negotiationTimeout: settings['negotiation-timeout'],
      },
      this,
    )
  }

  /** See net's `Session`. */
  shutdown(): Promise<void> {
    return shutDown(this.#stream, this.#connection)
  }

  // ServerStreamHandlers

  isServed(host: string): boolean {
    return this.#terms.chat.isServed(host)
  }

  mechanisms(stream: ServerStream): readonly string[] {
    const domain = claimed(stream)
    if (domain !== undefined && !this.#mayCome(domain))
      throw new StreamError('policy-violation', `${domain} is not spoken with`)
    return domain !== undefined && this.#isCertified(domain) ? ['EXTERNAL'] : []
  }

  begin(mechanism: string, stream: ServerStream): ServerMechanism | undefined {
    if (!this.mechanisms(stream).includes('EXTERNAL')) return undefined
    return serverMechanism(mechanism, {
      offered: ['EXTERNAL'],
      secret: this.#terms.secret,
      credentials: { scram: async () => undefined, password: async () => 'not-authorized' },
      external: async (authzid) => {
        const domain = claimed(stream)
        if (domain === undefined || !this.#isCertified(domain)) return 'not-authorized'
        // XEP-0178 §3: the identity is the domain of the header, or none is given.
        if (authzid !== undefined && domainOf(authzid) !== domain) return 'invalid-authzid'
        return { authcid: domain, authzid: undefined }
      },
    })
  }

  authenticated(identity: Identity, stream: ServerStream): void {
    this.#prove({ local: stream.host, remote: identity.authcid }, 'external')
  }

  features(stream: ServerStream): readonly Element[] {
    if (stream.state === 'authenticated') this.#begunAnew()
    if (stream.state !== 'negotiating') return []
    const { config: settings } = this.#terms.federation
    return [
      ...(settings.dialback ? [el('dialback', { xmlns: NS.dialbackFeature }, el('errors'))] : []),
      ...(settings.bidi ? [el('bidi', { xmlns: NS.bidiFeature })] : []),
    ]
  }

  stanza(stanza: Element, stream: ServerStream): void | Promise<void> {
    const remote = domainOf(stanza.get('from') ?? '', true)
    if (remote === undefined) throw new StreamError('improper-addressing', 'stanzas between servers need addresses')
    if (!this.#proved.has(remote)) throw new StreamError('invalid-from', 'you have not proved to be this domain')
    const { pace, federation } = this.#terms
    const pair = { local: stream.host, remote }
    const waits = pace.admit(remote, stanza, () => stream.state !== 'closed')
    if (waits === undefined) return federation.receive(pair, stanza)
    return waits.then((goesOn) => (goesOn ? federation.receive(pair, stanza) : undefined))
  }

  nonza(element: Element, stream: ServerStream): boolean {
    if (element.is('bidi', NS.bidi) && this.#terms.federation.config.bidi && stream.state === 'negotiating') {
      this.#bidi = true
      return true
    }
    const dialback = readDialback(element)
    if (dialback === undefined) {
      if (element.xmlns === NS.dialback) throw new StreamError('improper-addressing', 'bad dialback')
      return false
    }
    // Answers belong on the streams that we have opened.
    if (dialback.type !== undefined) return true
    if (dialback.name === 'verify') stream.send(this.#terms.federation.answer(dialback))
    else this.#believe(dialback, stream)
    return true
  }

  closed(reason: CloseReason): void {
    for (const pair of this.#adopted) this.#terms.federation.drop(pair, this.#stream)
    const { error } = reason
    const facts = { by: reason.by, why: error?.message, domains: [...this.#proved] }
    if (error instanceof StreamError && error.condition === 'internal-server-error')
      this.#connection.log.error({ err: error.cause ?? error, ...facts }, 'the stream failed')
    else if (error instanceof StreamError && error.condition === 'invalid-from')
      this.#connection.log.warn({ ...facts, remote: this.#connection.remoteAddress }, 'another server lied')
    else this.#connection.log.debug(facts, 'closed')
  }

  // Proofs

  #mayCome(domain: string): boolean {
    const { chat, federation } = this.#terms
    return !chat.isServed(domain) && federation.policy.permits(domain)
  }

  #isCertified(domain: string): boolean {
    const shown = this.#connection.tls?.clientCertificate
    return shown?.trusted === true && isFor(shown.certificate, domain)
  }

  /** XEP-0220 §2.1, §2.4: a key to be verified with the server that answers for the domain. */
  #believe({ from, to, key }: Dialback, stream: ServerStream): void {
    const { chat, federation } = this.#terms
    const pair = { local: to, remote: from }
    const refuse = (error: StanzaError): void => {
      federation.counted(error.condition)
      stream.send(dialbackXml({ name: 'result', from: to, to: from, type: 'error', error }))
    }
    if (!chat.isServed(to)) return refuse(StanzaError.of('item-not-found', `${to} is not served here`))
    if (!this.#mayCome(from)) return refuse(StanzaError.of('not-allowed', `${from} is not spoken with`))
    if (!federation.config.dialback) return refuse(StanzaError.of('not-acceptable', 'a certificate is needed'))
    const name = `${from} ${to}`
    if (this.#pending.has(name)) return
    if (this.#pending.size >= MAX_PENDING || this.#proved.size >= MAX_DOMAINS)
      return refuse(StanzaError.of('resource-constraint', 'too many domains on one stream'))
    // Its certificate says so already.
    if (this.#isCertified(from)) return this.#valid(pair, stream)
    this.#pending.add(name)
    void this.#verified(pair, key, stream)
      .catch((error: unknown) => {
        if (error instanceof StanzaError) refuse(error)
        else {
          this.#connection.log.error({ err: error, domain: from }, 'a dialback key could not be verified')
          refuse(StanzaError.of('internal-server-error'))
        }
      })
      .finally(() => this.#pending.delete(name))
  }

  async #verified(pair: Pair, key: string, stream: ServerStream): Promise<void> {
    const { federation } = this.#terms
    const { id } = stream
    const isTrue = await federation.verify(pair, id, key).catch((error: unknown) => {
      if (!(error instanceof StanzaError)) throw error
      this.#connection.log.info({ domain: pair.remote, reason: error.text }, 'another server was not believed')
      throw error
    })
    // The key was for the stream as it was.
    if (stream.state === 'closed' || stream.id !== id) return
    if (isTrue) return this.#valid(pair, stream)
    federation.counted('invalid')
    const { remoteAddress, log } = this.#connection
    log.warn({ domain: pair.remote, remote: remoteAddress }, 'another server lied about its domain')
    stream.send(dialbackXml({ name: 'result', from: pair.local, to: pair.remote, type: 'invalid' }))
    stream.close()
  }

  #valid(pair: Pair, stream: ServerStream): void {
    if (stream.state === 'negotiating') stream.authenticate({ authcid: pair.remote, authzid: undefined })
    stream.send(dialbackXml({ name: 'result', from: pair.local, to: pair.remote, type: 'valid' }))
    this.#prove(pair, 'dialback')
  }

  #prove(pair: Pair, proof: 'external' | 'dialback'): void {
    const { federation } = this.#terms
    const { log, remoteAddress, tls } = this.#connection
    this.#proved.add(pair.remote)
    federation.counted(proof)
    log.info(
      { domain: pair.remote, local: pair.local, remote: remoteAddress, proof, tls: tls?.protocol, bidi: this.#bidi },
      'stream from another server',
    )
    if (!this.#bidi) return
    this.#adopted.push(pair)
    if (proof === 'dialback') federation.adopt(pair, this.#stream)
  }

  /** After EXTERNAL, stanzas of ours may follow the new header and its features. */
  #begunAnew(): void {
    for (const pair of this.#adopted) queueMicrotask(() => this.#terms.federation.adopt(pair, this.#stream))
  }
}

/** The domain that the peer's header claims, prepared. */
const claimed = (stream: ServerStream): string | undefined => domainOf(stream.peer ?? '')

function domainOf(text: string, ofAddress = false): string | undefined {
  const jid = Jid.tryParse(text)
  return jid === undefined || (!ofAddress && (jid.local !== '' || jid.isFull)) ? undefined : jid.domain
}
