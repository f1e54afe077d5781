// RFC 6121 §2-3: the rosters. The subscription machine runs inside the transaction, so that no two stanzas can race past each other.
// Store workers import this file: it must stay light.

import { defineStore, read, StoreError, write, type Transaction } from '../../store/contracts.ts'
import {
  FROM,
  inbound,
  LISTED,
  outbound,
  PENDING_IN,
  PENDING_OUT,
  SHARED,
  TO,
  type SubscriptionState,
  type SubscriptionType,
} from './subscriptions.ts'

const TABLES = `
CREATE TABLE roster_item (
  contact TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  groups TEXT NOT NULL,
  state BIGINT NOT NULL,
  request TEXT,
  version BIGINT NOT NULL
);
CREATE INDEX roster_item_version ON roster_item (version);
CREATE TABLE roster_removed (
  contact TEXT PRIMARY KEY,
  version BIGINT NOT NULL
);
CREATE INDEX roster_removed_version ON roster_removed (version);
CREATE TABLE roster_version (
  one BIGINT PRIMARY KEY,
  version BIGINT NOT NULL,
  complete_from BIGINT NOT NULL
);
`

/** What a contact was before a group shared it: to be put back when it is not shared any more. */
const SHARED_TABLE = `
CREATE TABLE roster_shared (
  contact TEXT PRIMARY KEY,
  groups TEXT NOT NULL,
  state BIGINT NOT NULL
);
`

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

/** One contact. An item whose state is without LISTED is none that clients see. */
export interface RosterRow {
  /** The contact's bare JID, prepared. */
  readonly contact: string
  readonly name: string
  readonly groups: readonly string[]
  readonly state: SubscriptionState
}

/** Published on the account's topic after each change. */
export interface RosterChange {
  readonly kind: 'roster'
  readonly version: number
  /** The rows as they are now; state 0 means: gone. */
  readonly rows: readonly RosterRow[]
  /** Which of the rows changed for clients: they get a roster push. */
  readonly pushed: readonly string[]
  /** The subscription stanza that caused it, to be delivered before the push (RFC 6121 §3.1.6, §3.2.3, §3.3.3). */
  readonly presence?: { readonly type: SubscriptionType; readonly xml: string }
}

export interface LoadedRoster {
  readonly version: number
  readonly rows: readonly RosterRow[]
}

/** A row and the version in which it became what it is. */
export interface VersionedRow extends RosterRow {
  readonly version: number
}

export interface Transition {
  readonly before: SubscriptionState
  readonly after: SubscriptionState
}

/** Removed contacts that are remembered for clients that come back with an old version. */
const REMEMBERED_REMOVALS = 500

const ROW = 'contact, name, groups, state'

type Columns = readonly (string | number | null | Uint8Array)[]

const toRow = ([contact, name, groups, state]: Columns): RosterRow => ({
  contact: String(contact),
  name: String(name),
  groups: groups === '[]' ? [] : (JSON.parse(String(groups)) as string[]),
  state: Number(state),
})

async function currentVersion(tx: Transaction): Promise<number> {
  return Number((await tx.get('SELECT version FROM roster_version WHERE one = 1'))?.[0] ?? 0)
}

async function nextVersion(tx: Transaction): Promise<number> {
  await tx.run(
    'INSERT INTO roster_version (one, version, complete_from) VALUES (1, 1, 0) ON CONFLICT (one) DO UPDATE SET version = roster_version.version + 1',
  )
  return currentVersion(tx)
}

async function find(tx: Transaction, contact: string): Promise<RosterRow | undefined> {
  const columns = await tx.get(`SELECT ${ROW} FROM roster_item WHERE contact = ?`, contact)
  return columns === undefined ? undefined : toRow(columns)
}

async function put(tx: Transaction, row: RosterRow, request: string | null, version: number): Promise<void> {
  await tx.run(
    `INSERT INTO roster_item (contact, name, groups, state, request, version) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (contact) DO UPDATE SET name = excluded.name, groups = excluded.groups, state = excluded.state, request = excluded.request, version = excluded.version`,
    row.contact,
    row.name,
    JSON.stringify(row.groups),
    row.state,
    request,
    version,
  )
  await tx.run('DELETE FROM roster_removed WHERE contact = ?', row.contact)
}

/** Deletes the row; where clients knew the item, its going is remembered for deltas. */
async function drop(tx: Transaction, row: RosterRow, version: number): Promise<void> {
  await tx.run('DELETE FROM roster_item WHERE contact = ?', row.contact)
  if ((row.state & LISTED) === 0) return
  await tx.run('INSERT INTO roster_removed (contact, version) VALUES (?, ?)', row.contact, version)
  const oldest = await tx.get(
    'SELECT version FROM roster_removed ORDER BY version DESC LIMIT 1 OFFSET ?',
    REMEMBERED_REMOVALS,
  )
  if (oldest === undefined) return
  await tx.run('DELETE FROM roster_removed WHERE version <= ?', Number(oldest[0]))
  await tx.run('UPDATE roster_version SET complete_from = ? WHERE one = 1', Number(oldest[0]))
}

/** Throws `StoreError('full')` when there are as many contacts, or as many strangers' requests, as there may be: strangers cannot fill the roster. */
async function mustHaveRoom(tx: Transaction, limit: number, who: 'contacts' | 'strangers' = 'contacts'): Promise<void> {
  const count = await tx.get(
    who === 'strangers'
      ? `SELECT count(*) FROM roster_item WHERE state = ${PENDING_IN}`
      : `SELECT count(*) FROM roster_item WHERE state <> ${PENDING_IN}`,
  )
  if (Number(count?.[0]) >= limit) throw new StoreError('full', 'the roster is full')
}

async function sharedGroups(tx: Transaction, contact: string): Promise<readonly string[]> {
  const row = await tx.get('SELECT groups FROM roster_shared WHERE contact = ?', contact)
  return row === undefined ? [] : (JSON.parse(String(row[0])) as string[])
}

/** What of a state clients see. */
const VISIBLE = ~PENDING_IN

/** Writes a row whose state has changed, and tells it. */
async function settle(
  tx: Transaction,
  row: RosterRow,
  after: SubscriptionState,
  request: string | null,
  presence?: RosterChange['presence'],
): Promise<void> {
  const version = await nextVersion(tx)
  const now = { ...row, state: after }
  if (after === 0) await drop(tx, row, version)
  else await put(tx, now, request, version)
  const pushed = after & LISTED && (row.state & VISIBLE) !== (after & VISIBLE) ? [row.contact] : []
  const change: RosterChange = { kind: 'roster', version, rows: [now], pushed, ...(presence && { presence }) }
  tx.publish(change)
}

export const rosterStore = defineStore({
  name: 'roster',
  scale: 'account',
  migrations: [TABLES, SHARED_TABLE],
  operations: {
    load: read(async (tx): Promise<LoadedRoster> => ({
      version: await currentVersion(tx),
      rows: (await tx.all(`SELECT ${ROW} FROM roster_item`)).map(toRow),
    })),

    /**
     * The items that clients see and that changed after `version`, oldest change first; those that are gone have the state 0.
     * Undefined where that is not known any more: the whole roster has to be sent.
     */
    since: read(async (tx, { version }: { readonly version: number }): Promise<readonly VersionedRow[] | undefined> => {
      const state = await tx.get('SELECT version, complete_from FROM roster_version WHERE one = 1')
      if (state === undefined || version > Number(state[0]) || version < Number(state[1])) return undefined
      const changed = await tx.all(`SELECT ${ROW}, version FROM roster_item WHERE version > ?`, version)
      const removed = await tx.all('SELECT contact, version FROM roster_removed WHERE version > ?', version)
      return [
        ...changed
          .map((columns) => ({ ...toRow(columns), version: Number(columns[4]) }))
          .filter((row) => row.state & LISTED),
        ...removed.map(([contact, at]) => ({
          contact: String(contact),
          name: '',
          groups: [],
          state: 0,
          version: Number(at),
        })),
      ].sort((a, b) => a.version - b.version)
    }),

    /** One contact; undefined for a stranger. */
    item: read(async (tx, { contact }: { readonly contact: string }): Promise<RosterRow | undefined> =>
      find(tx, contact),
    ),

    /** The state of one contact; 0 for a stranger. */
    state: read(async (tx, { contact }: { readonly contact: string }): Promise<SubscriptionState> => {
      return (await find(tx, contact))?.state ?? 0
    }),

    /** The subscription requests that wait for the user's answer, as XML text. */
    requests: read(async (tx): Promise<readonly string[]> => {
      const rows = await tx.all('SELECT request FROM roster_item WHERE request IS NOT NULL ORDER BY version')
      return rows.map(([request]) => String(request))
    }),

    /** Roster set: adds the contact, or changes its name and groups. Throws `full`. */
    set: write(
      async (
        tx,
        args: {
          readonly contact: string
          readonly name: string
          readonly groups: readonly string[]
          readonly limit: number
        },
      ): Promise<void> => {
        const before = await find(tx, args.contact)
        // What the administrator calls it stays.
        const shared = (before?.state ?? 0) & SHARED ? await sharedGroups(tx, args.contact) : []
        if (before === undefined || (before.state & LISTED) === 0) await mustHaveRoom(tx, args.limit)
        const version = await nextVersion(tx)
        const request = await tx.get('SELECT request FROM roster_item WHERE contact = ?', args.contact)
        const row: RosterRow = {
          contact: args.contact,
          name: args.name,
          groups: [...new Set([...args.groups, ...shared])],
          state: (before?.state ?? 0) | LISTED,
        }
        await put(tx, row, request?.[0] === undefined || request[0] === null ? null : String(request[0]), version)
        const change: RosterChange = { kind: 'roster', version, rows: [row], pushed: [row.contact] }
        tx.publish(change)
      },
    ),

    /** Roster remove: forgets the contact and answers the state that it had; undefined when the roster has no such item. */
    remove: write(async (tx, { contact }: { readonly contact: string }): Promise<SubscriptionState | undefined> => {
      const row = await find(tx, contact)
      if (row === undefined || (row.state & LISTED) === 0) return undefined
      if (row.state & SHARED) throw new StoreError('shared', 'the administrator has put this contact there')
      const version = await nextVersion(tx)
      await drop(tx, row, version)
      const change: RosterChange = {
        kind: 'roster',
        version,
        rows: [{ ...row, name: '', groups: [], state: 0 }],
        pushed: [contact],
      }
      tx.publish(change)
      return row.state
    }),

    /** The user sends a subscription stanza. `route`: it goes on to the contact. Throws `full`. */
    outbound: write(
      async (
        tx,
        { contact, type, limit }: { readonly contact: string; readonly type: SubscriptionType; readonly limit: number },
      ): Promise<Transition & { readonly route: boolean }> => {
        const row = (await find(tx, contact)) ?? { contact, name: '', groups: [], state: 0 }
        const { state: after, route } = outbound(row.state, type)
        if (after !== row.state) {
          if ((row.state & LISTED) === 0 && after & LISTED) await mustHaveRoom(tx, limit)
          const request =
            after & PENDING_IN ? await tx.get('SELECT request FROM roster_item WHERE contact = ?', contact) : undefined
          await settle(tx, row, after, request === undefined ? null : String(request[0]))
        }
        return { before: row.state, after, route }
      },
    ),

    /** A subscription stanza of the contact's has arrived. `xml`: as clients will see it. Throws `full`. */
    inbound: write(
      async (
        tx,
        args: {
          readonly contact: string
          readonly type: SubscriptionType
          readonly xml: string
          readonly limit: number
        },
      ): Promise<Transition & { readonly reply?: 'subscribed' }> => {
        const { contact, type, xml, limit } = args
        const row = (await find(tx, contact)) ?? { contact, name: '', groups: [], state: 0 }
        const { state: after, deliver, reply } = inbound(row.state, type)
        if (after !== row.state) {
          if (row.state === 0) await mustHaveRoom(tx, limit, 'strangers')
          const kept =
            type === 'subscribe'
              ? undefined
              : await tx.get('SELECT request FROM roster_item WHERE contact = ?', contact)
          const request = (after & PENDING_IN) === 0 ? null : type === 'subscribe' ? xml : String(kept?.[0])
          await settle(tx, row, after, request, deliver ? { type, xml } : undefined)
        }
        return { before: row.state, after, ...(reply && { reply }) }
      },
    ),

    /** Makes these, and only these, the contacts that groups share with the account. Those that are so already cost nothing. */
    share: write(async (tx, { contacts }: { readonly contacts: readonly SharedContact[] }): Promise<SharingDone> => {
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
        if (known !== undefined && row.state & SHARED && JSON.stringify(known.shared) === JSON.stringify(groups))
          continue
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
    }),

    /** Puts contacts into the roster with a mutual subscription, as they come from elsewhere. Names and groups of those that are there stay. */
    import: write(
      async (
        tx,
        { items }: { readonly items: readonly { readonly contact: string; readonly name: string }[] },
      ): Promise<number> => {
        if (items.length === 0) return 0
        const version = await nextVersion(tx)
        const rows: RosterRow[] = []
        for (const { contact, name } of items) {
          const before = await find(tx, contact)
          const row: RosterRow = {
            contact,
            name: before?.name ?? name,
            groups: before?.groups ?? [],
            state: ((before?.state ?? 0) & ~(PENDING_IN | PENDING_OUT)) | TO | FROM | LISTED,
          }
          await put(tx, row, null, version)
          rows.push(row)
        }
        const change: RosterChange = { kind: 'roster', version, rows, pushed: rows.map((row) => row.contact) }
        tx.publish(change)
        return items.length
      },
    ),
  },
})
