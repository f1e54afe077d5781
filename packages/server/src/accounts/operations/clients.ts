// SQL of the programs that log in to an account, and of the tokens they log in with (XEP-0484).

import { read, type SqlRow, type Transaction, write } from '../../store/contracts.ts'
import { type AccountRow, publish, visible, visibleByAddress } from './accounts.ts'
import { audit } from './audit.ts'

export interface ClientRow {
  /** The hash of its id. */
  readonly client: string
  readonly software: string
  readonly device: string
  readonly created: number
  /** When it logged in last, to the hour. */
  readonly used: number
  /** Until when its token may be used; undefined where it has none. */
  readonly expires: number | undefined
}

export interface TokenRow {
  readonly slot: 'new' | 'current'
  readonly mechanism: string
  /** In base64. */
  readonly secret: string
  readonly issued: number
  readonly expires: number
  /** The greatest count that was used. */
  readonly count: number
}

export interface SeenClient {
  readonly account: string
  readonly client: string
  readonly software: string
  readonly device: string
}

/** Of so many clients an account's list consists; who came longest ago goes. */
const MOST_CLIENTS = 64

/** Forgets the tokens of an account. */
export async function dropTokens(tx: Transaction, account: string): Promise<void> {
  await tx.run('DELETE FROM accounts_token WHERE account = ?', account)
}

/** Forgets the clients of an account, and their tokens. */
export async function dropClients(tx: Transaction, account: string): Promise<void> {
  await dropTokens(tx, account)
  await tx.run('DELETE FROM accounts_client WHERE account = ?', account)
}

async function putClient(tx: Transaction, { account, client, software, device }: SeenClient): Promise<void> {
  await tx.run(
    `INSERT INTO accounts_client (account, client, software, device, created, used) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (account, client) DO UPDATE SET software = excluded.software, device = excluded.device, used = excluded.used`,
    account,
    client,
    software,
    device,
    tx.now,
    tx.now,
  )
  const surplus = await tx.all(
    'SELECT client FROM accounts_client WHERE account = ? ORDER BY used DESC, client LIMIT 1000 OFFSET ?',
    account,
    MOST_CLIENTS,
  )
  for (const [old] of surplus) await dropClient(tx, account, String(old))
}

async function dropClient(tx: Transaction, account: string, client: string): Promise<void> {
  await tx.run('DELETE FROM accounts_token WHERE account = ? AND client = ?', account, client)
  await tx.run('DELETE FROM accounts_client WHERE account = ? AND client = ?', account, client)
}

const tokenOf = (row: SqlRow): TokenRow => ({
  slot: row[0] === 'new' ? 'new' : 'current',
  mechanism: String(row[1]),
  secret: String(row[2]),
  issued: Number(row[3]),
  expires: Number(row[4]),
  count: Number(row[5]),
})

export const clientOperations = {
  /** The account and the tokens of one of its clients, the newest first. */
  tokens: read(
    async (
      tx,
      { address, client }: { readonly address: string; readonly client: string },
    ): Promise<{ readonly account: AccountRow; readonly tokens: readonly TokenRow[] } | undefined> => {
      const account = await visibleByAddress(tx, address)
      if (account === undefined) return undefined
      const rows = await tx.all(
        `SELECT slot, mechanism, secret, issued, expires, count FROM accounts_token WHERE account = ? AND client = ? ORDER BY slot DESC`,
        account.id,
        client,
      )
      return { account, tokens: rows.map(tokenOf) }
    },
  ),

  /**
   * A client has proved that it has a token: a new one takes the place of the current one (XEP-0484 §5.1). False where the token has gone meanwhile, or the
   * count was used before.
   */
  useToken: write(
    async (
      tx,
      use: {
        readonly account: string
        readonly client: string
        readonly secret: string
        readonly count: number | undefined
        readonly invalidate: boolean
      },
    ): Promise<boolean> => {
      const { account, client, secret, count } = use
      const row = await tx.get(
        'SELECT slot, count FROM accounts_token WHERE account = ? AND client = ? AND secret = ?',
        account,
        client,
        secret,
      )
      if (row === undefined || (count !== undefined && count <= Number(row[1]))) return false
      if (row[0] === 'new')
        await tx.run(
          `DELETE FROM accounts_token WHERE account = ? AND client = ? AND slot = 'current'`,
          account,
          client,
        )
      if (use.invalidate)
        await tx.run(
          'DELETE FROM accounts_token WHERE account = ? AND client = ? AND secret = ?',
          account,
          client,
          secret,
        )
      else
        await tx.run(
          `UPDATE accounts_token SET slot = 'current', count = ? WHERE account = ? AND client = ? AND secret = ?`,
          count ?? Number(row[1]),
          account,
          client,
          secret,
        )
      return true
    },
  ),

  /** Gives a client a new token. False where the account was changed since `began`: who logged in before a password was changed gets none after it. */
  giveToken: write(
    async (
      tx,
      token: SeenClient & {
        readonly mechanism: string
        readonly secret: string
        readonly expires: number
        readonly began: number
      },
    ): Promise<boolean> => {
      const row = await tx.get(`SELECT updated FROM accounts_account WHERE id = ? AND state = 'active'`, token.account)
      if (row === undefined || Number(row[0]) > token.began) return false
      await putClient(tx, token)
      await tx.run(
        `INSERT INTO accounts_token (account, client, slot, mechanism, secret, issued, expires, count) VALUES (?, ?, 'new', ?, ?, ?, ?, 0)
         ON CONFLICT (account, client, slot) DO UPDATE SET mechanism = excluded.mechanism, secret = excluded.secret, issued = excluded.issued,
         expires = excluded.expires, count = 0`,
        token.account,
        token.client,
        token.mechanism,
        token.secret,
        tx.now,
        token.expires,
      )
      return true
    },
  ),

  seenClient: write(async (tx, seen: SeenClient) => {
    const known = await tx.get(`SELECT 1 FROM accounts_account WHERE id = ? AND state = 'active'`, seen.account)
    if (known !== undefined) await putClient(tx, seen)
  }),

  listClients: read(async (tx, address: string): Promise<readonly ClientRow[]> => {
    const { id } = await visible(tx, address)
    const rows = await tx.all(
      `SELECT c.client, c.software, c.device, c.created, c.used, (SELECT MAX(t.expires) FROM accounts_token t WHERE t.account = c.account AND t.client = c.client)
       FROM accounts_client c WHERE c.account = ? ORDER BY c.used DESC, c.client`,
      id,
    )
    return rows.map((row) => ({
      client: String(row[0]),
      software: String(row[1]),
      device: String(row[2]),
      created: Number(row[3]),
      used: Number(row[4]),
      expires: row[5] === null || row[5] === undefined ? undefined : Number(row[5]),
    }))
  }),

  /** Forgets a client, or all of them, with their tokens. Answers how many. `client` is the hash of an id, or its beginning. */
  revokeClients: write(
    async (
      tx,
      { address, client, by }: { readonly address: string; readonly client: string | undefined; readonly by: string },
    ): Promise<number> => {
      const { id } = await visible(tx, address)
      const rows = await tx.all('SELECT client FROM accounts_client WHERE account = ?', id)
      const revoked = rows.map(([name]) => String(name)).filter((name) => name.startsWith(client ?? ''))
      for (const name of revoked) await dropClient(tx, id, name)
      if (revoked.length === 0) return 0
      await audit(tx, by, 'clients revoked', address, revoked.join(' ').slice(0, 500))
      publish(tx, { kind: 'revoked', accountId: id, address, clients: revoked })
      return revoked.length
    },
  ),

  /** Tokens that nobody can use any more. */
  sweepTokens: write(async (tx, before: number) => {
    await tx.run('DELETE FROM accounts_token WHERE expires < ?', before)
  }),
}
