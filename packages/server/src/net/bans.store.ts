// Where bans are kept over restarts.

import { defineStore, read, write } from '../store/contracts.ts'

/** A ban: `address` is an IPv4 address or an IPv6 /64, `until` is in milliseconds since the epoch. */
export interface BanRow {
  readonly address: string
  readonly until: number
  readonly reason: string
}

export const bansStore = defineStore({
  name: 'bans',
  scale: 'core',
  migrations: [
    `CREATE TABLE bans (
       address TEXT NOT NULL PRIMARY KEY,
       until_ms BIGINT NOT NULL,
       reason TEXT NOT NULL
     )`,
  ],
  operations: {
    /** The bans in force, the one that ends first in front; at most `limit`. */
    inForce: read(async (tx, { limit }: { limit: number }): Promise<BanRow[]> => {
      const rows = await tx.all(
        'SELECT address, until_ms, reason FROM bans WHERE until_ms > ? ORDER BY until_ms DESC LIMIT ?',
        tx.now,
        limit,
      )
      return rows
        .map(([address, until, reason]) => ({ address: String(address), until: Number(until), reason: String(reason) }))
        .reverse()
    }),

    /** Writes these bans, takes those addresses out, and forgets what has ended. */
    change: write(async (tx, { set, lift }: { set: readonly BanRow[]; lift: readonly string[] }): Promise<void> => {
      await tx.run('DELETE FROM bans WHERE until_ms <= ?', tx.now)
      for (const address of lift) await tx.run('DELETE FROM bans WHERE address = ?', address)
      for (const { address, until, reason } of set) {
        await tx.run(
          'INSERT INTO bans (address, until_ms, reason) VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason',
          address,
          until,
          reason,
        )
      }
    }),
  },
})
