// XEP-0030: what is said of the host and of its accounts, gathered from the features.

import { el, type Element, NS } from '@aviso/xmpp'
import type { Scope } from '../../kernel/scope.ts'
import type {
  AccountNodes,
  Disco,
  DiscoFacts,
  DiscoFinder,
  DiscoIdentity,
  DiscoInfo,
  DiscoItem,
  DiscoNode,
  DiscoSubject,
} from './contracts.ts'
import { type Domains, isFor } from './domains.ts'

interface Entry<T> {
  readonly value: T
  readonly domains: Domains | undefined
}

interface Statement<T> extends Entry<T> {
  readonly subjects: readonly DiscoSubject[]
}

interface NamedNode extends Entry<DiscoNode> {
  readonly name: string
}

const HOST: readonly DiscoSubject[] = ['host']

export class DiscoRegistry {
  readonly #features = new Set<Statement<string>>()
  readonly #identities = new Set<Statement<DiscoIdentity>>()
  readonly #items = new Set<Entry<DiscoItem>>()
  readonly #forms = new Set<Entry<Element>>()
  readonly #nodes = new Set<NamedNode>()
  readonly #finders = new Set<Entry<DiscoFinder>>()
  readonly #accountNodes = new Set<Entry<AccountNodes>>()
  #revision = 0

  /** Grows with all that comes or goes. */
  get revision(): number {
    return this.#revision
  }

  /** What is said of one domain and its accounts; follows what is added and taken off. */
  of(domain: string): DiscoFacts {
    const revision = (): number => this.#revision
    const told = <T>(entries: Iterable<Entry<T>>): T[] =>
      [...entries].filter((entry) => isFor(entry.domains, domain)).map((entry) => entry.value)
    const about = <T>(entries: Iterable<Statement<T>>, subject: DiscoSubject): T[] =>
      told([...entries].filter((entry) => entry.subjects.includes(subject)))
    return {
      // What two features both announce is told once.
      features: (subject) => [...new Set(about(this.#features, subject))],
      identities: (subject) => about(this.#identities, subject),
      items: () => told(this.#items),
      forms: () => told(this.#forms),
      node: (name) => {
        // The newest one: a new generation's feature takes over at once.
        const named = told([...this.#nodes].filter((node) => node.name === name)).at(-1)
        if (named !== undefined) return named
        for (const find of told(this.#finders)) {
          const found = find(name, domain)
          if (found !== undefined) return found
        }
        return undefined
      },
      accountNodes: () => told(this.#accountNodes).at(-1),
      get revision() {
        return revision()
      },
    }
  }

  addFeature(value: string, subjects: readonly DiscoSubject[], domains?: Domains): () => void {
    return this.#add(this.#features, { value, subjects, domains })
  }

  addIdentity(value: DiscoIdentity, subjects: readonly DiscoSubject[], domains?: Domains): () => void {
    return this.#add(this.#identities, { value, subjects, domains })
  }

  addItem(value: DiscoItem, domains?: Domains): () => void {
    return this.#add(this.#items, { value, domains })
  }

  addForm(value: Element, domains?: Domains): () => void {
    return this.#add(this.#forms, { value, domains })
  }

  addNode(name: string, value: DiscoNode, domains?: Domains): () => void {
    return this.#add(this.#nodes, { name, value, domains })
  }

  addAccountNodes(value: AccountNodes, domains?: Domains): () => void {
    return this.#add(this.#accountNodes, { value, domains })
  }

  addFinder(value: DiscoFinder, domains?: Domains): () => void {
    return this.#add(this.#finders, { value, domains })
  }

  /** The side of a feature: what it registers goes with its scope. `usual`: whom it describes where it does not say. */
  registrar(scope: Scope, domains?: Domains, usual: readonly DiscoSubject[] = HOST): Disco {
    return {
      feature: (name, subjects = usual) => scope.defer(this.addFeature(name, subjects, domains)),
      identity: (identity, subjects = usual) => scope.defer(this.addIdentity(identity, subjects, domains)),
      item: (item, of) =>
        scope.defer(this.addItem(item, of === undefined ? domains : { covers: (domain) => domain === of })),
      form: (form) => scope.defer(this.addForm(form, domains)),
      node: (node, description) => scope.defer(this.addNode(node, description, domains)),
      otherNodes: (find) => scope.defer(this.addFinder(find, domains)),
      accountNodes: (nodes) => scope.defer(this.addAccountNodes(nodes, domains)),
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
