// Contacts that groups of the administrator's share with an account: how they come into its roster, and go. Store workers import this file: it must stay light.

import { type Transaction, write } from '../../store/contracts.ts'
import { drop, find, nextVersion, put, type RosterChange, type RosterRow } from './roster-rows.ts'
import { FROM, LISTED, PENDING_IN, PENDING_OUT, SHARED, type SubscriptionState, TO } from './subscriptions.ts'

/** A contact that groups of the administrator's have in common with the account. */
export interface SharedContact {
  readonly contact: string
  readonly groups: readonly string[]
}

/** What sharing has changed: who sees the account's presence that did not before, and who does not any more. */
export interface SharingDone {
  readonly fresh: readonly string[]
  readonly lost: readonly string[]
}

/** The groups that are shared with the account because of that contact. */
export async function sharedGroups(tx: Transaction, contact: string): Promise<readonly string[]> {
  const row = await tx.get('SELECT groups FROM roster_shared WHERE contact = ?', contact)
  return row === undefined ? [] : (JSON.parse(String(row[0])) as string[])
}

/** Makes these, and only these, the contacts that groups share with the account. Those that are so already cost nothing. */
export const share = write(
  async (tx, { contacts }: { readonly contacts: readonly SharedContact[] }): Promise<SharingDone> => {
    const kept = new Map<string, { readonly shared: readonly string[]; readonly before: SubscriptionState }>()
    for (const [contact, groups, state] of await tx.all('SELECT contact, groups, state FROM roster_shared'))
      kept.set(String(contact), { shared: JSON.parse(String(groups)) as string[], before: Number(state) })
    const wanted = new Map(contacts.map(({ contact, groups }) => [contact, [...groups].sort()]))
    const rows: RosterRow[] = []
    const fresh: string[] = []
    const lost: string[] = []
    let version = 0
    for (const [contact, groups] of wanted) {
      const known = kept.get(contact)
      const row = (await find(tx, contact)) ?? { contact, name: '', groups: [], state: 0 }
      if (known !== undefined && row.state & SHARED && JSON.stringify(known.shared) === JSON.stringify(groups)) continue
      version ||= await nextVersion(tx)
      const own = row.groups.filter((group) => known?.shared.includes(group) !== true)
      const now: RosterRow = {
        contact,
        name: row.name === '' ? contact.slice(0, contact.lastIndexOf('@')) : row.name,
        groups: [...new Set([...own, ...groups])],
        state: (row.state & ~(PENDING_IN | PENDING_OUT)) | TO | FROM | LISTED | SHARED,
      }
      await put(tx, now, null, version)
      await tx.run(
        'INSERT INTO roster_shared (contact, groups, state) VALUES (?, ?, ?) ON CONFLICT (contact) DO UPDATE SET groups = excluded.groups',
        contact,
        JSON.stringify(groups),
        row.state,
      )
      rows.push(now)
      if ((row.state & FROM) === 0 || (row.state & TO) === 0) fresh.push(contact)
    }
    for (const [contact, { shared, before }] of kept) {
      if (wanted.has(contact)) continue
      await tx.run('DELETE FROM roster_shared WHERE contact = ?', contact)
      const row = await find(tx, contact)
      if (row === undefined) continue
      version ||= await nextVersion(tx)
      const state = before & ~(PENDING_IN | PENDING_OUT)
      const now: RosterRow = { ...row, state, groups: row.groups.filter((group) => !shared.includes(group)) }
      if (state === 0) await drop(tx, row, version)
      else await put(tx, now, null, version)
      rows.push(now)
      if ((state & FROM) === 0) lost.push(contact)
    }
    if (rows.length === 0) return { fresh, lost }
    const change: RosterChange = { kind: 'roster', version, rows, pushed: rows.map((row) => row.contact) }
    tx.publish(change)
    return { fresh, lost }
  },
)
