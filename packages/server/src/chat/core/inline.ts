// XEP-0388 and XEP-0386: what features do together with a login, so that one round trip is enough.

import { el, type Element, NS } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import { type Domains, isFor } from './domains.ts'
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

type Tell = (session: Session) => Element | undefined | Promise<Element | undefined>

interface Entry<Value> {
  readonly key: string
  readonly domains: Domains | undefined
  readonly value: Value
}

/** What features have registered; several of one kind have domains of their own each. */
class Entries<Value> {
  readonly #entries = new Set<Entry<Value>>()

  add(key: string, value: Value, domains: Domains | undefined): () => void {
    const entry = { key, domains, value }
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }

  of(domain: string): readonly Entry<Value>[] {
    return [...this.#entries].filter(({ domains }) => isFor(domains, domain))
  }
}

const keyOf = ({ xmlns, name }: Element): string => `${xmlns} ${name}`

export class InlineRegistry {
  readonly #unbound = new Entries<Element>()
  readonly #bound = new Entries<{ readonly feature: string; readonly handler: InlineHandler }>()
  readonly #told = new Entries<Tell>()
  /** By domain. */
  readonly #offers = new Map<string, readonly Element[]>()
  #changes = 0

  /** Grows with all that comes or goes. */
  get changes(): number {
    return this.#changes
  }

  /** For one feature: what it registers goes with its scope. */
  host(scope: Scope, domains: Domains | undefined): Inline {
    const register = <Value>(entries: Entries<Value>, key: string, value: Value): void => {
      const remove = entries.add(key, value, domains)
      this.#changed()
      scope.defer(() => {
        remove()
        this.#changed()
      })
    }
    return {
      unbound: (offer, name) => register(this.#unbound, `${offer.xmlns} ${name}`, offer),
      bound: (feature, xmlns, name, handler) => register(this.#bound, `${xmlns} ${name}`, { feature, handler }),
      told: (tell) => register(this.#told, '', tell),
    }
  }

  #changed(): void {
    this.#offers.clear()
    this.#changes++
  }

  /** What stands in the `<inline/>` of SASL2. */
  offers(domain: string): readonly Element[] {
    const known = this.#offers.get(domain)
    if (known !== undefined) return known
    const features = [...new Set(this.#bound.of(domain).map(({ value }) => value.feature))]
    const inline = el('inline', {}, ...features.map((feature) => el('feature', { var: feature })))
    const bind = el('bind', { xmlns: NS.bind2 }, features.length > 0 && inline)
    const offers = [bind, ...this.#unbound.of(domain).map(({ value }) => value)]
    this.#offers.set(domain, offers)
    return offers
  }

  /** What a login asks for in place of a resource. */
  wished(domain: string, authenticate: Element): Element | undefined {
    const known = new Set(this.#unbound.of(domain).map(({ key }) => key))
    return authenticate.elements.find((element) => known.has(keyOf(element)))
  }

  /** Does what came with `<bind/>`, what is not known is passed over; answers the content of `<bound/>`. */
  async bound(session: Session, bind: Element): Promise<readonly Element[]> {
    const { domain } = session.account.account
    const answers: Element[] = []
    for (const { value: tell } of this.#told.of(domain)) {
      const answer = await tell(session)
      if (answer !== undefined) answers.push(answer)
    }
    const left = new Map(this.#bound.of(domain).map(({ key, value }) => [key, value.handler]))
    for (const element of bind.elements) {
      const handler = left.get(keyOf(element))
      // Once each: a hostile list costs nothing.
      left.delete(keyOf(element))
      const answer = await handler?.(session, element)
      if (answer !== undefined) answers.push(answer)
    }
    return answers
  }
}
