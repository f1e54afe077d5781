// Emails: what a message says, kept once however many mailboxes it stands in. Everything that is derived of an email is made and dropped here.

import type { Transaction } from '../../store/contracts.ts'
import { CODEC, type Rendered, type Stored } from './octets.ts'
import { joinThread, leaveThread } from './threads.ts'

/** The edition of the renderer. With a new one, a migration makes the index `mail_email_stale` anew. */
export const EDITION = 1

/** The pieces that have tables of their own. */
export type Listed = Pick<Rendered, 'commonHeader' | 'preview' | 'keys'>

/** Keeps a new email, held by one message. */
export async function keepEmail(tx: Transaction, email: number, stored: Stored): Promise<void> {
  await tx.run(
    'INSERT INTO mail_email (id, refcount, size, header_size, codec, blob, envelope, body_structure, body, rendered) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?)',
    email,
    stored.size,
    stored.headerSize,
    stored.codec,
    stored.blob,
    stored.envelope,
    stored.bodyStructure,
    stored.body,
    EDITION,
  )
  await tx.run(
    'INSERT INTO mail_octets (email, header, content) VALUES (?, ?, ?)',
    email,
    stored.header ?? null,
    stored.codec === CODEC.blob ? null : stored.content,
  )
  await keepDerived(tx, email, stored)
}

/** Keeps what an email rendered again looks like. */
export async function keepRendered(tx: Transaction, email: number, rendered: Rendered): Promise<void> {
  const known = await tx.run(
    'UPDATE mail_email SET envelope = ?, body_structure = ?, body = ?, rendered = ? WHERE id = ?',
    rendered.envelope,
    rendered.bodyStructure,
    rendered.body,
    EDITION,
    email,
  )
  if (known === 0) return
  await keepDerived(tx, email, rendered, await takeDerived(tx, email))
}

/** Keeps what lists show of an email whose octets cannot be read any more; its other pieces stay as they are. */
export async function keepListed(tx: Transaction, email: number, listed: Listed): Promise<void> {
  if ((await tx.run('UPDATE mail_email SET rendered = ? WHERE id = ?', EDITION, email)) > 0)
    await keepDerived(tx, email, listed, await takeDerived(tx, email))
}

/** Drops an email that nothing holds. */
export async function dropEmail(tx: Transaction, email: number): Promise<void> {
  const thread = await takeDerived(tx, email)
  if (thread !== undefined) await leaveThread(tx, thread)
  await tx.run('DELETE FROM mail_octets WHERE email = ?', email)
  await tx.run('DELETE FROM mail_email WHERE id = ?', email)
}

async function keepDerived(
  tx: Transaction,
  email: number,
  { commonHeader, preview, keys }: Listed,
  thread?: number,
): Promise<void> {
  await tx.run(
    'INSERT INTO mail_listing (email, common_header, preview) VALUES (?, ?, ?)',
    email,
    commonHeader,
    preview,
  )
  await tx.run(
    'INSERT INTO mail_keys (email, thread, subject, from_mailbox, to_mailbox, cc_mailbox, display_from, display_to, sent, threading) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    email,
    await joinThread(tx, email, keys, thread),
    keys.subject,
    keys.from,
    keys.to,
    keys.cc,
    keys.displayFrom,
    keys.displayTo,
    keys.sent,
    keys.threading,
  )
}

/** Takes away what is derived of an email. Answers the thread that it was in. */
async function takeDerived(tx: Transaction, email: number): Promise<number | undefined> {
  await tx.run('DELETE FROM mail_listing WHERE email = ?', email)
  const row = await tx.get('DELETE FROM mail_keys WHERE email = ? RETURNING thread', email)
  return row === undefined ? undefined : Number(row[0])
}
