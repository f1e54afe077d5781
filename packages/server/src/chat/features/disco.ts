// XEP-0030: Service Discovery, and the server's own capabilities (XEP-0115, XEP-0390)

import { el, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Role } from '../../accounts/contracts.ts'
import { GUEST } from '../../accounts/roles.ts'
import { chatFeature, type DiscoInfo, type DiscoNode, type DiscoSubject, type IqRequest } from '../core/contracts.ts'
import { description, listing } from '../core/disco.ts'
import { CAPS, CAPS2, hashes, verification } from './capabilities.ts'

/** What a domain is described by, in one hash of each kind. */
interface Capabilities {
  readonly revision: number
  readonly ver: string
  readonly hashes: ReadonlyMap<string, string>
}

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
    host.disco.identity({ category: 'server', type: 'im', name: config.name })
    host.disco.feature(NS.discoInfo, BOTH)
    host.disco.feature(NS.discoItems, BOTH)
    host.disco.feature(CAPS)
    host.disco.feature(CAPS2)
    for (const { jid, name } of config.items) host.disco.item(name === undefined ? { jid } : { jid, name })

    const ofHost = (domain: string): DiscoInfo => {
      const described = host.described(domain)
      return {
        identities: described.identities('host'),
        features: described.features('host'),
        forms: described.forms(),
      }
    }
    const ofAccount = (domain: string, role: Role | undefined): DiscoInfo => {
      const described = host.described(domain)
      // XEP-0175 §4
      const type = role === GUEST ? 'anonymous' : 'registered'
      const identities = [{ category: 'account', type }, ...described.identities('account')]
      return { identities, features: described.features('account') }
    }
    /** By domain; of ours there are few. */
    const known = new Map<string, Capabilities>()
    const capabilities = (domain: string): Capabilities => {
      const { revision } = host.described(domain)
      const before = known.get(domain)
      if (before?.revision === revision) return before
      const info = ofHost(domain)
      const now = { revision, ver: verification(info), hashes: hashes(info) }
      known.set(domain, now)
      return now
    }
    const nodeOf = (domain: string): string => `https://${domain}`

    host.streamFeature((stage) =>
      el('c', { xmlns: CAPS, hash: 'sha-1', node: nodeOf(stage.host), ver: capabilities(stage.host).ver }),
    )
    host.streamFeature((stage) =>
      el(
        'c',
        { xmlns: CAPS2 },
        ...[...capabilities(stage.host).hashes].map(([algo, hash]) =>
          el('hash', { xmlns: 'urn:xmpp:hashes:2', algo }, hash),
        ),
      ),
    )

    const isCapability = (node: string, domain: string): boolean =>
      node === `${nodeOf(domain)}#${capabilities(domain).ver}` ||
      [...capabilities(domain).hashes].some(([algo, hash]) => node === `${CAPS2}#${algo}.${hash}`)

    host.iq.get(NS.discoInfo, 'query', ['host'], async (iq) => {
      const node = iq.payload.get('node')
      if (node === undefined || isCapability(node, iq.to.domain))
        return iq.result(description(ofHost(iq.to.domain), node))
      return iq.result(description(await nodeNamed(node, iq).info(iq), node))
    })
    host.iq.get(NS.discoItems, 'query', ['host'], async (iq) => {
      const node = iq.payload.get('node')
      return iq.result(
        listing(node === undefined ? host.described(iq.to.domain).items() : await nodeNamed(node, iq).items(iq), node),
      )
    })
    const nodeNamed = (name: string, { to }: IqRequest) => {
      const node = host.described(to.domain).node(name)
      if (node === undefined) throw StanzaError.of('item-not-found')
      return node
    }

    /** XEP-0030 §8: what exists is nobody's business who may not see the account's presence. */
    const mustBeFriend = async ({ account, from }: IqRequest): Promise<void> => {
      if (account === undefined || !(await host.maySeePresence(account, from)))
        throw StanzaError.of('service-unavailable')
    }
    /** A node of the account's, if one is asked for. Some may be known to everybody. */
    const accountNode = async (iq: IqRequest): Promise<DiscoNode | undefined> => {
      const name = iq.payload.get('node')
      const node = name === undefined ? undefined : host.described(iq.to.domain).accountNodes()?.node(name)
      if (node !== undefined) return node
      await mustBeFriend(iq)
      if (name !== undefined) throw StanzaError.of('item-not-found')
      return undefined
    }
    host.iq.get(NS.discoInfo, 'query', ['account'], async (iq) => {
      const node = await accountNode(iq)
      if (node !== undefined) return iq.result(description(await node.info(iq), iq.payload.get('node')))
      return iq.result(description(ofAccount(iq.to.domain, iq.account?.role)))
    })
    host.iq.get(NS.discoItems, 'query', ['account'], async (iq) => {
      const node = await accountNode(iq)
      if (node !== undefined) return iq.result(listing(await node.items(iq), iq.payload.get('node')))
      return iq.result(listing((await host.described(iq.to.domain).accountNodes()?.list(iq)) ?? []))
    })
  },
})
