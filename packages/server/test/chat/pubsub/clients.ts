// Clients that say what they want to hear of, and what they are told.

import { el, type Element } from '@aviso/xmpp'
import { verification } from '../../../src/chat/features/capabilities.ts'
import type { House, Peer } from '../house.ts'

export const PUBSUB = 'http://jabber.org/protocol/pubsub'
export const OWNER = `${PUBSUB}#owner`
export const EVENT = `${PUBSUB}#event`
export const INFO = 'http://jabber.org/protocol/disco#info'
export const ITEMS = 'http://jabber.org/protocol/disco#items'

const NODE = 'https://client.example'

const infoOf = (nodes: readonly string[]) => ({
  identities: [{ category: 'client', type: 'pc', name: 'Test' }],
  features: [INFO, ...nodes.map((node) => `${node}+notify`)],
})

/** The presence of a client that wants these notifications. */
export const presenceWanting = (nodes: readonly string[], to?: string): string =>
  el(
    'presence',
    { to },
    el('c', { xmlns: 'http://jabber.org/protocol/caps', hash: 'sha-1', node: NODE, ver: verification(infoOf(nodes)) }),
  ).toString('jabber:client')

/** What such a client answers who asks it. */
export const described = (nodes: readonly string[], node: string | undefined): Element =>
  el(
    'query',
    { xmlns: INFO, node },
    ...infoOf(nodes).identities.map((identity) => el('identity', identity)),
    ...infoOf(nodes).features.map((feature) => el('feature', { var: feature })),
  )

/** The question what a client is; the answer to it. */
export function answerTo(question: Element, nodes: readonly string[]): Element {
  const { firstElement: query } = question
  if (question.name !== 'iq' || query?.xmlns !== INFO) throw new Error(`not asked, but told ${question.toString()}`)
  const [to, id] = [question.get('from'), question.get('id')]
  return el('iq', { type: 'result', to, id }, described(nodes, query.get('node')))
}

/** Logs in with a client that wants to hear of these nodes. Nobody was asked what it is where `known`. */
export async function arriveWanting(
  house: House,
  bare: string,
  resource: string,
  nodes: readonly string[],
  known = false,
): Promise<Peer> {
  const peer = await house.login(bare, resource)
  await peer.roster()
  peer.send(presenceWanting(nodes))
  if (!known) {
    let stanza = await peer.next()
    while (stanza.name !== 'iq') stanza = await peer.next()
    peer.send(answerTo(stanza, nodes).toString('jabber:client'))
  }
  await settled(peer)
  return peer
}

/** What the server does of itself is done a little later: behind some questions and answers. */
export async function settled(peer: Peer): Promise<void> {
  for (let round = 0; round < 6; round++) {
    await peer.sync()
    await new Promise(setImmediate)
  }
}

/** What a client was told of nodes: `from node id=payload`, retractions as `from node -id`. */
export async function told(peer: Peer): Promise<string[]> {
  await settled(peer)
  return peer.clear().flatMap(toldBy)
}

export function toldBy(message: Element): string[] {
  const event = message.child('event', EVENT)
  if (event === undefined) return []
  const from = message.get('from') ?? ''
  return event.elements.flatMap((element) => {
    const node = element.get('node') ?? ''
    if (element.name !== 'items') return [`${from} ${element.name} ${node}`]
    if (element.elements.length === 0) return [`${from} ${node}`]
    return element.elements.map((item) => {
      if (item.name === 'retract') return `${from} ${node} -${item.get('id')}`
      const publisher = item.get('publisher')
      const by = publisher === undefined ? '' : ` by ${publisher}`
      return `${from} ${node} ${item.get('id')}=${item.firstElement?.text() ?? ''}${by}`
    })
  })
}

export const payload = (text: string): string => `<note xmlns='urn:example:note'>${text}</note>`

/** `fields` by their short names. */
export const formOf = (type: string, fields: Readonly<Record<string, string | readonly string[]>>): string =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${PUBSUB}#${type}</value></field>${Object.entries(
    fields,
  )
    .map(
      ([name, values]) =>
        `<field var='${name.includes('#') ? name : `pubsub#${name}`}'>${[values]
          .flat()
          .map((value) => `<value>${value}</value>`)
          .join('')}</field>`,
    )
    .join('')}</x>`

export const publishing = (
  node: string,
  items: readonly (readonly [id: string, text: string])[],
  options?: Readonly<Record<string, string | readonly string[]>>,
): string =>
  `<pubsub xmlns='${PUBSUB}'><publish node='${node}'>${items
    .map(([id, text]) => `<item${id === '' ? '' : ` id='${id}'`}>${payload(text)}</item>`)
    .join('')}</publish>${
    options === undefined ? '' : `<publish-options>${formOf('publish-options', options)}</publish-options>`
  }</pubsub>`

export const publish = (
  peer: Peer,
  node: string,
  id: string,
  text: string,
  options?: Readonly<Record<string, string | readonly string[]>>,
  to?: string,
): Promise<Element> => peer.request('set', publishing(node, [[id, text]], options), to)

/** The items of a node as the peer sees them: `id=text`. */
export async function itemsOf(peer: Peer, node: string, to?: string, more = '', set = ''): Promise<string[]> {
  const result = await peer.request(
    'get',
    `<pubsub xmlns='${PUBSUB}'><items node='${node}'${more}/>${set}</pubsub>`,
    to,
  )
  const items = result.child('pubsub', PUBSUB)?.child('items')
  return (items?.elements ?? []).map((item) => {
    const publisher = item.get('publisher')
    return `${item.get('id')}=${item.firstElement?.text() ?? ''}${publisher === undefined ? '' : ` by ${publisher}`}`
  })
}

export const configure = (
  peer: Peer,
  node: string,
  fields: Readonly<Record<string, string | readonly string[]>>,
  to?: string,
): Promise<Element> =>
  peer.request(
    'set',
    `<pubsub xmlns='${OWNER}'><configure node='${node}'>${formOf('node_config', fields)}</configure></pubsub>`,
    to,
  )
