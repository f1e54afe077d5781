// The index follows the messages, one slice of work at a time.

import { type Transaction, write } from '../../../store/contracts.ts'
import { Batch } from './batch.ts'
import { type Elsewhere, readEmail } from './email.ts'
import { workOn } from './merge.ts'
import { deleteGone, indexedUpTo, INDEX_VERSION, nextMerge, reached, startAnew } from './segments.ts'
import { Tokeniser } from './words.ts'

/** What one slice reads at most: some ten milliseconds of work. Octets that are attachments count, but less. */
const SLICE_EMAILS = 128
const SLICE_OCTETS = 384 * 1024

/** An email whose octets the caller read from their blob; undefined when they cannot be had. */
export interface Fetched {
  readonly email: number
  readonly octets: Uint8Array | undefined
}

export interface Caught {
  /** True when something is left to do. */
  readonly more: boolean
  /** The next email to index is in a blob: call again with its octets. */
  readonly elsewhere?: Elsewhere
}

/** Works a slice on what the index lacks: emails that came, merges that are due, chunks that nobody needs. Answers at once when there is nothing to do. */
export const searchCatchUp = write(async (tx, { fetched }: { fetched?: Fetched | undefined }): Promise<Caught> => {
  const known = await tx.get('SELECT 1 FROM mail_search WHERE id = 1 AND version = ?', INDEX_VERSION)
  if (known === undefined) await startAnew(tx)
  // What came in counts first: until then each search must look at it by itself. But a heap of small segments is slow, too.
  const merge = await nextMerge(tx)
  if (merge !== undefined && merge.target.level <= 3) await workOn(tx, merge)
  else {
    const indexed = await indexEmails(tx, fetched)
    if (indexed !== undefined) return indexed
    if (merge !== undefined) await workOn(tx, merge)
    else if (!(await deleteGone(tx))) return { more: false }
  }
  return { more: true }
})

/** Undefined when there is no email to index. */
async function indexEmails(tx: Transaction, fetched: Fetched | undefined): Promise<Caught | undefined> {
  const from = await indexedUpTo(tx)
  const rows = await tx.all('SELECT id, size FROM mail_email WHERE id > ? ORDER BY id LIMIT ?', from, SLICE_EMAILS)
  if (rows.length === 0) return undefined
  const batch = new Batch(tokeniser)
  let last = from
  let left = SLICE_OCTETS
  let elsewhere: Elsewhere | undefined
  for (const [id = 0, size] of rows) {
    const email = Number(id)
    const read = fetched?.email === email ? fetched.octets : await readEmail(tx, email)
    if (read !== undefined && !(read instanceof Uint8Array)) {
      elsewhere = read
      break
    }
    batch.add(email, read)
    last = email
    left -= Number(size)
    if (left <= 0) break
  }
  await batch.write(tx)
  if (last > from) await reached(tx, last)
  return elsewhere === undefined ? { more: true } : { more: true, elsewhere }
}

/** Knows the kinds of characters of all texts: that is the same for every account. */
const tokeniser = new Tokeniser()

/** Drops the index, so that catching up makes it anew. */
export const searchReindex = write(async (tx, _order: Record<string, never>): Promise<void> => startAnew(tx))
