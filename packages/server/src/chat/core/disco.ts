// XEP-0030: what is said of the host and of its accounts, gathered from the features.

import type { Element } from '@aviso/xmpp'
import type { DiscoFacts, DiscoIdentity, DiscoItem, DiscoNode, DiscoSubject } from './contracts.ts'

interface Entry<T> {
  readonly value: T
  readonly subjects: readonly DiscoSubject[]
}

const HOST: readonly DiscoSubject[] = ['host']

export class DiscoRegistry implements DiscoFacts {
  readonly #features = new Set<Entry<string>>()
  readonly #identities = new Set<Entry<DiscoIdentity>>()
  readonly #items = new Set<DiscoItem>()
  readonly #forms = new Set<Element>()
  readonly #nodes = new Map<string, DiscoNode>()
  readonly #finders = new Set<(node: string) => DiscoNode | undefined>()
  #revision = 0

  get revision(): number {
    return this.#revision
  }

  /** What two features both announce is told once. */
  features(subject: DiscoSubject): readonly string[] {
    return [...new Set(about(this.#features, subject))]
  }

  identities(subject: DiscoSubject): readonly DiscoIdentity[] {
    return about(this.#identities, subject)
  }

  items(): readonly DiscoItem[] {
    return [...this.#items]
  }

  forms(): readonly Element[] {
    return [...this.#forms]
  }

  node(name: string): DiscoNode | undefined {
    const named = this.#nodes.get(name)
    if (named !== undefined) return named
    for (const find of this.#finders) {
      const found = find(name)
      if (found !== undefined) return found
    }
    return undefined
  }

  addFinder(find: (node: string) => DiscoNode | undefined): () => void {
    this.#finders.add(find)
    return () => void this.#finders.delete(find)
  }

  addForm(form: Element): () => void {
    return this.#add(this.#forms, form)
  }

  addNode(name: string, node: DiscoNode): () => void {
    this.#nodes.set(name, node)
    return () => {
      if (this.#nodes.get(name) === node) this.#nodes.delete(name)
    }
  }

  addFeature(value: string, subjects: readonly DiscoSubject[] = HOST): () => void {
    return this.#add(this.#features, { value, subjects })
  }

  addIdentity(value: DiscoIdentity, subjects: readonly DiscoSubject[] = HOST): () => void {
    return this.#add(this.#identities, { value, subjects })
  }

  addItem(item: DiscoItem): () => void {
    return this.#add(this.#items, { ...item })
  }

  #add<T>(to: Set<T>, entry: T): () => void {
    to.add(entry)
    this.#revision++
    return () => {
      if (to.delete(entry)) this.#revision++
    }
  }
}

const about = <T>(entries: Iterable<Entry<T>>, subject: DiscoSubject): T[] =>
  [...entries].filter((entry) => entry.subjects.includes(subject)).map((entry) => entry.value)
