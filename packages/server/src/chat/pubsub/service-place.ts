// XEP-0060: a service on a domain of its own as a place of nodes

import { el, type Element, Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { randomWord } from '../../kernel/random.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Host } from '../core/contracts.ts'
import type { ServiceDomain } from '../core/service.ts'
import { FROM } from '../core/subscriptions.ts'
import type { Actor } from './access.ts'
import { Figures } from './figures.ts'
import { DEFAULT_CONFIG } from './node-config.ts'
import type { Nodes } from './nodes.store.ts'
import { eventOf, Hearers } from './notifying.ts'
import type { Happening, Place, PlaceLimits } from './place.ts'

export interface ServiceRules {
  readonly limits: PlaceLimits
  /** Who may make nodes, besides those who own the service. */
  readonly create: 'admin' | 'user' | 'anybody'
  readonly autoCreate: boolean
  readonly exposePublisher: boolean
  /** Bare JIDs that own the service, besides administrators. */
  readonly owners: ReadonlySet<string>
}

export class ServicePlace implements Place {
  readonly jid: Jid
  readonly nodes: Nodes
  readonly defaults = DEFAULT_CONFIG
  readonly limits: PlaceLimits
  readonly autoCreate: boolean
  readonly exposePublisher: boolean
  readonly #host: Host
  readonly #scope: Scope
  readonly #service: ServiceDomain
  readonly #rules: ServiceRules
  readonly #figures: Figures

  constructor(host: Host, scope: Scope, service: ServiceDomain, nodes: Nodes, rules: ServiceRules) {
    this.#host = host
    this.#scope = scope
    this.#service = service
    this.#rules = rules
    this.#figures = new Figures(scope.metrics, 'service')
    this.jid = service.jid
    this.nodes = nodes
    this.limits = rules.limits
    this.autoCreate = rules.autoCreate
    this.exposePublisher = rules.exposePublisher
  }

  get random(): Scope['random'] {
    return this.#scope.random
  }

  async actor(from: Jid, node?: string): Promise<Actor> {
    const jid = from.bareString
    const account = await this.#account(jid)
    const { create, owners } = this.#rules
    const { accounts } = this.#host
    const owner = owners.has(jid) || (account !== undefined && accounts.may(account, 'administer-nodes'))
    const user = account !== undefined && accounts.may(account, 'create-nodes')
    const creates = owner || create === 'anybody' || (create === 'user' && user)
    const deciding = node === undefined || owner ? [] : await this.nodes.decisive({ node })
    let presence = false
    const groups: string[] = []
    for (const other of deciding) {
      // Of owners elsewhere it is not known who their contacts are.
      const decides = await this.#account(other)
      const item = decides && (await this.#host.rosterItem(decides, jid))
      if (((item?.state ?? 0) & FROM) !== 0) presence = true
      groups.push(...(item?.groups ?? []))
    }
    return { jid, owner, presence, groups, creates, stranger: false }
  }

  changed(): void {}

  happened(happening: Happening): void {
    this.#figures.happened(happening)
    if (happening.silent) return
    this.#spread(happening).catch((error: unknown) =>
      this.#scope.log.warn({ err: error, node: happening.audience.name }, 'subscribers were not notified'),
    )
  }

  tell(to: string, type: 'headline' | 'normal', content: readonly Element[]): void {
    this.#service.send(
      el('message', { from: this.jid.toString(), to, type, id: randomWord(this.#scope.random, 12) }, ...content),
    )
  }

  #account(jid: string): Promise<Account | undefined> {
    const domain = jid.slice(jid.lastIndexOf('@') + 1)
    return this.#host.accounts.isLocal(domain) ? this.#host.accounts.byAddress(jid) : Promise.resolve(undefined)
  }

  async #spread({ audience, content }: Happening): Promise<void> {
    const { name, config, subscriptions } = audience
    const hearers = new Hearers(audience)
    const byContacts = config.accessModel === 'presence' || config.accessModel === 'roster'
    const from = this.jid.toString()
    const id = randomWord(this.#scope.random, 12)
    // The content is written once; only the address changes.
    const message = el('message', { from, type: config.notificationType, id }, eventOf(content)).prepared()
    let count = 0
    for (const { jid, state, deliver } of subscriptions) {
      if (state !== 'subscribed' || !deliver) continue
      const bare = jid.split('/', 1)[0] ?? jid
      const unknown = { jid: bare, presence: false, groups: [] }
      const actor = byContacts ? await this.actor(Jid.parse(bare), name) : unknown
      if (!hearers.mayHear(actor)) continue
      this.#service.send(message.with({ to: jid }))
      count++
    }
    this.#figures.notified(count)
  }
}
