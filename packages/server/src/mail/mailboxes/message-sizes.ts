// RFC 7889: how large a message may be for a mailbox, by limits of its account and of its own.

import { StoreError } from '../../store/contracts.ts'
import type { Limits } from './quota.ts'

/** Octets of the largest message that one account takes by limits of its own, beside what the server says. */
export interface Sizes {
  readonly account: number | undefined
  /** By the numbers of mailboxes. */
  readonly mailboxes: ReadonlyMap<number, number>
}

/** What one change may bring in: of everything together, and of one message. */
export interface Bounds extends Limits {
  readonly sizes?: Sizes | undefined
}

/** The largest message for a mailbox by limits of its own and its account's; undefined: there are none. */
export function largestFor(sizes: Sizes | undefined, mailbox: number): number | undefined {
  const limit = Math.min(sizes?.account ?? Infinity, sizes?.mailboxes.get(mailbox) ?? Infinity)
  return limit === Infinity ? undefined : limit
}

/** Throws `StoreError('TOOBIG')` where one of the messages is too large for the mailbox. */
export function fitting(
  sizes: Sizes | undefined,
  mailbox: number,
  messages: readonly { readonly size: number }[],
): void {
  const limit = largestFor(sizes, mailbox)
  if (limit !== undefined && messages.some(({ size }) => size > limit))
    throw new StoreError('TOOBIG', `Messages may have ${limit} octets at most in this mailbox`)
}

/** The same with so many octets more: a mail grows on its way. */
export const roomier = (sizes: Sizes | undefined, octets: number): Sizes | undefined =>
  sizes && {
    account: sizes.account === undefined ? undefined : sizes.account + octets,
    mailboxes: new Map([...sizes.mailboxes].map(([mailbox, limit]) => [mailbox, limit + octets])),
  }
