// RFC 4314: what somebody may do in a mailbox of another account. The owner's database is the only place that knows.

import { ALL_RIGHTS, type FlagSet, type Rights } from '@aviso/imap/backend'
import { StoreError, type Transaction } from '../../../store/contracts.ts'
import { type MailboxRow, mailboxByName } from '../mailbox-rows.ts'
import { canonicalName } from '../names.ts'

/** Somebody else in an account's mail. Where an order names no visitor, the owner gives it and may do everything. */
export interface Visitor {
  /** Their account's id. */
  readonly account: string
  /** They are of the owner's domain, so that `anyone` means them too. */
  readonly neighbour: boolean
}

/** The identifier of all accounts of the owner's domain. No account's id can be this: ids are longer. */
export const ANYONE = 'anyone'

/** Any one of these lets a visitor know that the mailbox exists. */
const REVEALING = /[lrikxa]/

/** The union of what the visitor was given and what anyone was given. */
export async function rightsOf(tx: Transaction, mailbox: number, visitor: Visitor | undefined): Promise<Rights> {
  if (visitor === undefined) return ALL_RIGHTS
  const rows = await tx.all(
    'SELECT rights FROM mail_acl WHERE mailbox = ? AND identifier IN (?, ?)',
    mailbox,
    visitor.account,
    visitor.neighbour ? ANYONE : visitor.account,
  )
  return ordered(rows.map(([rights]) => String(rights)).join(''))
}

/** Each right once, in the usual order; what is no right falls away. */
export const ordered = (rights: string): Rights => [...ALL_RIGHTS].filter((right) => rights.includes(right)).join('')

/** `StoreError('NOPERM')` where one of `needed` is missing, and the error for a mailbox that is not there where the visitor may not know better. */
export async function demand(
  tx: Transaction,
  mailbox: number,
  visitor: Visitor | undefined,
  needed: string,
  missing = 'NONEXISTENT',
): Promise<Rights> {
  const rights = await rightsOf(tx, mailbox, visitor)
  if (!REVEALING.test(rights)) throw new StoreError(missing, 'There is no such mailbox')
  for (const right of needed)
    if (!rights.includes(right))
      throw new StoreError('NOPERM', `This needs the right "${right}" on the mailbox, which its owner has not given`)
  return rights
}

/** The mailbox of that name, which the visitor must have the rights for. */
export async function visited(
  tx: Transaction,
  name: string,
  visitor: Visitor | undefined,
  needed: string,
  missing = 'NONEXISTENT',
): Promise<{ readonly mailbox: MailboxRow; readonly rights: Rights }> {
  const mailbox = await mailboxByName(tx, canonicalName(name))
  if (mailbox === undefined) throw new StoreError(missing, 'There is no such mailbox')
  return { mailbox, rights: await demand(tx, mailbox.id, visitor, needed, missing) }
}

/** RFC 4314 §4: which right a flag needs. */
export const mayFlag = (rights: Rights, flag: string): boolean => {
  const lower = flag.toLowerCase()
  return rights.includes(lower === '\\seen' ? 's' : lower === '\\deleted' ? 't' : 'w')
}

/** The flags that somebody with these rights can put on a new message. The others are left out, not refused (RFC 4314 §4, COPY). */
export const allowedFlags = (rights: Rights, flags: FlagSet): FlagSet =>
  rights === ALL_RIGHTS ? flags : flags.filter((flag) => mayFlag(rights, flag))

/** `next` where the rights allow the change, `old` where they do not. */
export const maskFlags = (rights: Rights, old: FlagSet, next: FlagSet): FlagSet =>
  rights === ALL_RIGHTS
    ? next
    : [...old.filter((flag) => !mayFlag(rights, flag)), ...next.filter((flag) => mayFlag(rights, flag))]

/** RFC 4314 §4 CREATE: a new mailbox has the access list of the one above it. */
export async function inheritAccess(tx: Transaction, name: string, mailbox: number): Promise<void> {
  const end = name.lastIndexOf('/')
  if (end < 0) return
  const above = await mailboxByName(tx, name.slice(0, end))
  if (above !== undefined)
    await tx.run(
      'INSERT INTO mail_acl (mailbox, identifier, rights) SELECT CAST(? AS BIGINT), identifier, rights FROM mail_acl WHERE mailbox = ?',
      mailbox,
      above.id,
    )
}

/** RFC 4314 §4: CREATE, and RENAME to there, need `k` on the nearest mailbox above. */
export async function demandPlace(tx: Transaction, name: string, visitor: Visitor | undefined): Promise<void> {
  if (visitor === undefined) return
  for (let end = name.lastIndexOf('/'); end > 0; end = name.lastIndexOf('/', end - 1)) {
    const above = await mailboxByName(tx, name.slice(0, end))
    if (above === undefined) continue
    await demand(tx, above.id, visitor, 'k')
    return
  }
  throw new StoreError('NOPERM', 'Only the owner makes mailboxes at the top')
}

/** True when the account shares anything. */
export async function sharesAny(tx: Transaction): Promise<boolean> {
  return (await tx.get('SELECT 1 FROM mail_acl LIMIT 1')) !== undefined
}

/** What was noted on a mailbox and granted in it goes with it. True when somebody else could use it. */
export async function forgetSharing(tx: Transaction, mailbox: number): Promise<boolean> {
  await tx.run('DELETE FROM mail_metadata WHERE mailbox = ?', mailbox)
  return (await tx.run('DELETE FROM mail_acl WHERE mailbox = ?', mailbox)) > 0
}
