// The index follows the messages, one slice of work at a time.

import { derived, type Transaction } from '../../../store/contracts.ts'
import { Batch } from './batch.ts'
import { type Elsewhere, readEmail } from './email.ts'
import { workOn } from './merge.ts'
import { deleteGone, indexedUpTo, INDEX_VERSION, nextMerge, reached, startAnew } from './segments.ts'

/** What one slice reads at most: some five milliseconds of work. */
const SLICE_EMAILS = 32
const SLICE_OCTETS = 64 * 1024

/** Emails of a new segment: gathered over several slices, since one larger segment costs far less than many to be merged. */
const SEGMENT_EMAILS = 256
/** A segment with fewer is written in the slice that gathered the last of it. */
const FEW = 24

/** An email whose octets the caller read from their blob; undefined when they cannot be had. */
export interface Fetched {
  readonly email: number
  readonly octets: Uint8Array | undefined
}

export interface Caught {
  /** True when something is left to do. */
  readonly more: boolean
  /** Emails that are to be indexed or merged yet, about. */
  readonly debt: number
  /** The next email to index is in a blob: call again with its octets. */
  readonly elsewhere?: Elsewhere
}

/** Works a slice on what the index lacks: emails that came, merges that are due, chunks that nobody needs. Answers at once when there is nothing to do. */
export const searchCatchUp = derived(catchUp, { given: ({ fetched }) => [fetched?.octets] })

async function catchUp(tx: Transaction, { fetched }: { fetched?: Fetched | undefined }): Promise<Caught> {
  const known = await tx.get('SELECT 1 FROM mail_search WHERE id = 1 AND version = ?', INDEX_VERSION)
  if (known === undefined) {
    if ((await tx.get('SELECT 1 FROM mail_email LIMIT 1')) === undefined) return { more: false, debt: 0 }
    await startAnew(tx)
  }
  // A little each time: what merges leave behind is then used again by the next ones, and the file does not grow.
  const deleted = await deleteGone(tx)
  // What came in counts first: until then each search must look at it by itself. But a heap of small segments is slow, too.
  const merge = await nextMerge(tx)
  const debt = (await lacking(tx)) + (merge?.target.emails ?? 0)
  if (merge !== undefined && merge.target.level <= 2) await workOn(tx, merge)
  else {
    const indexed = await indexEmails(tx, fetched)
    if (indexed !== undefined) return { more: true, debt, ...indexed }
    if (merge === undefined) return { more: deleted, debt }
    await workOn(tx, merge)
  }
  return { more: true, debt }
}

/** Emails that came since the last one that was indexed, about. */
async function lacking(tx: Transaction): Promise<number> {
  const [last] = (await tx.get('SELECT email FROM mail_state WHERE id = 1')) ?? []
  return Math.max(0, Number(last ?? 0) - (await indexedUpTo(tx)))
}

/** What was gathered for the next segment of each database. It is in no table: after a crash or a rollback the same emails are gathered again. */
const gathered = new WeakMap<Transaction, { readonly batch: Batch; readonly undone: number }>()

function batchFrom(tx: Transaction, from: number): Batch {
  const { batch, undone } = gathered.get(tx) ?? {}
  // Emails that were undone may have been among them: their numbers are given again.
  if (batch?.from === from && undone === tx.undone) return batch
  const fresh = new Batch(from)
  gathered.set(tx, { batch: fresh, undone: tx.undone })
  return fresh
}

/** Undefined when there is no email to index; the next one, where its octets are needed to go on. */
async function indexEmails(
  tx: Transaction,
  fetched: Fetched | undefined,
): Promise<Pick<Caught, 'elsewhere'> | undefined> {
  const batch = batchFrom(tx, await indexedUpTo(tx))
  const rows =
    batch.closed || batch.emails >= SEGMENT_EMAILS
      ? []
      : await tx.all('SELECT id, size FROM mail_email WHERE id > ? ORDER BY id LIMIT ?', batch.last, SLICE_EMAILS)
  let left = SLICE_OCTETS
  for (const [id = 0, size] of rows) {
    const email = Number(id)
    const read = fetched?.email === email ? fetched.octets : await readEmail(tx, email)
    if (read !== undefined && !(read instanceof Uint8Array)) return { elsewhere: read }
    batch.add(email, read)
    left -= Number(size)
    if (left <= 0) break
  }
  if (rows.length > 0 && (left <= 0 || batch.emails > FEW)) return {}
  if (batch.emails === 0) return undefined
  // A few are soon done; of many, each step is a slice.
  for (let more = true; more;) if ((more = await batch.make()) && batch.emails > FEW) return {}
  gathered.delete(tx)
  await batch.write(tx)
  await reached(tx, batch.last)
  return {}
}

/** Drops the index, so that catching up makes it anew. */
export const searchReindex = derived(async (tx, _order: Record<string, never>): Promise<void> => startAnew(tx))
