// RFC 6121 §2: the items of rosters as they lie in a database, and their versions (§2.6). Store workers import this file: it must stay light.

import { StoreError, type Transaction } from '../../store/contracts.ts'
import { LISTED, PENDING_IN, type SubscriptionState, type SubscriptionType } from './subscriptions.ts'

export const TABLES = `
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
export const SHARED_TABLE = `
CREATE TABLE roster_shared (
  contact TEXT PRIMARY KEY,
  groups TEXT NOT NULL,
  state BIGINT NOT NULL
);
`

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

/** Removed contacts that are remembered for clients that come back with an old version. */
const REMEMBERED_REMOVALS = 500

/** The columns that `toRow` reads. */
export const ROW = 'contact, name, groups, state'

type Columns = readonly (string | number | null | Uint8Array)[]

export const toRow = ([contact, name, groups, state]: Columns): RosterRow => ({
  contact: String(contact),
  name: String(name),
  groups: groups === '[]' ? [] : (JSON.parse(String(groups)) as string[]),
  state: Number(state),
})

/** The version of the last change; 0 before the first. */
export async function currentVersion(tx: Transaction): Promise<number> {
  return Number((await tx.get('SELECT version FROM roster_version WHERE one = 1'))?.[0] ?? 0)
}

/** Begins a change, and answers its version. */
export async function nextVersion(tx: Transaction): Promise<number> {
  await tx.run(
    'INSERT INTO roster_version (one, version, complete_from) VALUES (1, 1, 0) ON CONFLICT (one) DO UPDATE SET version = roster_version.version + 1',
  )
  return currentVersion(tx)
}

/** One contact; undefined for a stranger. */
export async function find(tx: Transaction, contact: string): Promise<RosterRow | undefined> {
  const columns = await tx.get(`SELECT ${ROW} FROM roster_item WHERE contact = ?`, contact)
  return columns === undefined ? undefined : toRow(columns)
}

/** Writes a contact; `request` is the subscription request that waits for an answer, as XML text. */
export async function put(tx: Transaction, row: RosterRow, request: string | null, version: number): Promise<void> {
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
export async function drop(tx: Transaction, row: RosterRow, version: number): Promise<void> {
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
export async function mustHaveRoom(
  tx: Transaction,
  limit: number,
  who: 'contacts' | 'strangers' = 'contacts',
): Promise<void> {
  const count = await tx.get(
    who === 'strangers'
      ? `SELECT count(*) FROM roster_item WHERE state = ${PENDING_IN}`
      : `SELECT count(*) FROM roster_item WHERE state <> ${PENDING_IN}`,
  )
  if (Number(count?.[0]) >= limit) throw new StoreError('full', 'the roster is full')
}
