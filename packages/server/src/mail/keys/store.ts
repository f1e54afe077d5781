// Private keys and secrets of the mail rooms, in the server's own database: they are saved, moved and restored with it.

import { defineStore, read, type SqlRow, type Transaction, write } from '../../store/contracts.ts'

/** A DKIM key as it is kept. Times in milliseconds. */
export interface StoredKey {
  readonly domain: string
  readonly selector: string
  /** `rsa-sha256` or `ed25519-sha256` (RFC 8463). */
  readonly algorithm: string
  /** PKCS #8 in PEM. */
  readonly privateKey: string
  readonly created: number
  /** From when on, and until when, it signs. `ends` null: for ever. */
  readonly starts: number
  readonly ends: number | null
}

/** Tells that keys changed, on the topic of the core database. */
export const KEYS_CHANGED = 'mail-keys'

const COLUMNS = 'domain, selector, algorithm, private_key, created, starts, ends'

const keyOf = (row: SqlRow): StoredKey => ({
  domain: String(row[0]),
  selector: String(row[1]),
  algorithm: String(row[2]),
  privateKey: String(row[3]),
  created: Number(row[4]),
  starts: Number(row[5]),
  ends: row[6] === null ? null : Number(row[6]),
})

async function keysOf(tx: Transaction, domain: string): Promise<readonly StoredKey[]> {
  const rows = await tx.all(`SELECT ${COLUMNS} FROM mailkey_dkim WHERE domain = ? ORDER BY starts, selector`, domain)
  return rows.map(keyOf)
}

async function insert(tx: Transaction, key: StoredKey): Promise<void> {
  await tx.run(
    `INSERT INTO mailkey_dkim (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    key.domain,
    key.selector,
    key.algorithm,
    key.privateKey,
    key.created,
    key.starts,
    key.ends,
  )
}

export const keyStore = defineStore({
  name: 'mailkey',
  scale: 'core',
  migrations: [
    `CREATE TABLE mailkey_dkim (
       domain TEXT NOT NULL, selector TEXT NOT NULL, algorithm TEXT NOT NULL, private_key TEXT NOT NULL, created INTEGER NOT NULL, starts INTEGER NOT NULL,
       ends INTEGER, PRIMARY KEY (domain, selector)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE mailkey_secret (name TEXT PRIMARY KEY, secret BLOB NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
  ],
  operations: {
    /** All keys of a domain, in the order in which they begin to sign. */
    keys: read((tx, { domain }: { readonly domain: string }) => keysOf(tx, domain)),

    domains: read(async (tx) => {
      const rows = await tx.all('SELECT DISTINCT domain FROM mailkey_dkim ORDER BY domain')
      return rows.map(([domain]) => String(domain))
    }),

    /** Keeps keys of algorithms that the domain has none of yet: of two who make some at the same time, the first one's count. Answers all keys of the domain. */
    first: write(async (tx, { keys }: { readonly keys: readonly StoredKey[] }) => {
      const [{ domain } = { domain: '' }] = keys
      const known = new Set((await keysOf(tx, domain)).map(({ algorithm }) => algorithm))
      const missing = keys.filter(({ algorithm }) => !known.has(algorithm))
      for (const key of missing) await insert(tx, key)
      if (missing.length > 0) tx.publish({ kind: KEYS_CHANGED })
      return keysOf(tx, domain)
    }),

    /** Keeps keys that follow those of the same domain and algorithm, which sign until then. One that has not begun by then never does. */
    follow: write(async (tx, { keys }: { readonly keys: readonly StoredKey[] }) => {
      for (const key of keys) {
        await tx.run(
          'DELETE FROM mailkey_dkim WHERE domain = ? AND algorithm = ? AND starts >= ? AND starts > ?',
          key.domain,
          key.algorithm,
          key.starts,
          tx.now,
        )
        await tx.run(
          'UPDATE mailkey_dkim SET ends = ? WHERE domain = ? AND algorithm = ? AND (ends IS NULL OR ends > ?)',
          key.starts,
          key.domain,
          key.algorithm,
          key.starts,
        )
        await insert(tx, key)
      }
      tx.publish({ kind: KEYS_CHANGED })
    }),

    /** Erases a key. Tells whether there was one. */
    remove: write(async (tx, { domain, selector }: { readonly domain: string; readonly selector: string }) => {
      const gone = await tx.run('DELETE FROM mailkey_dkim WHERE domain = ? AND selector = ?', domain, selector)
      if (gone > 0) tx.publish({ kind: KEYS_CHANGED })
      return gone > 0
    }),

    /** The secret of that name; `fresh` becomes it where there is none. */
    secret: write(async (tx, { name, fresh }: { readonly name: string; readonly fresh: Uint8Array }) => {
      await tx.run(
        'INSERT INTO mailkey_secret (name, secret, created) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING',
        name,
        fresh,
        tx.now,
      )
      const row = await tx.get('SELECT secret FROM mailkey_secret WHERE name = ?', name)
      return row?.[0] as Uint8Array
    }),
  },
})
