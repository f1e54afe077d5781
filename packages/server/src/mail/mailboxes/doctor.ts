// Looks at all that one account's mail is made of, and puts right what can be computed anew: for `aviso doctor mail`.

import { createHash } from 'node:crypto'
import type { Blobs } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import type { MailCalls } from './calls.ts'
import { renderStale } from './catch-up.ts'
import { changesSince } from './changes.ts'
import type { Finding, Place, Step } from './check-operations.ts'
import { type Columns, mergeColumns, NO_ROWS } from './columns.ts'
import type { LargeMessages } from './large-messages.ts'
import type { Source } from './pieces.ts'
import type { Checked, CheckPlace } from './search/check.ts'
import { columnsOfPacked } from './snapshot-operations.ts'

export interface Examined {
  readonly account: string
  readonly source: Source
  readonly large: LargeMessages
  readonly repair: boolean
}

/** Everything found, one after the other, while the account is in use. Rejects with `BackendError` where the database cannot be read at all. */
export async function* examine({ account, source, large, repair }: Examined): AsyncGenerator<Finding> {
  const { calls } = source
  yield* steps((after) => calls.checkStrays({ after, repair }))
  yield* steps((after) => calls.checkNumbers({ after, repair }))
  yield* steps((after) => calls.checkCounters({ after, repair }))
  yield* (await answered(calls.checkTotals({ repair }))).findings
  yield* references(calls, repair)
  yield* steps((after) => calls.checkRendering({ after, repair }))
  if (repair) while (await renderStale(source));
  yield* steps((after) => calls.checkContent({ after }))
  yield* blobs(source, repair, () => large.release(account))
  for (const { id, name } of (await answered(calls.list())).mailboxes) yield* packedColumns(calls, id, name, repair)
  yield* textIndex(calls, repair)
}

async function* steps(step: (after: number) => Promise<Step>): AsyncGenerator<Finding> {
  for (let after: number | undefined = 0; after !== undefined;) {
    const { findings, next }: Step = await answered(step(after))
    yield* findings
    after = next
  }
}

/** Counts over many steps may be of many moments: what then looks wrong is looked at again in one. */
async function* references(calls: MailCalls, repair: boolean): AsyncGenerator<Finding> {
  const held = new Map<number, number>()
  for (let after: Place | undefined = { table: 'message', mailbox: 0, uid: 0 }; after !== undefined;) {
    const page: { readonly emails: Float64Array; readonly next: Place | undefined } = await answered(
      calls.references({ after }),
    )
    for (const email of page.emails) held.set(email, (held.get(email) ?? 0) + 1)
    after = page.next
  }
  const suspects: number[] = []
  for (let after: number | undefined = 0; after !== undefined;) {
    const page: Awaited<ReturnType<MailCalls['counted']>> = await answered(calls.counted({ after }))
    for (const [i, email] of page.emails.entries()) {
      if ((held.get(email) ?? 0) !== page.counts[i]) suspects.push(email)
      held.delete(email)
    }
    after = page.next
  }
  for (const email of [...suspects, ...held.keys()]) yield* await answered(calls.recount({ email, repair }))
}

async function* blobs(
  { calls, blobs: store }: Source,
  repair: boolean,
  release: () => Promise<void>,
): AsyncGenerator<Finding> {
  const needed = await answered(calls.neededBlobs())
  for (const { blob, size, email } of needed) {
    const fault = await faultOf(store, blob, size)
    if (fault === undefined) continue
    const messages = await answered(calls.whereabouts({ email }))
    // Gone since we asked.
    if (messages.length === 0) continue
    yield { kind: 'missing-blob', text: `the blob ${blob} of email ${email} ${fault}`, messages, repaired: false }
  }
  const names = new Set((await answered(calls.neededBlobs())).map(({ blob }) => blob))
  const orphans = (await answered(store.list())).filter((blob) => !names.has(blob))
  if (orphans.length > 0 && repair) await release()
  // A message that is just coming in has its blob before its row.
  const left = new Set(repair ? await answered(store.list()) : [])
  for (const blob of orphans)
    if (!left.has(blob))
      yield { kind: 'orphan-blob', text: `no message is in the blob ${blob}`, messages: [], repaired: repair }
}

async function faultOf(store: Blobs, blob: string, size: number): Promise<string | undefined> {
  const bytes = await answered(store.get(blob))
  if (bytes === undefined) return 'is missing'
  if (bytes.byteLength !== size) return `has ${bytes.byteLength} octets, and should have ${size}`
  return createHash('sha256').update(bytes).digest('hex') === blob ? undefined : 'is damaged'
}

/** Packed columns, brought up to date, must be what the rows are. */
async function* packedColumns(
  calls: MailCalls,
  mailbox: number,
  name: string,
  repair: boolean,
): AsyncGenerator<Finding> {
  const { packed, changes } = await answered(calls.begin({ mailbox }))
  if (packed === undefined) return
  const since = await changesSince(calls, mailbox, packed.kept.modseq, changes)
  const rows = await changesSince(calls, mailbox, 0)
  // It changed meanwhile, or history was trimmed: the two say nothing about each other.
  if (rows.moment.highestModseq !== since.moment.highestModseq || !since.complete) return
  if (same(mergeColumns(columnsOfPacked(packed), since.columns, since.vanished), rows.columns)) return
  if (repair) await answered(calls.forgetPacked({ mailbox }))
  yield {
    kind: 'packed',
    text: `${name}: the packed columns are not what the rows are`,
    messages: [],
    repaired: repair,
  }
}

const same = (a: Columns, b: Columns): boolean =>
  (Object.keys(NO_ROWS) as (keyof Columns)[]).every((name) => {
    const [left, right] = [a[name], b[name]]
    return left.length === right.length && left.every((value, i) => value === right[i])
  })

/** The text index holds nothing that could be lost: whatever is wrong with it, it is made anew. */
async function* textIndex(calls: MailCalls, repair: boolean): AsyncGenerator<Finding> {
  for (let place: CheckPlace | undefined = { after: 0, chunk: 0 }; place !== undefined;) {
    const { faults, next }: Checked = await answered(calls.checkTextIndex(place))
    for (const fault of faults)
      yield { kind: 'text-index', text: `the text index is damaged: ${fault}`, messages: [], repaired: repair }
    if (faults.length > 0) {
      // Searches look at every message until it is there again.
      if (repair) await answered(calls.searchReindex({}))
      return
    }
    place = next
  }
}
