// XEP-0215: External Service Discovery

import { el, type Element, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { type ExternalService, externalService, relayConfig } from '../relay/config.ts'
import { Relay, relays, type Ticket } from '../relay/relay.ts'

/** The older one is what some clients still ask for. */
const VERSIONS = ['urn:xmpp:extdisco:2', 'urn:xmpp:extdisco:1'] as const

/** A service with what lets the one who asks in. */
interface Offer extends ExternalService {
  readonly ticket?: Ticket | undefined
}

export const externalServices = chatFeature({
  name: 'external-services',
  summary: 'Tells clients where a relay for calls (TURN) and other services are, and gives tickets for them.',
  config: v.strictObject({
    relay: v.optional(
      v.pipe(
        relayConfig,
        v.description('the relay for calls; `aviso turn config` prints a configuration of coturn for it'),
      ),
    ),
    services: v.optional(v.pipe(v.array(externalService), v.description('other services')), []),
  }),

  attach(host, { relay: settings, services }, scope) {
    const relay = settings && new Relay(scope, settings)
    if (relay !== undefined) scope.defer(scope.use(relays).enter(relay, (domain) => host.covers(domain)))
    else if (services.length === 0) return

    const offers = async ({ id }: Account): Promise<readonly Offer[]> => {
      const ticket = await relay?.ticket(id)
      return [
        ...(relay?.services ?? []).map((service) => (service.type === 'stun' ? service : { ...service, ticket })),
        ...services,
      ]
    }

    for (const xmlns of VERSIONS) {
      host.disco.feature(xmlns)
      host.iq.get(xmlns, 'services', ['host'], async (iq) => {
        const type = iq.payload.get('type')
        const found = (await offers(asker(iq))).filter((offer) => type === undefined || offer.type === type)
        return iq.result(el('services', { xmlns, type }, ...found.map(described)))
      })
      // §3.3
      host.iq.get(xmlns, 'credentials', ['host'], async (iq) => {
        const wanted = iq.payload.child('service') ?? iq.payload
        const {
          host: where,
          type,
          port,
        } = { host: wanted.get('host'), type: wanted.get('type'), port: wanted.get('port') }
        if (where === undefined || type === undefined)
          throw StanzaError.of('bad-request', 'name the host and the type of the service')
        const found = (await offers(asker(iq))).filter(
          (offer) => offer.host === where && offer.type === type && (port === undefined || String(offer.port) === port),
        )
        if (found.length === 0) throw StanzaError.of('item-not-found')
        return iq.result(el('credentials', { xmlns }, ...found.map(described)))
      })
    }
  },
})

/** Tickets are for accounts of ours. */
function asker({ origin }: IqRequest): Account {
  const account = origin.session?.account.account
  if (account === undefined) throw StanzaError.of('forbidden')
  return account
}

const described = ({ type, host, port, transport, name, ticket, ...fixed }: Offer): Element => {
  const { username, password } = ticket ?? fixed
  return el('service', {
    type,
    host,
    port,
    transport,
    name,
    username,
    password,
    restricted: username === undefined ? undefined : 'true',
    expires: ticket === undefined ? undefined : new Date(ticket.expires).toISOString(),
  })
}
