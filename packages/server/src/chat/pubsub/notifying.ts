// XEP-0060 §7.1.2: the messages that tell what happened at a node

import { DEFAULT_PARSER_LIMITS, el, type Element, escapeAttribute, NO_CONTEXT, NS, readElement } from '@aviso/xmpp'
import { type Actor, mayNotRead, type Standing } from './access.ts'
import { EVENT } from './names.ts'
import { itemXml } from './payloads.ts'
import type { Place } from './place.ts'
import type { Audience, Item, NodeFacts } from './rows.ts'

/** Payloads were within the limits of the stream when they came; here they lie a little deeper. */
const LIMITS = { ...DEFAULT_PARSER_LIMITS, depth: DEFAULT_PARSER_LIMITS.depth + 10 }

/** `<event/>` with content as XML text. */
export const eventOf = (content: string): Element =>
  readElement(`<event xmlns='${EVENT}'>${content}</event>`, NO_CONTEXT, LIMITS)

/** §6.1.7, XEP-0163 §4.3: what somebody is sent who has just subscribed or come. */
export const lastItemContent = (place: Place, node: NodeFacts, { at, ...item }: Item): readonly Element[] => [
  eventOf(`<items node='${escapeAttribute(node.name)}'>${itemXml(place, node, item, node.config.payloads)}</items>`),
  el('delay', { xmlns: NS.delay, stamp: new Date(at).toISOString() }),
]

export const lastItemMessage = (place: Place, node: NodeFacts, item: Item, to: string): void =>
  place.tell(to, node.config.notificationType, lastItemContent(place, node, item))

/** Who of many may hear of a node: its affiliations and subscriptions are looked up once. */
export class Hearers {
  readonly #audience: Audience
  readonly #affiliations: ReadonlyMap<string, Standing['affiliation']>
  readonly #subscribed: ReadonlySet<string>

  constructor(audience: Audience) {
    this.#audience = audience
    this.#affiliations = new Map(audience.affiliations.map(({ jid, affiliation }) => [jid, affiliation]))
    this.#subscribed = new Set(
      audience.subscriptions
        .filter(({ state }) => state === 'subscribed')
        .map(({ jid }) => (jid.includes('/') ? jid.slice(0, jid.indexOf('/')) : jid)),
    )
  }

  mayHear(actor: Pick<Actor, 'jid' | 'presence' | 'groups'>): boolean {
    const standing: Standing = {
      affiliation: this.#affiliations.get(actor.jid) ?? 'none',
      subscription: this.#subscribed.has(actor.jid) ? 'subscribed' : 'none',
    }
    const whole = { ...actor, owner: false, creates: false, stranger: false }
    return mayNotRead(this.#audience.config, whole, standing) === undefined
  }
}
