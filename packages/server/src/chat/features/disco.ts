// XEP-0030: Service Discovery, and the server's own XEP-0115: Entity Capabilities

import { createHash } from 'node:crypto'
import { el, type Element, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature, type DiscoFacts, type DiscoSubject, type IqRequest } from '../core/contracts.ts'

const CAPS = 'http://jabber.org/protocol/caps'
const BOTH: readonly DiscoSubject[] = ['host', 'account']

export const disco = chatFeature({
  name: 'disco',
  summary: 'Tells clients what the server and its accounts are and can do.',
  config: v.strictObject({
    name: v.optional(v.pipe(v.string(), v.description('the name of the server, as clients show it')), 'Aviso'),
    items: v.optional(
      v.pipe(
        v.array(v.strictObject({ jid: v.string(), name: v.optional(v.string()) })),
        v.description('further services to be found here: rooms, gateways ...'),
      ),
      [],
    ),
  }),

  attach(host, config) {
    const { described } = host
    host.disco.identity({ category: 'server', type: 'im', name: config.name })
    host.disco.identity({ category: 'account', type: 'registered' }, ['account'])
    host.disco.feature(NS.discoInfo, BOTH)
    host.disco.feature(NS.discoItems, BOTH)
    host.disco.feature(CAPS)
    for (const { jid, name } of config.items) host.disco.item(name === undefined ? { jid } : { jid, name })

    let known = { revision: -1, ver: '' }
    const ver = (): string => {
      if (known.revision !== described.revision)
        known = { revision: described.revision, ver: capabilities(described, 'host') }
      return known.ver
    }
    const nodeOf = (domain: string): string => `https://${domain}`

    host.streamFeature((stage) => el('c', { xmlns: CAPS, hash: 'sha-1', node: nodeOf(stage.host), ver: ver() }))

    host.iq.get(NS.discoInfo, 'query', ['host'], (iq) => {
      const node = iq.payload.get('node')
      if (node !== undefined && node !== `${nodeOf(iq.to.domain)}#${ver()}`) throw StanzaError.of('item-not-found')
      return iq.result(description(described, 'host', node))
    })
    host.iq.get(NS.discoItems, 'query', ['host'], (iq) => {
      const node = iq.payload.get('node')
      if (node !== undefined) throw StanzaError.of('item-not-found')
      const items = described.items().map((item) => el('item', { ...item }))
      return iq.result(el('query', { xmlns: NS.discoItems }, ...items))
    })

    /** XEP-0030 §8: what exists is nobody's business who may not see the account's presence. */
    const mustBeFriend = async ({ account, from, payload }: IqRequest): Promise<void> => {
      if (account === undefined || !(await host.maySeePresence(account, from)))
        throw StanzaError.of('service-unavailable')
      if (payload.get('node') !== undefined) throw StanzaError.of('item-not-found')
    }
    host.iq.get(NS.discoInfo, 'query', ['account'], async (iq) => {
      await mustBeFriend(iq)
      return iq.result(description(described, 'account'))
    })
    host.iq.get(NS.discoItems, 'query', ['account'], async (iq) => {
      await mustBeFriend(iq)
      return iq.result(el('query', { xmlns: NS.discoItems }))
    })
  },
})

function description(facts: DiscoFacts, subject: DiscoSubject, node?: string): Element {
  return el(
    'query',
    { xmlns: NS.discoInfo, node },
    ...facts.identities(subject).map(({ category, type, name }) => el('identity', { category, type, name })),
    ...facts.features(subject).map((feature) => el('feature', { var: feature })),
  )
}

/** The verification string of XEP-0115 §5.1. */
function capabilities(facts: DiscoFacts, subject: DiscoSubject): string {
  const identities = facts.identities(subject).map(({ category, type, name }) => `${category}/${type}//${name ?? ''}<`)
  const features = facts.features(subject).map((feature) => `${feature}<`)
  return createHash('sha1')
    .update([...identities.sort(), ...features.sort()].join(''))
    .digest('base64')
}
