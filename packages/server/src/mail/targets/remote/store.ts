// What remote delivery keeps on disk: how TLS went (RFC 8460), counted by day and destination, and MTA-STS policies (RFC 8461 §3.3).

import { defineStore, read, type SqlRow, write } from '../../../store/contracts.ts'

/** The name of the service database. */
export const REMOTE = 'remote'

/** One line of a day's counts. */
export interface TlsCount {
  /** `2026-11-26`, in UTC. */
  readonly day: string
  readonly domain: string
  /** What {@link TlsSession} says of policy and failure, as JSON: the same text counts as the same. */
  readonly key: string
  readonly count: number
}

/** A policy as it is kept. */
export interface StsRow {
  readonly domain: string
  readonly id: string
  /** The text as it was fetched. */
  readonly text: string
  /** Milliseconds since the epoch. */
  readonly fetched: number
  readonly until: number
  readonly used: number
}

const stsOf = (row: SqlRow): StsRow => ({
  domain: String(row[0]),
  id: String(row[1]),
  text: String(row[2]),
  fetched: Number(row[3]),
  until: Number(row[4]),
  used: Number(row[5]),
})

const STS = 'domain, id, text, fetched, until_ms, used'

export const remoteStore = defineStore({
  name: 'remote',
  scale: 'service',
  migrations: [
    `CREATE TABLE remote_tls (
       day TEXT NOT NULL, domain TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (day, domain, what)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE remote_sts (
       domain TEXT PRIMARY KEY, id TEXT NOT NULL, text TEXT NOT NULL, fetched INTEGER NOT NULL, until_ms INTEGER NOT NULL, used INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX remote_sts_fetched ON remote_sts (fetched);`,
  ],
  operations: {
    /** Adds to the counts, and forgets days before `keep`. */
    count: write(
      async (tx, { counts, keep }: { readonly counts: readonly TlsCount[]; readonly keep: string }): Promise<void> => {
        await tx.run('DELETE FROM remote_tls WHERE day < ?', keep)
        for (const { day, domain, key, count } of counts)
          await tx.run(
            'INSERT INTO remote_tls (day, domain, what, count) VALUES (?, ?, ?, ?) ON CONFLICT (day, domain, what) DO UPDATE SET count = count + excluded.count',
            day,
            domain,
            key,
            count,
          )
      },
    ),

    /** The counts of one day, for domains behind `after`, at most `limit` domains of them. */
    counts: read(
      async (
        tx,
        { day, after, limit }: { readonly day: string; readonly after: string; readonly limit: number },
      ): Promise<readonly TlsCount[]> => {
        const rows = await tx.all(
          `SELECT day, domain, what, count FROM remote_tls WHERE day = ? AND domain IN (
             SELECT DISTINCT domain FROM remote_tls WHERE day = ? AND domain > ? ORDER BY domain LIMIT ?
           ) ORDER BY domain, what`,
          day,
          day,
          after,
          limit,
        )
        return rows.map(([at, domain, key, count]) => ({
          day: String(at),
          domain: String(domain),
          key: String(key),
          count: Number(count),
        }))
      },
    ),

    /** Forgets what was reported. */
    reported: write(async (tx, { day, domain }: { readonly day: string; readonly domain: string }): Promise<void> => {
      await tx.run('DELETE FROM remote_tls WHERE day = ? AND domain = ?', day, domain)
    }),

    policy: read(async (tx, { domain }: { readonly domain: string }): Promise<StsRow | undefined> => {
      const row = await tx.get(`SELECT ${STS} FROM remote_sts WHERE domain = ?`, domain)
      return row === undefined ? undefined : stsOf(row)
    }),

    putPolicy: write(async (tx, { domain, id, text, fetched, until, used }: StsRow): Promise<void> => {
      await tx.run(
        `INSERT INTO remote_sts (${STS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (domain) DO UPDATE SET
           id = excluded.id, text = excluded.text, fetched = excluded.fetched, until_ms = excluded.until_ms, used = excluded.used`,
        domain,
        id,
        text,
        fetched,
        until,
        used,
      )
    }),

    /** Notes that these were used, and forgets those that have ended. */
    used: write(async (tx, { domains }: { readonly domains: readonly string[] }): Promise<void> => {
      await tx.run('DELETE FROM remote_sts WHERE until_ms <= ?', tx.now)
      for (const domain of domains) await tx.run('UPDATE remote_sts SET used = ? WHERE domain = ?', tx.now, domain)
    }),

    /** Policies that were used after `used` and last fetched before `fetched`, the oldest first. */
    stale: read(
      async (
        tx,
        { fetched, used, limit }: { readonly fetched: number; readonly used: number; readonly limit: number },
      ): Promise<readonly StsRow[]> =>
        (
          await tx.all(
            `SELECT ${STS} FROM remote_sts WHERE fetched < ? AND used > ? AND until_ms > ? ORDER BY fetched LIMIT ?`,
            fetched,
            used,
            tx.now,
            limit,
          )
        ).map(stsOf),
    ),
  },
})
