// XEP-0060: which request is whose

import { type Element, StanzaError } from '@aviso/xmpp'
import { unsupported } from './errors.ts'
import { OWNER, PUBSUB } from './names.ts'
import {
  configure,
  create,
  getAffiliations,
  getConfig,
  getDefault,
  getSubscriptions,
  purge,
  remove,
  setAffiliations,
  setSubscriptions,
} from './owning.ts'
import type { Answer, Place, Request } from './place.ts'
import { publish, retract } from './publishing.ts'
import { items } from './retrieving.ts'
import { getOptions, myAffiliations, mySubscriptions, setOptions, subscribe, unsubscribe } from './subscribing.ts'

export type Handler = (place: Place, request: Request, element: Element, now: number) => Answer | Promise<Answer>

type Handlers = Readonly<Record<string, Handler>>

const HANDLERS: Readonly<Record<string, Handlers>> = {
  [`get ${PUBSUB}`]: { items, options: getOptions, subscriptions: mySubscriptions, affiliations: myAffiliations },
  [`set ${PUBSUB}`]: { publish, retract, create, subscribe, unsubscribe, options: setOptions },
  [`get ${OWNER}`]: {
    configure: getConfig,
    default: getDefault,
    affiliations: getAffiliations,
    subscriptions: getSubscriptions,
  },
  [`set ${OWNER}`]: {
    configure,
    delete: remove,
    purge,
    affiliations: setAffiliations,
    subscriptions: setSubscriptions,
  },
}

/** What comes along with another element, and says nothing by itself. */
const COMPANIONS: ReadonlySet<string> = new Set(['configure', 'options', 'publish-options', 'set'])

/** The element of the request that says what is wanted. @throws StanzaError */
export function wantedOf(payload: Element): Element {
  const [element, ...more] = payload.elements.filter(({ xmlns }) => xmlns === payload.xmlns)
  if (element === undefined) throw StanzaError.of('bad-request')
  if (more.some(({ name }) => !COMPANIONS.has(name))) throw StanzaError.of('bad-request', 'one thing at a time')
  return element
}

/** Answers a request. @throws StanzaError, or rejects with one */
export async function respond(place: Place, request: Request, type: 'get' | 'set', now: number): Promise<Answer> {
  const element = wantedOf(request.payload)
  const handlers = HANDLERS[`${type} ${request.payload.xmlns}`] ?? {}
  const handler = Object.hasOwn(handlers, element.name) ? handlers[element.name] : undefined
  if (handler === undefined) throw unsupported(element.name.slice(0, 50))
  return handler(place, request, element, now)
}

/** The features of XEP-0060 that there are in every place. */
export const FEATURES: readonly string[] = [
  'access-authorize',
  'access-open',
  'access-presence',
  'access-roster',
  'access-whitelist',
  'config-node',
  'config-node-max',
  'create-and-configure',
  'create-nodes',
  'delete-items',
  'delete-nodes',
  'instant-nodes',
  'item-ids',
  'last-published',
  'leased-subscription',
  'manage-subscriptions',
  'member-affiliation',
  'meta-data',
  'modify-affiliations',
  'multi-items',
  'outcast-affiliation',
  'persistent-items',
  'publish',
  'publish-only-affiliation',
  'publish-options',
  'publisher-affiliation',
  'purge-nodes',
  'retract-items',
  'retrieve-affiliations',
  'retrieve-default',
  'retrieve-items',
  'retrieve-subscriptions',
  'rsm',
  'subscribe',
  'subscription-notifications',
  'subscription-options',
].map((name) => `${PUBSUB}#${name}`)
