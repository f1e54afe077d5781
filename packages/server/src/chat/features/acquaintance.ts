// Whom an account knows though he is no contact, and what waits of those whom it does not know.

import { DEFAULT_PARSER_LIMITS, el, Jid, NS, readElement } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import type { AccountEvent, Host } from '../core/contracts.ts'
import { rosterStore } from '../core/roster.store.ts'
import { isContact } from '../core/subscriptions.ts'
import { strangersStore } from './strangers.store.ts'

/** Of all accounts: those known that need not be looked up. */
const REMEMBERED = 20_000

/** How much is kept of one account. */
interface Bounds {
  readonly correspondents: number
  readonly 'max-held': number
  readonly 'max-held-per-sender': number
  /** Milliseconds. */
  readonly 'keep-held': number
}

/** What is kept of strangers. */
export class Acquaintance {
  readonly #host: Host
  readonly #settings: Bounds
  readonly #now: () => number
  readonly #remembered = new RecentMap<string, true>(REMEMBERED)
  /** Releases under way: a message is not delivered twice. */
  readonly #releasing = new Map<string, Promise<void>>()

  constructor(host: Host, settings: Bounds, now: () => number) {
    this.#host = host
    this.#settings = settings
    this.#now = now
  }

  /** Known without looking it up. */
  remembers({ id }: Account, contact: string): boolean {
    return this.#remembered.get(`${id} ${contact}`) === true
  }

  /** A contact of the account's, or somebody to whom it has written. */
  async isKnown(account: Account, contact: string): Promise<boolean> {
    const { store } = this.#host
    const knows =
      isContact(await store.account(rosterStore, account.id).state({ contact })) ||
      (await store.account(strangersStore, account.id).knows({ contact }))
    if (knows) this.#remembered.set(`${account.id} ${contact}`, true)
    return knows
  }

  /** The account turns to somebody. Answers how many messages of his are held. */
  async write({ id }: Account, contact: string): Promise<number> {
    const held = await this.#host.store
      .account(strangersStore, id)
      .write({ contact, limit: this.#settings.correspondents })
    this.#remembered.set(`${id} ${contact}`, true)
    return held
  }

  async waitingRequests({ id }: Account): Promise<number> {
    return (await this.#host.store.account(rosterStore, id).requests()).length
  }

  hold({ account, stanza, origin }: AccountEvent): Promise<void> {
    return this.#host.store.account(strangersStore, account.id).hold({
      sender: origin.jid.bareString,
      // When it is delivered, the session that it was for may be gone.
      xml: stanza.with({ to: account.address }).toString(),
      perSender: this.#settings['max-held-per-sender'],
      limit: this.#settings['max-held'],
      oldest: this.#oldest,
    })
  }

  senders({ id }: Account): Promise<readonly { readonly sender: string; readonly count: number }[]> {
    return this.#host.store.account(strangersStore, id).senders({ oldest: this.#oldest })
  }

  forget({ id }: Account, sender: string): Promise<void> {
    return this.#host.store.account(strangersStore, id).forget({ sender, upTo: Number.MAX_SAFE_INTEGER })
  }

  /** Delivers what is held of somebody who is known now, as if it came now, with the time at which it did. */
  release(account: Account, sender: string): Promise<void> {
    const key = `${account.id} ${sender}`
    const running =
      this.#releasing.get(key) ?? this.#release(account, sender).finally(() => this.#releasing.delete(key))
    this.#releasing.set(key, running)
    return running
  }

  async #release(account: Account, sender: string): Promise<void> {
    const store = this.#host.store.account(strangersStore, account.id)
    for (const { id, at, xml } of await store.held({ sender, oldest: this.#oldest })) {
      const stanza = readElement(xml, { xmlns: NS.client, bindings: [] }, { ...DEFAULT_PARSER_LIMITS, depth: 200 })
      const stamp = new Date(at).toISOString()
      const delayed = stanza.append(el('delay', { xmlns: NS.delay, from: account.domain, stamp }))
      await this.#host.route(delayed, { jid: Jid.parse(stanza.get('from') ?? sender), reply: () => {} })
      // One that comes twice is better than one that never comes.
      await store.forget({ sender, upTo: id })
    }
  }

  get #oldest(): number {
    return this.#now() - this.#settings['keep-held']
  }
}
