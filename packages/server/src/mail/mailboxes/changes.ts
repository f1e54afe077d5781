// What happened in a mailbox, brought together from as many answers of the store as it takes.

import { BackendError, type FlagSet } from '@aviso/imap'
import { answered } from './answers.ts'
import type { MailCalls } from './calls.ts'
import { type Columns, ColumnsBuilder, mergeColumns, NO_ROWS } from './columns.ts'
import type { Changes, Moment, NamedSets, RecentPage, RowPage, VanishedPage } from './snapshot-operations.ts'

/** Everything that happened after some modseq, up to `moment`. */
export interface WholeChanges {
  readonly moment: Moment
  /** Rows created or changed; `flagsets` are keys of `sets`. */
  readonly columns: Columns
  readonly sets: ReadonlyMap<number, FlagSet>
  readonly vanished: Uint32Array
  /** False when history of that time was trimmed, or was never here: `vanished` may then be short. */
  readonly complete: boolean
}

/** Times that changes which come faster than they can be read are followed, before somebody else is to try. */
const ROUNDS = 100

/** `first`: the store's answer to `changes` since then, where the caller has it already. Rejects with `BackendError`. */
export async function changesSince(
  calls: MailCalls,
  mailbox: number,
  since: number,
  first?: Changes,
): Promise<WholeChanges> {
  const sets = new Map<number, FlagSet>()
  let columns = NO_ROWS
  let vanished: Uint32Array = new Uint32Array()
  let complete = true
  let from = since
  for (let round = 0; round < ROUNDS; round++) {
    const answer = round === 0 && first !== undefined ? first : await answered(calls.changes({ mailbox, since: from }))
    // Also where it was trimmed while pages were read.
    complete &&= since >= answer.trimmed && from <= answer.moment.highestModseq
    // A modseq from the future (a restored backup, a client of another life): as if nothing were known.
    if (from > answer.moment.highestModseq) from = 0
    const news = answer.paged === undefined ? answer : await pages(calls, mailbox, from, answer)
    for (const [id, flags] of news.sets) sets.set(id, flags)
    columns = mergeColumns(columns, news.columns, news.vanished)
    vanished = joined([vanished, news.vanished])
    if (answer.paged === undefined) return { moment: answer.moment, columns, sets, vanished, complete }
    // The pages are of several moments: what happened since the first of them is put on top.
    from = answer.moment.highestModseq
  }
  throw new BackendError('INUSE', 'The mailbox changes faster than it can be read: try again')
}

async function pages(
  calls: MailCalls,
  mailbox: number,
  since: number,
  { paged: how, moment }: Changes,
): Promise<{ readonly columns: Columns; readonly sets: NamedSets; readonly vanished: Uint32Array }> {
  const rows = new ColumnsBuilder()
  let columns = NO_ROWS
  const sets: (readonly [number, FlagSet])[] = []
  if (how === 'by-uid')
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: RowPage = await answered(calls.changedPage({ mailbox, since, after }))
      sets.push(...page.sets)
      rows.append(page.columns)
      after = page.next
    }
  else {
    // A row that changes while its neighbours are read comes again; flagged ones are as they are now, so they come last.
    for (let after: RecentPage['next'] = { modseq: since, uid: 0xffffffff }; after !== undefined;) {
      const page: RecentPage = await answered(calls.recentPage({ mailbox, ...after, until: moment.highestModseq }))
      sets.push(...page.sets)
      columns = mergeColumns(columns, page.columns, new Uint32Array())
      after = page.next
    }
    const flagged = new ColumnsBuilder()
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: RowPage = await answered(calls.flaggedPage({ mailbox, since, after }))
      sets.push(...page.sets)
      flagged.append(page.columns)
      after = page.next
    }
    columns = mergeColumns(columns, flagged.finish(), new Uint32Array())
  }
  const gone: Uint32Array[] = []
  for (let after: number | undefined = 0; after !== undefined;) {
    const page: VanishedPage = await answered(calls.vanishedPage({ mailbox, since, after }))
    gone.push(page.uids)
    after = page.next
  }
  return { columns: how === 'by-uid' ? rows.finish() : columns, sets, vanished: joined(gone) }
}

/** All of the lists, ascending, each once. */
function joined(lists: readonly Uint32Array[]): Uint32Array {
  const full = lists.filter(({ length }) => length > 0)
  if (full.length === 1) return full[0] ?? new Uint32Array()
  const all = new Uint32Array(full.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const list of full) {
    all.set(list, at)
    at += list.length
  }
  all.sort()
  return all.filter((uid, i) => uid !== all[i - 1])
}
