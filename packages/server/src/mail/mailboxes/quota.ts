// RFC 9208: how much an account holds and may hold. The totals stand in `mail_state` and change with the mailboxes, in the same transaction.

import { read, StoreError, type Transaction, write } from '../../store/contracts.ts'
import { takeNumbers } from './clock.ts'

/** What is limited. Undefined: no limit. */
export interface Limits {
  /** Sum of RFC822.SIZE over all mailboxes. */
  readonly octets: number | undefined
  readonly messages: number | undefined
  readonly mailboxes: number | undefined
}

export const NO_LIMITS: Limits = { octets: undefined, messages: undefined, mailboxes: undefined }

/** What comes in by one change; what goes by the same change counts off. */
export interface Incoming {
  readonly octets?: number
  readonly messages?: number
  readonly mailboxes?: number
}

export interface Usage {
  readonly octets: number
  readonly messages: number
  readonly mailboxes: number
  /** As they hold for this account. */
  readonly limits: Limits
  /** Which limits are this account's own. */
  readonly own: { readonly [Name in keyof Limits]: boolean }
}

const UNLIMITED = -1

/** A limit: the account's own, where it has one. */
const limitOf = (own: unknown, otherwise: number | undefined): number | undefined =>
  own === null ? otherwise : own === UNLIMITED ? undefined : Number(own)

const noRoom = (): StoreError => new StoreError('OVERQUOTA', 'There is not enough room left for this')
const tooManyMessages = (): StoreError => new StoreError('OVERQUOTA', 'No more messages can be kept')

/** Limits that the account has not of its own are `defaults`. */
export async function usageOf(tx: Transaction, defaults: Limits): Promise<Usage> {
  const row = await tx.get(
    'SELECT octets, messages, mailboxes, octets_limit, messages_limit, mailboxes_limit FROM mail_state WHERE id = 1',
  )
  const [octets, messages, mailboxes, ownOctets = null, ownMessages = null, ownMailboxes = null] = row ?? []
  return {
    octets: Number(octets ?? 0),
    messages: Number(messages ?? 0),
    mailboxes: Number(mailboxes ?? 0),
    limits: {
      octets: limitOf(ownOctets, defaults.octets),
      messages: limitOf(ownMessages, defaults.messages),
      mailboxes: limitOf(ownMailboxes, defaults.mailboxes),
    },
    own: { octets: ownOctets !== null, messages: ownMessages !== null, mailboxes: ownMailboxes !== null },
  }
}

/** Throws `StoreError('OVERQUOTA')` where `incoming` does not fit. What does not grow always fits. */
export async function haveRoom(tx: Transaction, defaults: Limits, incoming: Incoming): Promise<void> {
  const usage = await usageOf(tx, defaults)
  const over = (name: keyof Limits): boolean => {
    const more = incoming[name] ?? 0
    return more > 0 && usage[name] + more > (usage.limits[name] ?? Infinity)
  }
  if (over('octets')) throw noRoom()
  if (over('messages')) throw tooManyMessages()
  if (over('mailboxes')) throw new StoreError('OVERQUOTA', 'No more mailboxes can be kept')
}

/** What an account grows by when messages come. What leaves by the same change, which is counted when it goes, makes room. */
export interface Admission {
  /** So many are new to the account: as many messages. */
  readonly emails: number
  readonly octets: number
  readonly leaving: { readonly octets: number; readonly messages: number }
}

/**
 * Moves the clock on by one, takes numbers for emails, and counts what comes: as `tick`, `haveRoom` and `changeTotals` do, in one statement. Throws `StoreError('OVERQUOTA')`. `email` is the last
 * number taken.
 */
export async function admit(
  tx: Transaction,
  defaults: Limits,
  { emails, octets, leaving }: Admission,
): Promise<{ readonly modseq: number; readonly email: number }> {
  const row = await tx.get(
    'UPDATE mail_state SET modseq = modseq + 1, email = email + ?, octets = octets + ?, messages = messages + ? WHERE id = 1 RETURNING modseq, email, octets, messages, octets_limit, messages_limit',
    emails,
    octets,
    emails,
  )
  if (row === undefined) {
    // The row is there from the first change on.
    await takeNumbers(tx, {})
    return admit(tx, defaults, { emails, octets, leaving })
  }
  const [modseq, email, usedOctets, usedMessages, ownOctets, ownMessages] = row
  const over = (used: unknown, more: number, less: number, own: unknown, otherwise: number | undefined): boolean =>
    more > less && Number(used) - less > (limitOf(own, otherwise) ?? Infinity)
  if (over(usedOctets, octets, leaving.octets, ownOctets, defaults.octets)) throw noRoom()
  if (over(usedMessages, emails, leaving.messages, ownMessages, defaults.messages)) throw tooManyMessages()
  return { modseq: Number(modseq), email: Number(email) }
}

/** Counts for the whole account. */
export async function changeTotals(
  tx: Transaction,
  { octets = 0, messages = 0, mailboxes = 0 }: Incoming,
): Promise<void> {
  await tx.run(
    'UPDATE mail_state SET octets = octets + ?, messages = messages + ?, mailboxes = mailboxes + ? WHERE id = 1',
    octets,
    messages,
    mailboxes,
  )
}

export const quota = read(async (tx, { limits }: { limits: Limits }): Promise<Usage> => usageOf(tx, limits))

/** A limit of this account alone: a number, `'none'`, `'default'` for what the config says, or undefined to leave it as it is. */
export type LimitChange = number | 'none' | 'default' | undefined

export interface QuotaChange {
  readonly octets?: LimitChange
  readonly messages?: LimitChange
  readonly mailboxes?: LimitChange
}

export const setQuota = write(
  async (tx, { change, limits }: { change: QuotaChange; limits: Limits }): Promise<Usage> => {
    // The row is there from the first change on.
    await takeNumbers(tx, {})
    for (const [value, sql] of [
      [change.octets, 'UPDATE mail_state SET octets_limit = ? WHERE id = 1'],
      [change.messages, 'UPDATE mail_state SET messages_limit = ? WHERE id = 1'],
      [change.mailboxes, 'UPDATE mail_state SET mailboxes_limit = ? WHERE id = 1'],
    ] as const)
      if (value !== undefined) await tx.run(sql, value === 'default' ? null : value === 'none' ? UNLIMITED : value)
    return usageOf(tx, limits)
  },
)
