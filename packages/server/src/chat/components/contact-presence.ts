// XEP-0356 §7.4: a component is told of the presence of contacts

import { type Element, Jid, NS, serialise } from '@aviso/xmpp'
import { RecentMap } from '../../accounts/recent.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Host, StanzaEvent } from '../core/contracts.ts'
import { stateOf } from '../core/roster.ts'
import type { Session } from '../core/session.ts'
import { FROM, TO } from '../core/subscriptions.ts'

/** People elsewhere whose presence is remembered. */
const REMEMBERED = 10_000

export interface ContactTerms {
  /** True for the domains whose accounts' contacts are told of. */
  covers(domain: string): boolean
  send(presence: Element): void
}

/** The contacts of the accounts of some domains, as far as they are not accounts of these domains themselves. */
export class ContactPresence {
  readonly #host: Host
  readonly #terms: ContactTerms
  readonly #scope: Scope
  /** The last presence of people elsewhere, by their full JIDs: each is told once, though it comes for each of their contacts here. */
  readonly #elsewhere = new RecentMap<string, { readonly text: string; readonly presence: Element }>(REMEMBERED)
  #last: Promise<void> = Promise.resolve()

  constructor(scope: Scope, host: Host, terms: ContactTerms) {
    this.#host = host
    this.#terms = terms
    this.#scope = scope
    host.hooks.entering.on((event) => this.#arrived(event), -100)
    host.hooks.available.on(({ session, stanza }) => this.#ours(session, stanza))
    host.hooks.unavailable.on(({ session, stanza }) => this.#ours(session, stanza.with({ from: session.full })))
  }

  /** Tells who is there, as far as that is known. */
  all(): void {
    for (const { presence } of this.#elsewhere.values())
      if (presence.get('type') === undefined) this.#terms.send(presence)
    for (const { sessions } of this.#host.online())
      for (const session of sessions)
        if (session.available && this.#isContact(session)) this.#terms.send(this.#host.presenceOf(session))
  }

  #arrived({ stanza, origin, to }: StanzaEvent): undefined {
    const type = stanza.get('type')
    if (stanza.name !== 'presence' || (type !== undefined && type !== 'unavailable')) return
    if (origin.session !== undefined || this.#host.isServed(origin.jid.domain) || !this.#terms.covers(to.domain)) return
    if (!origin.jid.isFull || to.local === '') return
    this.#last = this.#last
      .then(() => this.#heard(stanza, origin.jid, to))
      .catch((error: unknown) => this.#scope.log.warn({ err: error }, 'a component was not told of a presence'))
  }

  async #heard(stanza: Element, from: Jid, to: Jid): Promise<void> {
    const full = from.toString()
    const presence = stanza.with({ to: undefined, id: undefined })
    const text = serialise(presence, NS.client)
    if (this.#elsewhere.peek(full)?.text === text) return
    const account = await this.#host.accounts.byAddress(to.bareString)
    const item = account && (await this.#host.rosterItem(account, from.bareString))
    // Whom nobody has asked for his presence, nobody hears of.
    if (item === undefined || (item.state & TO) === 0) return
    this.#elsewhere.set(full, { text, presence: presence.prepared() })
    this.#terms.send(presence)
  }

  #ours(session: Session, presence: Element): void {
    if (this.#isContact(session)) this.#terms.send(presence)
  }

  /** True for an account of another domain of ours whose presence somebody sees for whom the component is told. */
  #isContact({ account, jid }: Session): boolean {
    if (this.#terms.covers(jid.domain)) return false
    for (const [contact, item] of account.roster?.items ?? [])
      if (stateOf(item) & FROM && this.#terms.covers(Jid.parse(contact).domain)) return true
    return false
  }
}
