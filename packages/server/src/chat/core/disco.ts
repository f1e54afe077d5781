// XEP-0030: what is said of the host and of its accounts, gathered from the features.

import { el, type Element, NS } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type { Disco, DiscoFacts, DiscoIdentity, DiscoInfo, DiscoItem, DiscoNode, DiscoSubject } from './contracts.ts'

interface Entry<T> {
  readonly value: T
  readonly subjects: readonly DiscoSubject[]
}

const HOST: readonly DiscoSubject[] = ['host']

export class DiscoRegistry implements DiscoFacts {
  readonly #features = new Set<Entry<string>>()
  readonly #identities = new Set<Entry<DiscoIdentity>>()
  readonly #items = new Set<{ readonly item: DiscoItem; readonly of: string | undefined }>()
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

  items(domain: string): readonly DiscoItem[] {
    return [...this.#items].filter(({ of }) => of === undefined || of === domain).map(({ item }) => item)
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

  addFeature(value: string, subjects: readonly DiscoSubject[]): () => void {
    return this.#add(this.#features, { value, subjects })
  }

  addIdentity(value: DiscoIdentity, subjects: readonly DiscoSubject[]): () => void {
    return this.#add(this.#identities, { value, subjects })
  }

  addItem(item: DiscoItem, of?: string): () => void {
    return this.#add(this.#items, { item, of })
  }

  /** The side of a feature: what it registers goes with its scope. `usual`: whom it describes where it does not say. */
  registrar(scope: Scope, usual: readonly DiscoSubject[] = HOST): Disco {
    return {
      feature: (name, subjects = usual) => scope.defer(this.addFeature(name, subjects)),
      identity: (identity, subjects = usual) => scope.defer(this.addIdentity(identity, subjects)),
      item: (item, of) => scope.defer(this.addItem(item, of)),
      form: (form) => scope.defer(this.addForm(form)),
      node: (node, description) => scope.defer(this.addNode(node, description)),
      otherNodes: (find) => scope.defer(this.addFinder(find)),
    }
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

/** The answer to disco#info. */
export const description = ({ identities, features, forms = [] }: DiscoInfo, node?: string): Element =>
  el(
    'query',
    { xmlns: NS.discoInfo, node },
    ...identities.map(({ category, type, name }) => el('identity', { category, type, name })),
    ...features.map((feature) => el('feature', { var: feature })),
    ...forms,
  )

/** The answer to disco#items; `set`: which part of a longer list it is (XEP-0059). */
export const listing = (items: readonly DiscoItem[], node?: string, set?: Element): Element =>
  el('query', { xmlns: NS.discoItems, node }, ...items.map((item) => el('item', { ...item })), set)
