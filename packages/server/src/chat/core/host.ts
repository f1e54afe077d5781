// One generation of chat, as one feature meets it.

import { type Element, Jid } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Host, StreamStage } from './contracts.ts'
import type { Core } from './core.ts'
import { hooksFor } from './points.ts'
import { probeFor, sendPresenceOf } from './presence.ts'
import { redeliver } from './redelivery.ts'
import { route } from './router.ts'

/** The features of a stream, being gathered. */
export interface StreamFeatureOffer {
  readonly stage: StreamStage
  readonly offers: Element[]
}

/** What a feature registers is taken off when `scope` closes. */
export function hostFor(core: Core, scope: Scope): Host {
  const { iq, disco, directory, commands, services, neighbours } = core
  return {
    hooks: hooksFor(core.points, scope),
    iq: {
      get: (xmlns, name, targets, handler) => scope.defer(iq.add('get', xmlns, name, targets, handler)),
      set: (xmlns, name, targets, handler) => scope.defer(iq.add('set', xmlns, name, targets, handler)),
      find: (type, target, payload) => iq.find(type, target, payload),
    },
    disco: disco.registrar(scope),
    described: disco,
    accounts: core.accounts,
    store: core.store,
    get current() {
      return core.successor === core
    },
    command: (command) => {
      if (commands.has(command.node)) throw new Error(`two features offer the command ${command.node}`)
      commands.set(command.node, command)
      scope.defer(() => void commands.delete(command.node))
    },
    commands: () => commands,
    serve: (name, service) => {
      const { domain } = Jid.parse(name)
      if (core.isServed(domain)) throw new Error(`${domain} is served already`)
      services.set(domain, service)
      scope.defer(() => void services.delete(domain))
    },
    serveBeside: (domain, neighbour) => {
      if (core.neighbours.has(domain)) throw new Error(`somebody answers beside the accounts of ${domain} already`)
      if (!core.accounts.isLocal(domain)) throw new Error(`${domain} has no accounts`)
      neighbours.set(domain, neighbour)
      scope.defer(() => void neighbours.delete(domain))
    },
    streamFeature: (offer) =>
      scope.defer(
        core.streamFeatureOffers.add(({ stage, offers }) => {
          const element = offer(stage)
          if (element !== undefined) offers.push(element)
          return undefined
        }),
      ),
    nonza: (xmlns, name, handler) => scope.defer(core.nonzaHandlers.add(xmlns, name, handler)),
    unbound: (xmlns, name, handler) => scope.defer(core.unboundHandlers.add(xmlns, name, handler)),
    early: (xmlns, name, handler) => scope.defer(core.earlyHandlers.add(xmlns, name, handler)),
    end: (session) => core.end(session),
    tellAway: (session) => core.successor.points.away.tell(session),
    tellResumed: (session) => core.successor.points.resumed.tell(session),
    redeliver: (account, stanzas) => redeliver(core.successor, account, stanzas),
    online: () => directory.accounts,
    sendPresence: (account, to, leaving) => sendPresenceOf(core, account, to, leaving),
    probe: (account, contact) => probeFor(core, account, contact),
    sessions: (bare) => directory.account(bare)?.sessions ?? [],
    maySeePresence: (account, viewer) => core.maySeePresence(account, viewer),
    route: async (stanza, origin) => route(core, origin, stanza),
    pass: (stanza, origin) => route(core, origin, stanza),
    tellMentioned: (event) => core.successor.points.mentioned.tell(event),
  }
}
