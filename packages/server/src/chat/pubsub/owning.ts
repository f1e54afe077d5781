// XEP-0060 §8: what owners do with nodes

import { el, type Element, escapeAttribute, Jid, StanzaError } from '@aviso/xmpp'
import { randomWord } from '../../kernel/random.ts'
import { AFFILIATIONS } from './access.ts'
import { configForm, configOf, fieldsOf } from './config-form.ts'
import { asked, pubsubError } from './errors.ts'
import { NODE_CONFIG, OWNER, PUBSUB } from './names.ts'
import { bounded, nodeNamed } from './payloads.ts'
import type { Answer, Happening, Place, Request } from './place.ts'
import type { Audience } from './rows.ts'
import { settle } from './subscribing.ts'

/** Subscriptions or affiliations that are changed at once. */
const MAX_CHANGES = 500

/** §8.1, with the configuration in the same request; without a name the node gets one (§8.1.2). */
export async function create(place: Place, request: Request, element: Element): Promise<Answer> {
  const given = element.get('node') ?? ''
  const node = given === '' ? randomWord(place.random, 20) : bounded(given)
  const configure = request.payload.child('configure')
  const fields = configure === undefined ? undefined : fieldsOf(configure, NODE_CONFIG)
  const config = { ...place.defaults, ...configOf(fields ?? [], place.limits) }
  const actor = await place.actor(request.from, node)
  await asked(place.nodes.create({ node, actor, config, limits: place.limits }))
  place.changed()
  return el('pubsub', { xmlns: PUBSUB }, el('create', { node }))
}

/** §8.3 */
export const getDefault = (place: Place): Answer =>
  el('pubsub', { xmlns: OWNER }, el('default', {}, configForm(place.defaults)))

/** §8.2.1 */
export async function getConfig(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const config = await asked(place.nodes.config({ node, actor: await place.actor(request.from, node) }))
  return el('pubsub', { xmlns: OWNER }, el('configure', { node }, configForm(config)))
}

/** §8.2.4 */
export async function configure(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const fields = fieldsOf(element, NODE_CONFIG)
  // A form that was cancelled changes nothing (§8.2.5.1).
  if (fields === undefined) {
    if (element.firstElement === undefined) throw StanzaError.of('bad-request', 'there is no form')
    return undefined
  }
  const changes = configOf(fields, place.limits)
  const actor = await place.actor(request.from, node)
  const audience = await asked(place.nodes.configure({ node, actor, changes, limits: place.limits }))
  place.changed()
  request.after(() => {
    const { config, name } = audience
    const xml = config.payloads ? configForm(config, 'result').toString() : ''
    const content = `<configuration node='${escapeAttribute(name)}'>${xml}</configuration>`
    place.happened({ audience, kind: 'configured', silent: !config.notifyConfig, content })
  })
  return undefined
}

const nameOnly = (kind: Happening['kind'], element: string, audience: Audience, silent: boolean): Happening => ({
  audience,
  kind,
  silent,
  content: `<${element} node='${escapeAttribute(audience.name)}'/>`,
})

/** §8.4 */
export async function remove(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const audience = await asked(place.nodes.delete({ node, actor: await place.actor(request.from, node) }))
  place.changed()
  request.after(() => place.happened(nameOnly('deleted', 'delete', audience, !audience.config.notifyDelete)))
  return undefined
}

/** §8.5 */
export async function purge(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const audience = await asked(place.nodes.purge({ node, actor: await place.actor(request.from, node) }))
  request.after(() => place.happened(nameOnly('purged', 'purge', audience, !audience.config.notifyRetract)))
  return undefined
}

/** The entries of a list that is to be changed, with their addresses. @throws StanzaError */
function entriesOf(element: Element, name: string): readonly { readonly jid: Jid; readonly entry: Element }[] {
  const entries = element.childrenNamed(name)
  if (entries.length === 0 || entries.length > MAX_CHANGES)
    throw StanzaError.of('bad-request', `from 1 to ${MAX_CHANGES} entries at a time`)
  return entries.map((entry) => {
    const jid = Jid.tryParse(entry.get('jid') ?? '')
    if (jid === undefined) throw pubsubError('bad-request', 'invalid-jid')
    return { jid, entry }
  })
}

/** §8.9.1 */
export async function getAffiliations(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const found = await asked(place.nodes.affiliations({ node, actor: await place.actor(request.from, node) }))
  return el(
    'pubsub',
    { xmlns: OWNER },
    el('affiliations', { node }, ...found.map(({ jid, affiliation }) => el('affiliation', { jid, affiliation }))),
  )
}

/** §8.9.2 */
export async function setAffiliations(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const changes = entriesOf(element, 'affiliation').map(({ jid, entry }) => {
    const affiliation = AFFILIATIONS.find((each) => each === entry.get('affiliation'))
    if (affiliation === undefined) throw StanzaError.of('bad-request', 'this affiliation is not known')
    // Who has the account owns its nodes.
    if (jid.bareString === place.jid.toString()) throw StanzaError.of('not-acceptable', 'the owner stays the owner')
    return { jid: jid.bareString, affiliation }
  })
  const actor = await place.actor(request.from, node)
  await asked(place.nodes.affiliate({ node, actor, changes, limits: place.limits }))
  return undefined
}

/** §8.8.1 */
export async function getSubscriptions(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const found = await asked(place.nodes.subscriptions({ node, actor: await place.actor(request.from, node) }))
  return el(
    'pubsub',
    { xmlns: OWNER },
    el(
      'subscriptions',
      { node },
      ...found.map(({ jid, subid, state }) => el('subscription', { jid, subid, subscription: state })),
    ),
  )
}

/** §8.8.2 */
export async function setSubscriptions(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const changes = entriesOf(element, 'subscription').map(({ jid, entry }) => {
    const state = entry.get('subscription')
    if (state !== 'none' && state !== 'pending' && state !== 'subscribed')
      throw StanzaError.of('bad-request', 'this subscription is not known')
    return { jid, state } as const
  })
  await settle(place, request, node, changes)
  return undefined
}
