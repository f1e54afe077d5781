// One generation of chat, as one feature meets it.

import { type Element, Jid } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Host, StreamStage } from './contracts.ts'
import type { Core } from './core.ts'
import { Domains, isFor } from './domains.ts'
import { announce } from './intake.ts'
import { hooksFor } from './points.ts'
import { probeFor, sendPresenceOf } from './presence.ts'
import { redeliver } from './redelivery.ts'
import { changeRoster } from './roster-requests.ts'
import { route } from './router.ts'
import { suspend, wake } from './suspended.ts'

/** The features of a stream, being gathered. */
export interface StreamFeatureOffer {
  readonly stage: StreamStage
  readonly offers: Element[]
}

/** What a feature registers is taken off when `scope` closes. */
export function hostFor(core: Core, scope: Scope): Host {
  const { iq, disco, directory, commands, services, neighbours } = core
  const domains = scope.find(Domains)
  return {
    hooks: hooksFor(core.points, scope, domains),
    iq: {
      get: (xmlns, name, targets, handler) => scope.defer(iq.add('get', xmlns, name, targets, handler, domains)),
      set: (xmlns, name, targets, handler) => scope.defer(iq.add('set', xmlns, name, targets, handler, domains)),
      find: (type, target, payload, domain) => iq.find(type, target, payload, domain),
    },
    disco: disco.registrar(scope, domains),
    described: (domain) => disco.of(domain),
    covers: (domain) => core.isLocal(domain) && isFor(domains, domain),
    isServed: (domain) => core.isServed(domain),
    accounts: core.accounts,
    store: core.store,
    get current() {
      return core.successor === core
    },
    command: (command) => scope.defer(commands.add(command, domains)),
    commands: (domain) => commands.of(domain),
    serve: (name, service) => {
      const { domain } = Jid.parse(name)
      if (core.isServed(domain)) throw new Error(`${domain} is served already`)
      services.set(domain, service)
      scope.defer(() => void services.delete(domain))
    },
    serveBeside: (domain, neighbour) => {
      if (core.neighbours.has(domain)) throw new Error(`somebody answers beside the accounts of ${domain} already`)
      if (!core.isLocal(domain)) throw new Error(`${domain} has no accounts`)
      neighbours.set(domain, neighbour)
      scope.defer(() => void neighbours.delete(domain))
    },
    streamFeature: (offer) =>
      scope.defer(
        core.streamFeatureOffers.add(({ stage, offers }) => {
          const element = isFor(domains, stage.host) ? offer(stage) : undefined
          if (element !== undefined) offers.push(element)
          return undefined
        }),
      ),
    nonza: (xmlns, name, handler) => scope.defer(core.nonzaHandlers.add(xmlns, name, handler, domains)),
    unbound: (xmlns, name, handler) => scope.defer(core.unboundHandlers.add(xmlns, name, handler, domains)),
    early: (xmlns, name, handler) => scope.defer(core.earlyHandlers.add(xmlns, name, handler, domains)),
    inline: core.inline.host(scope, domains),
    end: (session) => core.end(session),
    tellAway: (session) => core.successor.points.away.tell(session),
    tellResumed: (session) => core.successor.points.resumed.tell(session),
    beginning: (act) => void core.beginnings.push(act),
    suspend: (session) => suspend(core, session),
    wake: (account, suspended) => wake(core, account, suspended),
    redeliver: (account, stanzas) => redeliver(core.successor, account, stanzas),
    online: () =>
      domains === undefined
        ? directory.accounts
        : [...directory.accounts].filter(({ account }) => domains.covers(account.domain)),
    sendPresence: (account, to, leaving) => sendPresenceOf(core, account, to, leaving),
    probe: (account, contact) => probeFor(core, account, contact),
    sessions: (bare) => directory.account(bare)?.sessions ?? [],
    maySeePresence: (account, viewer) => core.maySeePresence(account, viewer),
    rosterItem: (account, contact) => core.rosterItem(account, contact),
    changeRoster: (account, query) =>
      changeRoster(core.successor, account, query, { jid: Jid.of(account.local, account.domain), reply: () => {} }),
    presenceOf: (session) => core.presenceOf(session, session.account.bare).with({ to: undefined }),
    announce: (session) => announce(core.successor, session),
    offer: (key, value) => scope.defer(core.offers.add(key, value, domains)),
    find: (key, domain) => core.offers.all(key, domain).at(-1),
    all: (key, domain) => core.offers.all(key, domain),
    route: async (stanza, origin) => route(core, origin, stanza),
    pass: (stanza, origin) => route(core, origin, stanza),
    tellMentioned: (event) => core.successor.points.mentioned.tell(event),
  }
}
