// XEP-0441: whose messages an account wants in its archive

import { el, type Element, Jid, NS, StanzaError } from '@aviso/xmpp'
import { RecentMap } from '../../accounts/recent.ts'
import type { Account } from '../../accounts/contracts.ts'
import type { Host } from '../core/contracts.ts'
import { rosterStore } from '../core/roster.store.ts'
import { archiveStore, type Preference } from './archive.store.ts'

export type Rule = Preference['rule']

const MAX_JIDS = 1000
/** Accounts whose preferences are remembered. */
const REMEMBERED = 10_000

export class Preferences {
  readonly #host: Host
  readonly #fallback: Rule
  /** By account id. */
  readonly #known = new RecentMap<string, AccountPreferences>(REMEMBERED)

  constructor(host: Host, fallback: Rule) {
    this.#host = host
    this.#fallback = fallback
  }

  /** Whether a message to or from `party` is wanted; a promise where something has to be read first. */
  wants(account: Account, party: Jid): boolean | Promise<boolean> {
    const known = this.#known.get(account.id)
    if (known === undefined) return this.load(account).then(() => this.wants(account, party))
    const rule = known.rule(party)
    if (rule !== 'roster') return rule === 'always'
    const roster = this.#host.sessions(account.address)[0]?.account.roster
    const contact = party.bareString
    if (contact === account.address) return true
    if (roster !== undefined) return roster.state(contact) !== 0
    return this.#host.store
      .account(rosterStore, account.id)
      .state({ contact })
      .then((state) => state !== 0)
  }

  async load({ id }: Account): Promise<AccountPreferences> {
    const known =
      this.#known.get(id) ??
      new AccountPreferences(await this.#host.store.account(archiveStore, id).preferences(), this.#fallback)
    // A change meanwhile is newer than what was read.
    const newer = this.#known.get(id)
    if (newer === undefined) this.#known.set(id, known)
    return newer ?? known
  }

  /** @throws StanzaError bad-request, jid-malformed or policy-violation */
  async set({ id }: Account, prefs: Element): Promise<AccountPreferences> {
    const fallback = prefs.get('default')
    if (fallback !== 'always' && fallback !== 'never' && fallback !== 'roster')
      throw StanzaError.of('bad-request', 'the default is always, never or roster')
    const rules = new Map<string, Rule>([['', fallback]])
    // Who is on both lists is not kept.
    for (const rule of ['always', 'never'] as const)
      for (const jid of prefs.child(rule)?.childrenNamed('jid') ?? []) {
        const parsed = Jid.tryParse(jid.text().trim())
        if (parsed === undefined) throw StanzaError.of('jid-malformed')
        rules.set(parsed.toString(), rule)
      }
    if (rules.size > MAX_JIDS + 1) throw StanzaError.of('policy-violation', 'too many addresses')
    const preferences = [...rules].map(([jid, rule]) => ({ jid, rule }))
    await this.#host.store.account(archiveStore, id).prefer({ preferences })
    const known = new AccountPreferences(preferences, this.#fallback)
    this.#known.set(id, known)
    return known
  }
}

export class AccountPreferences {
  readonly #rules: ReadonlyMap<string, Rule>
  readonly #fallback: Rule

  constructor(preferences: readonly Preference[], fallback: Rule) {
    this.#rules = new Map(preferences.map(({ jid, rule }) => [jid, rule]))
    this.#fallback = this.#rules.get('') ?? fallback
  }

  rule(party: Jid): Rule {
    if (this.#rules.size <= 1) return this.#fallback
    return this.#rules.get(party.toString()) ?? this.#rules.get(party.bareString) ?? this.#fallback
  }

  toElement(): Element {
    const list = (rule: Rule): Element =>
      el(
        rule,
        {},
        ...[...this.#rules].filter(([jid, each]) => jid !== '' && each === rule).map(([jid]) => el('jid', {}, jid)),
      )
    return el('prefs', { xmlns: NS.mam, default: this.#fallback }, list('always'), list('never'))
  }
}
