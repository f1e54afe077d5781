// Threads (RFC 8474 THREADID), made as messages come: one thread for all that are linked by Message-ID, In-Reply-To or References.

import { hash } from 'node:crypto'
import type { Transaction } from '../../store/contracts.ts'
import { tick } from './clock.ts'

/** What of `messageKeys` says where a message belongs. */
export interface ThreadKeys {
  /** Base subject. */
  readonly subject: string
  /** `1` or `0`, LF, own id, LF, ids referred to. */
  readonly threading: string
}

/**
 * The thread of an email, which is `email` itself where nothing of it is known. Joins threads that the email links, with `former`, its thread so far, among them.
 */
export async function joinThread(
  tx: Transaction,
  email: number,
  keys: ThreadKeys,
  former: number | undefined,
): Promise<number> {
  const [reply, ...ids] = keys.threading.split('\n')
  const subject = keys.subject === '' ? undefined : hashOf(`s${keys.subject}`)
  const [only = ''] = ids
  // Most mails answer nothing, and are the first that anybody hears of.
  if (former === undefined && ids.length === 1 && only !== '' && reply !== '1') {
    const row = await tx.get(
      'INSERT INTO mail_thread_key (hash, thread) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET thread = thread RETURNING thread',
      hashOf(`i${only}`),
      email,
    )
    const thread = Number(row?.[0])
    await keepSubject(tx, subject, thread)
    return thread
  }
  const hashes = new Set<number>()
  for (const id of ids) if (id !== '') hashes.add(hashOf(`i${id}`))
  const found = new Set(former === undefined ? [] : [former])
  const missing: number[] = []
  for (const key of hashes) {
    const row = await tx.get('SELECT thread FROM mail_thread_key WHERE hash = ?', key)
    if (row === undefined) missing.push(key)
    else found.add(Number(row[0]))
  }
  // A reply that names nothing: mail programs that forget In-Reply-To keep the subject at least.
  if (subject !== undefined && ids.length <= 1 && reply === '1') {
    const row = await tx.get('SELECT thread FROM mail_thread_key WHERE hash = ?', subject)
    if (row !== undefined) found.add(Number(row[0]))
  }
  const thread = found.size === 0 ? email : await merge(tx, [...found])
  for (const key of missing) await tx.run('INSERT INTO mail_thread_key (hash, thread) VALUES (?, ?)', key, thread)
  await keepSubject(tx, subject, thread)
  return thread
}

/** The newest thread of a subject (its hash) is the one that is answered. */
async function keepSubject(tx: Transaction, subject: number | undefined, thread: number): Promise<void> {
  if (subject !== undefined)
    await tx.run(
      'INSERT INTO mail_thread_key (hash, thread) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET thread = excluded.thread WHERE thread <> excluded.thread',
      subject,
      thread,
    )
}

/** Makes the threads one: the emails of the smaller ones get the number of the largest. The account's clock moves, as it was a change. */
async function merge(tx: Transaction, threads: readonly number[]): Promise<number> {
  const [first = 0] = threads
  if (threads.length === 1) return first
  let largest = first
  let most = -1
  for (const thread of threads) {
    const emails = Number((await tx.get('SELECT count(*) FROM mail_keys WHERE thread = ?', thread))?.[0])
    if (emails > most || (emails === most && thread < largest)) [largest, most] = [thread, emails]
  }
  for (const thread of threads) {
    if (thread === largest) continue
    await tx.run('UPDATE mail_keys SET thread = ? WHERE thread = ?', largest, thread)
    await tx.run('UPDATE mail_thread_key SET thread = ? WHERE thread = ?', largest, thread)
  }
  await tick(tx)
  return largest
}

/** Forgets what led to a thread whose last email is gone. */
export async function leaveThread(tx: Transaction, thread: number): Promise<void> {
  if ((await tx.get('SELECT 1 FROM mail_keys WHERE thread = ? LIMIT 1', thread)) === undefined)
    await tx.run('DELETE FROM mail_thread_key WHERE thread = ?', thread)
}

/** 52 bits: what a JavaScript number and an INTEGER both hold. Two of a million ids meet once in ten thousand accounts, and then two threads are shown as one. */
function hashOf(text: string): number {
  const digest = hash('sha1', text, 'buffer')
  return digest.readUIntBE(0, 6) * 16 + ((digest[6] ?? 0) >> 4)
}
