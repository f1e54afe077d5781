// XEP-0401: invitations. Store workers import this file: it must stay light.

import { defineStore, read, type SqlRow, StoreError, write } from '../../store/contracts.ts'

/** To make an account, to become a contact, or to set a new password. */
export type InviteKind = 'account' | 'contact' | 'reset'

export interface Invite {
  readonly token: string
  readonly kind: InviteKind
  /** The domain that it is good for. */
  readonly domain: string
  /** The address of the account that becomes a contact of who comes; '' where nobody does. */
  readonly inviter: string
  /** The address that the new account has to have (`account`), or whose password is set (`reset`); '' for a free choice. */
  readonly address: string
  /** Of the new account. */
  readonly role: string
  /** A `contact` invitation may be used to make an account, too. */
  readonly register: boolean
  /** Milliseconds since the epoch. */
  readonly created: number
  readonly expires: number
  /** How often it can be used still. */
  readonly uses: number
}

const COLUMNS = 'token, kind, domain, inviter, address, role, register, created, expires, uses'

const inviteOf = (row: SqlRow): Invite => ({
  token: String(row[0]),
  kind: row[1] as InviteKind,
  domain: String(row[2]),
  inviter: String(row[3]),
  address: String(row[4]),
  role: String(row[5]),
  register: row[6] === 1,
  created: Number(row[7]),
  expires: Number(row[8]),
  uses: Number(row[9]),
})

export const invitesStore = defineStore({
  name: 'chat_invite',
  scale: 'core',
  migrations: [
    `
CREATE TABLE chat_invite (
  token TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  domain TEXT NOT NULL,
  inviter TEXT NOT NULL,
  address TEXT NOT NULL,
  role TEXT NOT NULL,
  register BIGINT NOT NULL,
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  uses BIGINT NOT NULL
);
CREATE INDEX chat_invite_inviter ON chat_invite (inviter, created);
CREATE INDEX chat_invite_expires ON chat_invite (expires);
`,
  ],
  operations: {
    /** Keeps an invitation; those that are over go. Throws `limit` where the inviter has `limit` of them already. */
    add: write(async (tx, { invite, limit }: { readonly invite: Invite; readonly limit: number }) => {
      await tx.run('DELETE FROM chat_invite WHERE expires < ?', invite.created)
      if (invite.inviter !== '') {
        const count = await tx.get('SELECT count(*) FROM chat_invite WHERE inviter = ?', invite.inviter)
        if (Number(count?.[0]) >= limit) throw new StoreError('limit', 'there are too many invitations of this account')
      }
      await tx.run(
        `INSERT INTO chat_invite (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        invite.token,
        invite.kind,
        invite.domain,
        invite.inviter,
        invite.address,
        invite.role,
        invite.register ? 1 : 0,
        invite.created,
        invite.expires,
        invite.uses,
      )
    }),

    find: read(async (tx, { token }: { readonly token: string }): Promise<Invite | undefined> => {
      const row = await tx.get(`SELECT ${COLUMNS} FROM chat_invite WHERE token = ?`, token)
      return row === undefined ? undefined : inviteOf(row)
    }),

    /** Uses an invitation once; false where it is used up or gone. What was used up stays until it expires, so that the use can be taken back. */
    use: write(
      async (tx, { token }: { readonly token: string }): Promise<boolean> =>
        (await tx.run('UPDATE chat_invite SET uses = uses - 1 WHERE token = ? AND uses > 0', token)) === 1,
    ),

    /** Takes a use back: nothing came of it. */
    giveBack: write(async (tx, { token }: { readonly token: string }) => {
      await tx.run('UPDATE chat_invite SET uses = uses + 1 WHERE token = ?', token)
    }),

    /** Those that can be used still, newest first. */
    list: read(
      async (tx, { now, limit }: { readonly now: number; readonly limit: number }): Promise<readonly Invite[]> => {
        const rows = await tx.all(
          `SELECT ${COLUMNS} FROM chat_invite WHERE uses > 0 AND expires > ? ORDER BY created DESC, token LIMIT ?`,
          now,
          limit,
        )
        return rows.map(inviteOf)
      },
    ),

    /** True where there was one. */
    revoke: write(
      async (tx, { token }: { readonly token: string }): Promise<boolean> =>
        (await tx.run('DELETE FROM chat_invite WHERE token = ?', token)) === 1,
    ),

    /** Forgets the invitations of an account, and those that set its password: it is erased. */
    forget: write(async (tx, { address }: { readonly address: string }) => {
      await tx.run("DELETE FROM chat_invite WHERE inviter = ? OR (kind = 'reset' AND address = ?)", address, address)
    }),
  },
})
