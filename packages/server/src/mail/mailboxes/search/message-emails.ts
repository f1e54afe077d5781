// Which email each message of a mailbox is. That never changes, so it is read once and shared by the sessions.

import type { MailboxCache } from '@aviso/imap'
import { answered } from '../answers.ts'
import type { MailCalls } from '../calls.ts'
import type { MessageEmails } from './queries.ts'

const KEY = 'search.emails'

/** All messages of a mailbox, ascending by UID; some that are gone may be among them. */
export async function messageEmails(calls: MailCalls, mailbox: number, cache: MailboxCache): Promise<MessageEmails> {
  const known = cache.get(KEY) as MessageEmails | undefined
  const pieces: MessageEmails[] = known === undefined ? [] : [known]
  for (;;) {
    const after = pieces.at(-1)?.uids.at(-1) ?? 0
    const piece = await answered(calls.searchEmails({ mailbox, after }))
    if (piece.uids.length === 0) break
    pieces.push(piece)
  }
  const [only] = pieces
  if (only !== undefined && only === known && pieces.length === 1) return only
  const all = { uids: joined(pieces.map(({ uids }) => uids)), emails: joined(pieces.map(({ emails }) => emails)) }
  cache.set(KEY, all, 128 + 8 * all.uids.length)
  return all
}

/** True when most of the work of `messageEmails` was done before. */
export const knowsEmails = (cache: MailboxCache): boolean => cache.get(KEY) !== undefined

/** The lists one after the other. */
export function joined(pieces: readonly Uint32Array[]): Uint32Array {
  const [only] = pieces
  if (only !== undefined && pieces.length === 1) return only
  const all = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}
