// XEP-0114: where components connect, programs beside the server that answer for domains of their own: gateways, rooms, bots

import {
  type CloseReason,
  ComponentStream,
  type ComponentStreamHandlers,
  type Element,
  errorReply,
  Jid,
  StanzaError,
  StreamError,
} from '@aviso/xmpp'
import { isDeepStrictEqual } from 'node:util'
import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import type { CounterMetric } from '../../kernel/metrics.ts'
import { randomWord } from '../../kernel/random.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import { type Bound, type Connection, endpoints, Network, type Session as NetSession } from '../../net/contracts.ts'
import type { ComponentLink, ComponentLinks } from '../components/links.ts'
import { Privileges, privileges } from '../components/privileges.ts'
import { Chat, type Origin, type StanzaEvent } from '../core/contracts.ts'
import { Domains } from '../core/domains.ts'
import { domainSetting } from '../domain-setting.ts'
import { isSilent } from '../core/presence.ts'
import { shutDown } from './shut-down.ts'

const component = v.strictObject({
  domain: v.pipe(
    domainSetting('irc.example.org'),
    v.description('the domain that it answers for: none of those with accounts'),
  ),
  secret: v.pipe(
    v.string(),
    v.minLength(1),
    v.description('what it proves that it knows; best as ${file:/path} or ${NAME}'),
  ),
  name: v.optional(v.pipe(v.string(), v.minLength(1), v.description('shown to people who look for services'))),
  conflict: v.optional(
    v.pipe(
      v.picklist(['refuse', 'replace']),
      v.description('what happens to a second connection: it is refused, or replaces the one before'),
    ),
    'refuse',
  ),
  privileges,
})
type Component = v.InferOutput<typeof component>

const config = v.strictObject({
  listen: v.optional(
    v.pipe(
      v.array(listenAddress),
      v.description('addresses where components connect: without encryption, so keep to this machine'),
    ),
    ['127.0.0.1:5347'],
  ),
  components: v.pipe(
    v.array(component),
    v.check(
      (all) => new Set(all.map(({ domain }) => domain)).size === all.length,
      'a domain stands there twice: each has one component',
    ),
    v.description('the components that there are'),
  ),
  'max-stanza': v.pipe(size('512KiB'), v.description('the biggest stanza that a component may send')),
  'max-write-buffer': v.pipe(
    size('4MiB'),
    v.description('how much may wait for a component that does not read; beyond it the connection is given up'),
  ),
  'handshake-timeout': v.pipe(duration('30s'), v.description('how long a component may take to prove who it is')),
})
type Config = v.InferOutput<typeof config>

/** Over all generations of the config. */
interface Desk {
  readonly links: ComponentLinks
  /** Of the newest generation that has begun. */
  terms: Terms | undefined
}
const DESK = serviceKey<Desk>('component-desk')

/** What all connections of one generation have in common. */
interface Terms {
  readonly scope: Scope
  readonly config: Config
  readonly chat: Chat
  readonly desk: Desk
  readonly components: ReadonlyMap<string, Component>
  readonly privileges: ReadonlyMap<string, Privileges>
  readonly stanzas: CounterMetric
  readonly streams: CounterMetric
}

export const componentEndpoint = defineModule({
  family: endpoints,
  name: 'component',
  summary: 'Components: programs that answer for domains of their own (XEP-0114).',
  config,

  async create(config, scope) {
    const network = scope.use(Network)
    const chat = scope.use(Chat)
    const desk = await scope.keep(DESK, (): Desk => ({ links: new Map(), terms: undefined }))
    const terms: Terms = {
      scope,
      config,
      chat,
      desk,
      privileges: new Map(
        config.components.map(({ domain, privileges: granted }) => [
          domain,
          new Privileges(scope, domain, granted, () => desk.links.get(domain)),
        ]),
      ),
      components: new Map(config.components.map((one) => [one.domain, one])),
      stanzas: scope.metrics.counter('aviso_chat_component_stanzas', 'Stanzas to and from components', [
        'component',
        'direction',
      ]),
      streams: scope.metrics.counter('aviso_chat_component_streams', 'Connections of components, by how they went', [
        'component',
        'result',
      ]),
    }
    chat.host(scope).beginning(async () => takeOver(terms))
    for (const { domain, name } of config.components) {
      chat.host(scope).serve(domain, (event) => deliver(terms, domain, event))
      // The domain that it stands below tells of it.
      const parent = scope.child(`component.${domain}`)
      parent.provide(Domains, { covers: (above) => domain.slice(domain.indexOf('.') + 1) === above })
      chat.host(parent).disco.item({ jid: domain, ...(name !== undefined && { name }) })
    }
    const bound: Bound[] = []
    for (const address of config.listen)
      bound.push(
        await network.listen(scope, {
          protocol: 'component',
          address,
          tls: 'none',
          serve: (connection) => new ComponentConnection(terms, connection),
        }),
      )
    return { bound }
  },
})

/** Who is connected goes on under the rules of the new generation, unless it is to prove itself anew. */
function takeOver(terms: Terms): void {
  const { desk, components, privileges: granted } = terms
  const before = desk.terms
  desk.terms = terms
  for (const [domain, link] of desk.links) {
    const [was, is] = [before?.components.get(domain), components.get(domain)]
    if (is === undefined) link.close(new StreamError('host-gone', `${domain} is no component any more`))
    else if (was?.secret !== is.secret) link.close(new StreamError('reset', 'the secret has changed'))
    else if (!isDeepStrictEqual(was.privileges, is.privileges)) granted.get(domain)?.advertise()
  }
}

/** Gives a component what is for it. Nothing waits for one that is not there. */
function deliver({ desk: { links }, stanzas }: Terms, domain: string, { stanza, to }: StanzaEvent): void {
  const isSent = links.get(domain)?.send(stanza.with({ to: to.toString() })) === true
  if (isSent) stanzas.inc({ component: domain, direction: 'out' })
  else if (!isSilent(stanza)) throw StanzaError.of('remote-server-timeout', `${domain} is not connected`)
}

/** One component's connection. */
class ComponentConnection implements ComponentStreamHandlers, NetSession, ComponentLink {
  readonly #desk: Desk
  /** Those that it began with. */
  readonly #first: Terms
  readonly #connection: Connection
  readonly #stream: ComponentStream

  constructor(terms: Terms, connection: Connection) {
    const { config, scope, desk } = terms
    this.#desk = desk
    this.#first = terms
    this.#connection = connection
    this.#stream = new ComponentStream(
      {
        socket: connection.socket,
        streamId: () => randomWord(scope.random, 26),
        limits: { stanzaBytes: config['max-stanza'], outgoingBytes: config['max-write-buffer'] },
        timers: scope.clock,
        negotiationTimeout: config['handshake-timeout'],
      },
      this,
    )
  }

  /** See net's `Session`. */
  shutdown(): Promise<void> {
    return shutDown(this.#stream, this.#connection)
  }

  /** Those of the newest generation: a connection outlives a reload. */
  get #terms(): Terms {
    return this.#desk.terms ?? this.#first
  }

  // ComponentLink

  send(stanza: Element): boolean {
    return this.#stream.send(stanza)
  }

  close(error?: StreamError): void {
    this.#stream.close(error)
  }

  // ComponentStreamHandlers

  secretOf(domain: string): string | undefined {
    return this.#terms.components.get(domain)?.secret
  }

  authenticated({ domain }: ComponentStream): void {
    const { desk, components, streams } = this.#terms
    const { links } = desk
    const before = links.get(domain)
    if (before !== undefined && components.get(domain)?.conflict !== 'replace')
      throw new StreamError('conflict', 'this component is connected already')
    links.set(domain, this)
    before?.close(new StreamError('conflict', 'replaced by another connection'))
    streams.inc({ component: domain, result: 'connected' })
    this.#connection.log.info({ component: domain, remote: this.#connection.remoteAddress }, 'a component is connected')
  }

  ready({ domain }: ComponentStream): void {
    this.#terms.privileges.get(domain)?.advertise()
  }

  stanza(stanza: Element, { domain }: ComponentStream): void | Promise<void> {
    const from = Jid.tryParse(stanza.get('from') ?? '')
    if (from?.domain !== domain) throw new StreamError('invalid-from', `you speak for ${domain} and its addresses`)
    this.#terms.stanzas.inc({ component: domain, direction: 'in' })
    const own = stanza.with({ from: from.toString() })
    const origin: Origin = { jid: from, reply: (answer) => void this.send(answer) }
    const privileged = this.#terms.privileges.get(domain)?.take(own)
    if (privileged !== undefined) return privileged
    if (stanza.get('to') !== undefined) return this.#terms.chat.receive(own, origin)
    const answer = errorReply(own, StanzaError.of('bad-request', 'stanzas of components need a to'))
    if (answer !== undefined) this.send(answer)
    return undefined
  }

  closed({ by, error }: CloseReason, { domain }: ComponentStream): void {
    const { desk, streams } = this.#terms
    const { links } = desk
    const { log, remoteAddress } = this.#connection
    const facts = { component: domain, remote: remoteAddress, by, why: error?.message }
    if (error instanceof StreamError && error.condition === 'internal-server-error')
      log.error({ ...facts, err: error.cause ?? error }, 'the stream failed')
    if (links.get(domain) === this) {
      links.delete(domain)
      log.info(facts, 'a component is gone')
    } else if (by === 'error') {
      // A name that is not ours is no label: there would be no end of them.
      streams.inc({ component: this.#terms.components.has(domain) ? domain : 'unknown', result: 'refused' })
      log.warn(facts, 'a component was refused')
    } else log.debug(facts, 'closed')
  }
}
