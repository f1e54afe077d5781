// RFC 4314: access lists, as operations on the owner's database.

import type { Rights } from '@aviso/imap/backend'
import { read, StoreError, type Transaction, write } from '../../../store/contracts.ts'
import { tick } from '../clock.ts'
import { announce, mailboxById } from '../mailbox-rows.ts'
import { ANYONE, ordered, rightsOf, type Visitor, visited } from './rights.ts'

/** Identifiers in one access list. */
const ENTRIES = 1000

/** Identifier (an account's id, or `anyone`) and rights. */
export type Grant = readonly [identifier: string, rights: Rights]

/** The access list without its owner. */
export const acl = read(
  async (tx, { name, visitor }: { name: string; visitor: Visitor | undefined }): Promise<readonly Grant[]> => {
    const { mailbox } = await visited(tx, name, visitor, 'a')
    const rows = await tx.all(
      'SELECT identifier, rights FROM mail_acl WHERE mailbox = ? ORDER BY identifier',
      mailbox.id,
    )
    return rows.map(([identifier, rights]) => [String(identifier), String(rights)])
  },
)

export interface AclOrder {
  readonly name: string
  readonly visitor: Visitor | undefined
  readonly identifier: string
  /** None, or undefined: the entry goes. */
  readonly rights: Rights | undefined
}

export const setAcl = write(async (tx, { name, visitor, identifier, rights = '' }: AclOrder): Promise<void> => {
  const { mailbox } = await visited(tx, name, visitor, 'a')
  const kept = ordered(rights)
  if (kept === '') await tx.run('DELETE FROM mail_acl WHERE mailbox = ? AND identifier = ?', mailbox.id, identifier)
  else
    await tx.run(
      'INSERT INTO mail_acl (mailbox, identifier, rights) VALUES (?, ?, ?) ON CONFLICT (mailbox, identifier) DO UPDATE SET rights = excluded.rights',
      mailbox.id,
      identifier,
      kept,
    )
  const count = await tx.get('SELECT count(*) FROM mail_acl WHERE mailbox = ?', mailbox.id)
  if (Number(count?.[0]) > ENTRIES)
    throw new StoreError('LIMIT', `An access list has ${ENTRIES} entries at most: use "anyone"`)
  announce(tx, undefined, (await tick(tx)).modseq)
})

/** A mailbox as a visitor finds it. */
export interface VisitedMailbox {
  readonly id: number
  readonly name: string
  readonly rights: Rights
}

/** All that the visitor has any right on. */
export const shared = read(async (tx, { visitor }: { visitor: Visitor }): Promise<readonly VisitedMailbox[]> => {
  const rows = await tx.all(
    'SELECT DISTINCT id, name FROM mail_acl JOIN mail_mailbox ON id = mailbox WHERE identifier IN (?, ?) ORDER BY name',
    visitor.account,
    visitor.neighbour ? ANYONE : visitor.account,
  )
  const found: VisitedMailbox[] = []
  for (const [id, name] of rows)
    found.push({ id: Number(id), name: String(name), rights: await rightsOf(tx, Number(id), visitor) })
  return found
})

/** What the visitor may do in a mailbox now; `StoreError('NONEXISTENT')` when it is gone. */
export const rights = read(async (tx, { mailbox, visitor }: { mailbox: number; visitor: Visitor }): Promise<Rights> => {
  await mailboxById(tx, mailbox)
  return rightsOf(tx, mailbox, visitor)
})

/** The mailbox of that name, which the visitor must have the right `needed` for, and all rights they have. */
export const visit = read(async (tx, { name, visitor, needed }: { name: string; visitor: Visitor; needed: string }) =>
  visited(tx, name, visitor, needed),
)

/** Every mailbox that is shared, with whom. */
export async function allGrants(tx: Transaction): Promise<readonly (readonly [mailbox: number, identifier: string])[]> {
  const rows = await tx.all('SELECT mailbox, identifier FROM mail_acl ORDER BY mailbox, identifier')
  return rows.map(([mailbox, identifier]) => [Number(mailbox), String(identifier)])
}

/** An account that has gone is let out of every access list, and its notes on mailboxes go. */
export const forgetVisitor = write(async (tx, { account }: { account: string }): Promise<void> => {
  await tx.run('DELETE FROM mail_acl WHERE identifier = ?', account)
  await tx.run('DELETE FROM mail_metadata WHERE holder = ?', account)
  announce(tx, undefined, (await tick(tx)).modseq)
})
