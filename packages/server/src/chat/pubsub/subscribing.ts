// XEP-0060 §5.6, §5.7, §6: subscriptions and affiliations, as seen by who has them

import { el, type Element, Jid, StanzaError } from '@aviso/xmpp'
import { randomWord } from '../../kernel/random.ts'
import { form, FORMS, Submission } from '../core/forms.ts'
import { fieldsOf, optionsForm, optionsOf } from './config-form.ts'
import { asked, pubsubError } from './errors.ts'
import { EVENT, PUBSUB, SUBSCRIBE_AUTHORIZATION, SUBSCRIBE_OPTIONS } from './names.ts'
import { bounded, nodeNamed } from './payloads.ts'
import type { Answer, Place, Request } from './place.ts'
import type { Subscription } from './rows.ts'
import { lastItemMessage } from './notifying.ts'

/** Whose subscription is meant: that of the sender, or of one of his resources (§6.1.3.1). @throws StanzaError */
function ownJid(element: Element, from: Jid): Jid {
  const text = element.get('jid')
  if (text === undefined) throw pubsubError('bad-request', 'jid-required')
  const jid = Jid.tryParse(text)
  if (jid === undefined || jid.bareString !== from.bareString) throw pubsubError('bad-request', 'invalid-jid')
  return jid
}

export const subscriptionElement = (node: string, { jid, subid, state }: Subscription): Element =>
  el('subscription', { node, jid, subid, subscription: state })

/** §6.1, with options in the same request (§6.3.7) */
export async function subscribe(place: Place, request: Request, element: Element, now: number): Promise<Answer> {
  const node = nodeNamed(element)
  const jid = ownJid(element, request.from)
  const given = request.payload.child('options')
  const fields = given === undefined ? undefined : fieldsOf(given, SUBSCRIBE_OPTIONS)
  const options = { deliver: true, expires: 0, ...optionsOf(fields ?? [], now) }
  const actor = await place.actor(request.from, node)
  const wanted = { jid: jid.toString(), subid: randomWord(place.random, 12), ...options }
  const done = await asked(place.nodes.subscribe({ node, actor, wanted, limits: place.limits }))
  const { subscription, last } = done
  request.after(() => {
    for (const owner of done.ask) place.tell(owner, 'normal', [authorizationForm(node, subscription)])
    if (last !== undefined && subscription.deliver) lastItemMessage(place, done.node, last, subscription.jid)
  })
  return el('pubsub', { xmlns: PUBSUB }, subscriptionElement(node, subscription))
}

/** §8.6: what owners are asked. */
const authorizationForm = (node: string, { jid, subid }: Subscription): Element =>
  form({ title: 'Subscription request', formType: SUBSCRIBE_AUTHORIZATION }, [
    { name: 'pubsub#subid', type: 'hidden', values: [subid] },
    { name: 'pubsub#node', type: 'text-single', label: 'Node', values: [node] },
    { name: 'pubsub#subscriber_jid', type: 'jid-single', label: 'Who asks', values: [jid] },
    { name: 'pubsub#allow', type: 'boolean', label: 'Allow the subscription?', values: ['0'] },
  ])

/** The form in which an owner answers; undefined where the message has none. */
const authorizationIn = (message: Element): Element | undefined => {
  const x = message.child('x', FORMS)
  return x?.get('type') === 'submit' && new Submission(x).formType === SUBSCRIBE_AUTHORIZATION ? x : undefined
}

export const isAuthorization = (message: Element): boolean => authorizationIn(message) !== undefined

/** §8.6: an owner's answer. @throws StanzaError, also where he is none */
export async function authorize(place: Place, from: Jid, message: Element): Promise<void> {
  const x = authorizationIn(message)
  if (x === undefined) return
  const filled = new Submission(x)
  const node = bounded(filled.text('pubsub#node') ?? '')
  const jid = Jid.tryParse(filled.text('pubsub#subscriber_jid') ?? '')
  if (jid === undefined) throw StanzaError.of('bad-request', 'whose subscription is it?')
  const actor = await place.actor(from, node)
  const subscriptions = await asked(place.nodes.subscriptions({ node, actor }))
  // Another owner may have answered before.
  if (!subscriptions.some((each) => each.jid === jid.toString() && each.state === 'pending')) return
  const state = filled.flag('pubsub#allow') ? 'subscribed' : 'none'
  await settle(place, { from, payload: message, after: (act) => act() }, node, [{ jid, state }])
}

/** What an owner makes of subscriptions: those whose state has changed are told (§8.8.4). */
export async function settle(
  place: Place,
  request: Request,
  node: string,
  changes: readonly { readonly jid: Jid; readonly state: Subscription['state'] | 'none' }[],
): Promise<void> {
  const actor = await place.actor(request.from, node)
  const changed = await asked(
    place.nodes.settle({
      node,
      actor,
      changes: changes.map(({ jid, state }) => ({
        jid: jid.toString(),
        bare: jid.bareString,
        subid: randomWord(place.random, 12),
        state,
      })),
      limits: place.limits,
    }),
  )
  request.after(() => {
    for (const { jid, subid, state } of changed)
      place.tell(jid, 'headline', [
        el(
          'event',
          { xmlns: EVENT },
          el('subscription', { node, jid, subid: state === 'none' ? undefined : subid, subscription: state }),
        ),
      ])
  })
}

/** §6.2 */
export async function unsubscribe(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const jid = ownJid(element, request.from).toString()
  const actor = await place.actor(request.from, node)
  await asked(place.nodes.unsubscribe({ node, actor, jid, subid: element.get('subid') }))
  return undefined
}

/** §6.3.2 */
export async function getOptions(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = nodeNamed(element)
  const jid = ownJid(element, request.from).toString()
  const actor = await place.actor(request.from, node)
  const subscription = await asked(place.nodes.options({ node, actor, jid, subid: element.get('subid') }))
  return el(
    'pubsub',
    { xmlns: PUBSUB },
    el('options', { node, jid, subid: subscription.subid }, optionsForm(subscription)),
  )
}

/** §6.3.5 */
export async function setOptions(place: Place, request: Request, element: Element, now: number): Promise<Answer> {
  const node = nodeNamed(element)
  const jid = ownJid(element, request.from).toString()
  const fields = fieldsOf(element, SUBSCRIBE_OPTIONS)
  if (fields === undefined) throw pubsubError('bad-request', 'invalid-options', 'there is no form')
  const options = optionsOf(fields, now)
  const actor = await place.actor(request.from, node)
  await asked(place.nodes.setOptions({ node, actor, jid, subid: element.get('subid'), options }))
  return undefined
}

/** §5.6 */
export async function mySubscriptions(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = element.get('node')
  const found = await place.nodes.mySubscriptions({ jid: request.from.bareString, node })
  return el(
    'pubsub',
    { xmlns: PUBSUB },
    el('subscriptions', { node }, ...found.map((each) => subscriptionElement(each.node, each))),
  )
}

/** §5.7 */
export async function myAffiliations(place: Place, request: Request, element: Element): Promise<Answer> {
  const node = element.get('node')
  const found = await place.nodes.myAffiliations({ jid: request.from.bareString, node })
  return el(
    'pubsub',
    { xmlns: PUBSUB },
    el(
      'affiliations',
      { node },
      ...found.map((each) => el('affiliation', { node: each.node, affiliation: each.affiliation })),
    ),
  )
}
