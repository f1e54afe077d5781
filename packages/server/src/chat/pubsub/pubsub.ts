// XEP-0060: Publish-Subscribe, as a service on a domain of its own

import { createHash } from 'node:crypto'
import { el, Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { accountRooms } from '../../accounts/rooms.ts'
import { chatFeature } from '../core/contracts.ts'
import { openService, openServices, serviceDomain } from '../core/service.ts'
import { infoOfNode, itemsOfNode, listOfNodes } from './discovery.ts'
import { limitSettings, placeLimits } from './limits.ts'
import { OWNER, PUBSUB } from './names.ts'
import { serviceNodesStore } from './nodes.store.ts'
import { FEATURES, respond } from './requests.ts'
import { ServicePlace, type ServiceRules } from './service-place.ts'
import { authorize, isAuthorization } from './subscribing.ts'

export const pubsub = chatFeature({
  name: 'pubsub',
  summary: 'A service where programs and people publish news, and others subscribe to them. Off unless it is named.',
  config: v.strictObject({
    domain: serviceDomain('pubsub.{domain}', 'where the service is'),
    name: v.optional(v.pipe(v.string(), v.description('its name, as clients show it')), 'News'),
    create: v.optional(
      v.pipe(
        v.picklist(['admin', 'user', 'anybody']),
        v.description('who may make nodes: administrators, accounts of the role user, or people of other servers too'),
      ),
      'admin',
    ),
    owners: v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.check((text) => Jid.tryParse(text)?.isBare === true, 'expected an address'),
          ),
        ),
        v.description('addresses that own the service and all its nodes, besides administrators'),
      ),
      [],
    ),
    'auto-create': v.optional(
      v.pipe(v.boolean(), v.description('who may make nodes does so by publishing to one that is not there')),
      false,
    ),
    'expose-publisher': v.optional(
      v.pipe(v.boolean(), v.description('tell with each item who has published it, whatever the node says')),
      false,
    ),
    ...limitSettings({
      nodes: 1000,
      nodesOf: 'how many nodes there may be',
      octets: '256MiB',
      octetsOf: 'how big all items of the service may be together',
      members: 10_000,
    }),
  }),

  attach(host, config, outer) {
    const rules: ServiceRules = {
      limits: placeLimits(config),
      create: config.create,
      autoCreate: config['auto-create'],
      exposePublisher: config['expose-publisher'],
      owners: new Set(config.owners.map((owner) => Jid.parse(owner).toString())),
    }

    return openServices(outer, config.domain, (where, scope) => {
      const service = openService(scope, {
        ...where,
        name: config.name,
        identities: [{ category: 'pubsub', type: 'service' }],
        async message({ stanza, origin, to }) {
          const type = stanza.get('type')
          if (type === 'error' || type === 'headline') return
          if (to.local !== '' || !isAuthorization(stanza)) throw StanzaError.of('service-unavailable')
          await authorize(place, origin.jid, stanza)
        },
        presence({ stanza, origin }) {
          // Its presence is nobody's: who subscribes to it has mistaken it for a person.
          if (stanza.get('type') === 'subscribe')
            service.send(el('presence', { type: 'unsubscribed', from: where.domain, to: origin.jid.bareString }))
        },
        info: (iq, node) => (iq.to.local === '' && node !== undefined ? infoOfNode(place, iq, node) : undefined),
        items: async (iq, node) => {
          if (iq.to.local !== '') return undefined
          return { items: await (node === undefined ? listOfNodes(place, iq) : itemsOfNode(place, iq, node)) }
        },
      })
      const nodes = host.store.service(serviceNodesStore, databaseOf(where.domain))
      const place = new ServicePlace(host, scope, service, nodes, rules)
      const rooms = scope.find(accountRooms)
      if (rooms !== undefined)
        scope.defer(
          rooms.register({
            name: `pubsub ${where.domain}`,
            create: async () => {},
            erase: (account) => nodes.forgetSomebody({ jid: account.address }),
          }),
        )
      service.disco.feature(PUBSUB)
      for (const feature of FEATURES) service.disco.feature(feature)
      if (rules.autoCreate) service.disco.feature(`${PUBSUB}#auto-create`)
      for (const xmlns of [PUBSUB, OWNER])
        for (const type of ['get', 'set'] as const)
          service.iq[type](xmlns, 'pubsub', ['service'], async (iq) =>
            iq.result(await respond(place, iq, type, scope.clock.now())),
          )
    })
  },
})

/** A name for the database that any domain can have. */
const databaseOf = (domain: string): string =>
  `pubsub-${createHash('sha256').update(domain).digest('hex').slice(0, 40)}`
