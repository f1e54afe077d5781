// RFC 6121 §2-3: the rosters. The subscription machine runs inside the transaction, so that no two stanzas can race past each other.
// Store workers import this file: it must stay light.

import { defineStore, read, StoreError, write, type Transaction } from '../../store/contracts.ts'
import {
  currentVersion,
  drop,
  find,
  type LoadedRoster,
  mustHaveRoom,
  nextVersion,
  put,
  type RosterChange,
  type RosterRow,
  ROW,
  SHARED_TABLE,
  TABLES,
  toRow,
  type VersionedRow,
} from './roster-rows.ts'
import { share, sharedGroups } from './roster-sharing.ts'
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

export interface Transition {
  readonly before: SubscriptionState
  readonly after: SubscriptionState
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

    share,

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
