// Groups of contacts that the administrator gives to everybody in them

import { Jid } from '@aviso/xmpp'
import * as v from 'valibot'
import { AccountAdmin } from '../../accounts/administration.ts'
import type { Account } from '../../accounts/contracts.ts'
import { chatFeature, type Host } from '../core/contracts.ts'
import type { SharedContact, SharingDone } from '../core/roster-sharing.ts'
import { rosterStore } from '../core/roster.store.ts'
import { sharedGroupsStore } from './shared-groups.store.ts'

/** Changes of accounts come in heaps. */
const SETTLE_MS = 1000

const member = v.pipe(
  v.string(),
  v.regex(/^[^\s@]+@[^\s@]+$/, 'expected an address such as anna@example.org, or *@example.org for everybody there'),
)

export const sharedGroups = chatFeature({
  name: 'shared-groups',
  summary: 'Puts groups of people into the contact lists of all their members.',
  config: v.strictObject({
    groups: v.optional(
      v.pipe(
        v.record(v.pipe(v.string(), v.minLength(1), v.maxLength(200)), v.array(member)),
        v.description('the members by the name of the group; *@example.org is everybody there'),
      ),
      {},
    ),
    'max-members': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(2),
        v.maxValue(2000),
        v.description('how many members a group may have; one with more is left out, and logged'),
      ),
      300,
    ),
  }),

  attach(host, config, scope) {
    const sync = new Sync(host, async () => {
      const admin = scope.use(AccountAdmin)
      const groups = new Map<string, ReadonlyMap<string, Account>>()
      for (const [name, members] of Object.entries(config.groups)) {
        const found = await resolve(host, admin, members, config['max-members'])
        if (found === undefined)
          scope.log.error(
            { group: name },
            `the shared group has more than ${config['max-members']} members: it is left out`,
          )
        else groups.set(name, found)
      }
      return groups
    })
    const later = (): void => {
      waiting?.cancel()
      waiting = scope.timeout(SETTLE_MS, () => sync.run())
    }
    let waiting: { cancel(): void } | undefined
    scope.defer(
      host.accounts.watch(({ kind }) => {
        if (kind === 'created' || kind === 'deleted') later()
      }),
    )
    scope.timeout(0, () => sync.run())
  },
})

/** The accounts that there are; undefined where they are too many. */
async function resolve(
  host: Host,
  admin: AccountAdmin,
  members: readonly string[],
  limit: number,
): Promise<ReadonlyMap<string, Account> | undefined> {
  const found = new Map<string, Account>()
  for (const text of members) {
    if (text.startsWith('*@')) {
      const page = await admin.listAccounts({ domain: text.slice(2), limit: Math.min(1000, limit + 1) })
      for (const account of page) found.set(account.address, account)
      if (page.length === 1000 && limit >= 1000) return undefined
    } else {
      const account = await host.accounts.byAddress(text)
      if (account !== undefined) found.set(account.address, account)
    }
    if (found.size > limit) return undefined
  }
  return found
}

/** Brings all rosters in step with the groups; one run at a time, and another one after it where something came meanwhile. */
class Sync {
  readonly #host: Host
  readonly #groups: () => Promise<ReadonlyMap<string, ReadonlyMap<string, Account>>>
  #running: Promise<void> | undefined
  #again = false

  constructor(host: Host, groups: () => Promise<ReadonlyMap<string, ReadonlyMap<string, Account>>>) {
    this.#host = host
    this.#groups = groups
  }

  run(): Promise<void> {
    this.#again = true
    this.#running ??= this.#all().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #all(): Promise<void> {
    while (this.#again) {
      this.#again = false
      // The generation that sessions use has the word.
      if (this.#host.current) await this.#once()
    }
  }

  async #once(): Promise<void> {
    const { store } = this.#host
    /** By account id: contacts with the groups that they are shared in. */
    const wanted = new Map<string, Map<string, string[]>>()
    for (const [name, members] of await this.#groups())
      for (const account of members.values()) {
        const contacts = wanted.get(account.id) ?? new Map<string, string[]>()
        wanted.set(account.id, contacts)
        for (const { address } of members.values())
          if (address !== account.address) contacts.set(address, [...(contacts.get(address) ?? []), name])
      }
    const registered = store.core(sharedGroupsStore)
    const before = await registered.members()
    const gone = before.filter((id) => !wanted.has(id))
    // Written down first: who has shared contacts is never forgotten.
    await registered.add({ accounts: [...wanted.keys()] })
    const done = new Map<string, SharingDone>()
    const share = async (id: string, contacts: readonly SharedContact[]): Promise<void> => {
      done.set(id, await store.account(rosterStore, id).share({ contacts }))
    }
    for (const [id, contacts] of wanted)
      await share(
        id,
        [...contacts].map(([contact, groups]) => ({ contact, groups })),
      )
    for (const id of gone) if ((await this.#host.accounts.byId(id)) !== undefined) await share(id, [])
    // Once both sides have each other, those who are online see each other.
    for (const account of this.#host.online()) {
      const { fresh = [], lost = [] } = done.get(account.account.id) ?? {}
      for (const contact of fresh) this.#host.probe(account, Jid.parse(contact))
      for (const contact of lost) this.#host.sendPresence(account, Jid.parse(contact), true)
    }
    await registered.remove({ accounts: gone })
  }
}
