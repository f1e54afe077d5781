// What features offer one another. Who uses it knows the contract, not who keeps it.

import type { ServiceKey } from '../../kernel/scope.ts'
import { type Domains, isFor } from './domains.ts'

interface Offer {
  readonly name: string
  readonly value: unknown
  readonly domains: Domains | undefined
}

export class Offers {
  readonly #offers = new Set<Offer>()

  /** Adds something; returns the way to take it off. */
  add<T>({ name }: ServiceKey<T>, value: T, domains: Domains | undefined): () => void {
    const offer = { name, value, domains }
    this.#offers.add(offer)
    return () => void this.#offers.delete(offer)
  }

  /** What is offered for that domain, the oldest first. */
  all<T>({ name }: ServiceKey<T>, domain: string): readonly T[] {
    const found: T[] = []
    for (const offer of this.#offers)
      if (offer.name === name && isFor(offer.domains, domain)) found.push(offer.value as T)
    return found
  }
}
