// XEP-0388 and XEP-0386: what features do together with a login, so that one round trip is enough.

import { el, type Element, NS } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Session } from './session.ts'

/** Takes a request that came with the binding of a resource: answers what the client is told of it, if anything. */
export type InlineHandler = (session: Session, element: Element) => Element | undefined | Promise<Element | undefined>

/** The side of the features. No feature knows how a login carries it. */
export interface Inline {
  /**
   * What clients may ask for in place of a resource, already with the login: taken by the handler that `unbound` has for `name`. The first thing that
   * the handler sends is its answer. `offer` is what clients are shown.
   */
  unbound(offer: Element, name: string): void
  /** What clients may ask for while they bind. `feature` is what they are shown; one handler for each name. */
  bound(feature: string, xmlns: string, name: string, handler: InlineHandler): void
  /** Told to each client that binds in this way, before what it asks for is done. */
  told(tell: (session: Session) => Element | undefined | Promise<Element | undefined>): void
}

export class InlineRegistry {
  readonly #unbound = new Map<string, Element>()
  readonly #bound = new Map<string, { readonly feature: string; readonly handler: InlineHandler }>()
  readonly #told = new Set<(session: Session) => Element | undefined | Promise<Element | undefined>>()
  #offers: readonly Element[] | undefined

  /** For one feature: what it registers goes with its scope. */
  host(scope: Scope): Inline {
    return {
      unbound: (offer, name) => this.#register(scope, this.#unbound, `${offer.xmlns} ${name}`, offer),
      bound: (feature, xmlns, name, handler) =>
        this.#register(scope, this.#bound, `${xmlns} ${name}`, { feature, handler }),
      told: (tell) => {
        this.#told.add(tell)
        scope.defer(() => void this.#told.delete(tell))
      },
    }
  }

  #register<Value>(scope: Scope, map: Map<string, Value>, key: string, value: Value): void {
    if (map.has(key)) throw new Error(`two features take ${key} inline`)
    this.#offers = undefined
    map.set(key, value)
    scope.defer(() => {
      map.delete(key)
      this.#offers = undefined
    })
  }

  /** What stands in the `<inline/>` of SASL2. */
  get offers(): readonly Element[] {
    if (this.#offers !== undefined) return this.#offers
    const features = [...new Set([...this.#bound.values()].map(({ feature }) => feature))]
    const inline = el('inline', {}, ...features.map((feature) => el('feature', { var: feature })))
    this.#offers = [el('bind', { xmlns: NS.bind2 }, features.length > 0 && inline), ...this.#unbound.values()]
    return this.#offers
  }

  /** What a login asks for in place of a resource. */
  wished(authenticate: Element): Element | undefined {
    return authenticate.elements.find(({ xmlns, name }) => this.#unbound.has(`${xmlns} ${name}`))
  }

  /** Does what came with `<bind/>`, what is not known is passed over; answers the content of `<bound/>`. */
  async bound(session: Session, bind: Element): Promise<readonly Element[]> {
    const answers: Element[] = []
    for (const tell of this.#told) {
      const answer = await tell(session)
      if (answer !== undefined) answers.push(answer)
    }
    const done = new Set<string>()
    for (const element of bind.elements) {
      const key = `${element.xmlns} ${element.name}`
      const entry = this.#bound.get(key)
      // Once each: a hostile list costs nothing.
      if (entry === undefined || done.has(key)) continue
      done.add(key)
      const answer = await entry.handler(session, element)
      if (answer !== undefined) answers.push(answer)
    }
    return answers
  }
}
