// What every service of ours on a domain of its own needs (rooms, publish-subscribe): its requests, what is to be found at it (XEP-0030), and its voice.

import { el, type Element, errorReply, Jid, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Scope } from '../../kernel/scope.ts'
import {
  Chat,
  type Disco,
  type DiscoFacts,
  type DiscoIdentity,
  type DiscoInfo,
  type DiscoItem,
  type Handled,
  type Host,
  type IqHandlers,
  type IqRequest,
  type Origin,
  type StanzaEvent,
} from './contracts.ts'
import { description, DiscoRegistry, listing } from './disco.ts'
import { answerRequest, IqRegistry, isRequest, payloadOf } from './iq.ts'
import { asStanzaError } from './subscribing.ts'

const VCARD = 'vcard-temp'

/**
 * Where a service is: at `domain`, found among the disco items of `parent` (of all our domains where there is none). Where they are the same it has the addresses that no account has;
 * what is for the domain itself the host answers then.
 */
export interface ServicePlace {
  readonly domain: string
  readonly parent: string | undefined
}

/** A page of what is to be found at an address. */
export interface DiscoPage {
  readonly items: readonly DiscoItem[]
  /** Which part of a longer list this is (XEP-0059). */
  readonly set?: Element | undefined
}

/** What a service is and does. Whatever one of the functions throws or rejects with is told to the sender. */
export interface ServiceOptions extends ServicePlace {
  /** As clients show it. */
  readonly name: string
  /** What it is; it gets the service's name. */
  readonly identities: readonly Omit<DiscoIdentity, 'name'>[]
  /** A message for the domain or an address in it, errors included. */
  message(event: StanzaEvent): void | Promise<void>
  /** A presence for the domain or an address in it, errors included. */
  presence(event: StanzaEvent): void | Promise<void>
  /** Asked first about each IQ, results and errors included; undefined: it is answered by those who registered for it. */
  iq?(event: StanzaEvent): Handled | undefined
  /** Where it shares a domain with accounts: true for a stanza that is for it, though it is for no account. All are where this is undefined. */
  has?(event: StanzaEvent): boolean | Promise<boolean>
  /** Describes an address, or a node that nobody registered; item-not-found where this is undefined or answers undefined. */
  info?(iq: IqRequest, node: string | undefined): DiscoInfo | undefined | Promise<DiscoInfo | undefined>
  /** What is to be found at the domain itself (beside what was registered), at an address, or at a node that nobody registered; as with `info`. */
  items?(iq: IqRequest, node: string | undefined): DiscoPage | undefined | Promise<DiscoPage | undefined>
}

/** A service that is served. */
export interface ServiceDomain extends ServicePlace {
  readonly jid: Jid
  /** Requests to it: the target `service` is the domain, `address` the addresses in it without a resource. What the host answers for services, it answers beside. */
  readonly iq: IqHandlers
  /** What is told of the domain (subject `service`); items and nodes of it. */
  readonly disco: Disco
  /** An address of the service as a sender; what cannot be delivered comes back to the service, as from the one it was for. */
  origin(from: Jid): Origin
  /**
   * Sends a stanza whose `from` is an address of the service; `origin`: that address as a sender, made before by who sends much. What cannot be delivered comes back to the service
   * as an error stanza, later than this returns.
   */
  send(stanza: Element, origin?: Origin): void
}

/** Serves a domain until `scope` closes. Throws where somebody serves it already. */
export function openService(scope: Scope, options: ServiceOptions): ServiceDomain {
  const host = scope.use(Chat).host(scope)
  const { domain, parent, name } = options
  const beside = domain === parent
  const iq = new IqRegistry()
  const disco = new DiscoRegistry()
  const take = (event: StanzaEvent): void | Promise<void> => {
    if (event.stanza.name === 'message') return options.message(event)
    if (event.stanza.name === 'presence') return options.presence(event)
    const handled = options.iq?.(event)
    if (handled !== undefined) return handled === 'handled' ? undefined : handled
    return answer(host, iq, options, event)
  }
  const service: ServiceDomain = {
    domain,
    parent,
    jid: Jid.of('', domain),
    iq: {
      get: (xmlns, element, targets, handler) => scope.defer(iq.add('get', xmlns, element, targets, handler)),
      set: (xmlns, element, targets, handler) => scope.defer(iq.add('set', xmlns, element, targets, handler)),
      find: (type, target, payload) => iq.find(type, target, payload, domain),
    },
    disco: disco.registrar(scope, undefined, SERVICE),
    origin: (from) => ({ jid: from, reply: (stanza) => returned(scope, take, stanza) }),
    send(stanza, origin = service.origin(Jid.parse(stanza.get('from') ?? domain))) {
      const failed = (error: unknown): void => {
        const known = asStanzaError(error)
        if (!(known instanceof StanzaError)) scope.log.error({ err: error, domain }, `a ${stanza.name} was not sent`)
        const refusal = known instanceof StanzaError ? known : StanzaError.of('internal-server-error')
        const reply = errorReply(stanza, refusal)
        if (reply !== undefined) origin.reply(reply)
      }
      try {
        host.pass(stanza, origin)?.catch(failed)
      } catch (error) {
        failed(error)
      }
    },
  }
  if (beside) host.serveBeside(domain, { has: (event) => options.has?.(event) ?? true, service: take })
  else {
    host.serve(domain, take)
    host.disco.item({ jid: domain, name }, parent)
  }
  for (const identity of options.identities) service.disco.identity({ ...identity, name })
  for (const feature of [NS.discoInfo, NS.discoItems, VCARD]) service.disco.feature(feature)
  service.iq.get(VCARD, 'vCard', ['service'], (request) =>
    request.result(el('vCard', { xmlns: VCARD }, el('FN', {}, name))),
  )
  describe(service, host, disco, options)
  return service
}

const SERVICE = ['service'] as const

/** What the host says of services, where this one is. */
const hostOf = (host: Host, { parent, domain }: ServicePlace): DiscoFacts => host.described(parent ?? domain)

/** The requests of disco. */
function describe(service: ServiceDomain, host: Host, disco: DiscoRegistry, options: ServiceOptions): void {
  service.iq.get(NS.discoInfo, 'query', ['service', 'address'], async (iq) => {
    const node = iq.payload.get('node')
    if (iq.to.local === '' && node === undefined) {
      const said = disco.of(options.domain)
      const features = new Set([...said.features('service'), ...hostOf(host, options).features('service')])
      const info = { identities: said.identities('service'), features: [...features], forms: said.forms() }
      return iq.result(description(info))
    }
    const known = iq.to.local === '' && node !== undefined ? disco.of(options.domain).node(node) : undefined
    const info = known === undefined ? await options.info?.(iq, node) : await known.info(iq)
    if (info === undefined) throw StanzaError.of('item-not-found')
    return iq.result(description(info, node))
  })
  service.iq.get(NS.discoItems, 'query', ['service', 'address'], async (iq) => {
    const node = iq.payload.get('node')
    const known = iq.to.local === '' && node !== undefined ? disco.of(options.domain).node(node) : undefined
    if (known !== undefined) return iq.result(listing(await known.items(iq), node))
    const page = await options.items?.(iq, node)
    if (iq.to.local === '' && node === undefined)
      return iq.result(listing([...disco.of(options.domain).items(), ...(page?.items ?? [])], node, page?.set))
    if (page === undefined) throw StanzaError.of('item-not-found')
    return iq.result(listing(page.items, node, page.set))
  })
}

/** An IQ for the domain or an address in it. Whoever has a resource at a service is a matter of the service's own. */
function answer(
  host: Host,
  iq: IqRegistry,
  { domain, parent }: ServicePlace,
  event: StanzaEvent,
): void | Promise<void> {
  const { stanza, to } = event
  if (!isRequest(stanza)) return undefined
  const payload = payloadOf(stanza)
  const type = stanza.get('type') === 'get' ? 'get' : 'set'
  const target = to.local === '' ? 'service' : 'address'
  const handler = to.isFull
    ? undefined
    : (iq.find(type, target, payload, domain) ?? host.iq.find(type, target, payload, parent ?? domain))
  if (handler === undefined) throw StanzaError.of('service-unavailable')
  return answerRequest(event, undefined, handler)
}

/** What comes back to the service, in a later turn: it is not disturbed while it sends to many. */
function returned(scope: Scope, take: (event: StanzaEvent) => void | Promise<void>, stanza: Element): void {
  const jid = Jid.tryParse(stanza.get('from') ?? '')
  const to = Jid.tryParse(stanza.get('to') ?? '')
  if (jid === undefined || to === undefined) return
  void Promise.resolve()
    .then(() => (scope.signal.aborted ? undefined : take({ stanza, to, origin: { jid, reply: () => {} } })))
    .catch((error: unknown) => {
      if (!(asStanzaError(error) instanceof StanzaError))
        scope.log.error({ err: error, from: jid.toString() }, `an answer could not be handled`)
    })
}

/** The setting where a service is; `{domain}` stands for each of our domains. */
export const serviceDomain = (usual: string, what: string) =>
  v.optional(
    v.pipe(
      v.string(),
      v.check(
        (text) =>
          Jid.tryParse(text.replaceAll(DOMAIN, 'example.org'))?.toString() === text.replaceAll(DOMAIN, 'example.org') &&
          !/[@/]/.test(text),
        `expected a domain such as ${usual}`,
      ),
      v.description(`${what}; {domain} stands for each domain of accounts`),
    ),
    usual,
  )

const DOMAIN = '{domain}'

/**
 * Opens a service for each place that a setting of `serviceDomain` names, now and when domains of accounts come; it goes with `scope` or with its domain. What `open` throws now,
 * passes through; later, it is logged.
 */
export async function openServices(
  scope: Scope,
  setting: string,
  open: (place: ServicePlace, scope: Scope) => void | Promise<void>,
): Promise<void> {
  if (!setting.includes(DOMAIN)) return open({ domain: setting, parent: undefined }, scope)
  const host = scope.use(Chat).host(scope)
  const domainsNow = (): readonly string[] => host.accounts.domains().filter((domain) => host.covers(domain))
  const opened = new Map<string, Scope>()
  const openAt = async (parent: string): Promise<void> => {
    const child = scope.child(parent)
    opened.set(parent, child)
    try {
      await open({ domain: setting.replaceAll(DOMAIN, parent), parent }, child)
    } catch (error) {
      opened.delete(parent)
      await child.close()
      throw error
    }
  }
  for (const parent of domainsNow()) await openAt(parent)
  /** One change after the other. */
  let changing = Promise.resolve()
  const follow = async (): Promise<void> => {
    if (scope.signal.aborted) return
    const domains = new Set(domainsNow())
    for (const [parent, child] of opened)
      if (!domains.has(parent)) {
        opened.delete(parent)
        await child.close()
      }
    for (const parent of domains) {
      if (opened.has(parent) || scope.signal.aborted) continue
      await openAt(parent).catch((error: unknown) =>
        scope.log.error({ err: error, domain: parent }, 'a service of a new domain could not be opened'),
      )
    }
  }
  scope.defer(
    host.accounts.watch(({ kind }) => {
      if (kind === 'domains') changing = changing.then(follow)
    }),
  )
}
