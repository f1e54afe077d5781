// The rows of messages, found by their UIDs with few statements.

import type { SqlRow, Transaction } from '../../store/contracts.ts'
import { NAMED, NAMES, pieces, type Span, spans } from './uids.ts'

/** `uid, flagset, modseq, size, internal_date, zone, email`; flag set and modseq as the message came with them (flag-blocks.ts). */
export const MESSAGE_COLUMNS = 'uid, flagset, modseq, size, internal_date, zone, email'

/** True where so few rows of a span are wanted that naming each is quicker than reading all. */
const isSparse = (span: Span): boolean => {
  const wanted = span.end - span.start
  return wanted >= NAMED && (span.last - span.first + 1) / wanted >= 3
}

/** Rows of one span, ascending by UID; rows between those that are wanted may be among them, unless `exact`. */
export interface SpanRows {
  readonly span: Span
  readonly rows: readonly SqlRow[]
  /** Nothing is known of what lies between the rows: only those that are wanted were read. */
  readonly exact: boolean
}

/** The messages of a mailbox in the spans of `uids`. */
export async function* rowsInSpans(tx: Transaction, mailbox: number, uids: Uint32Array): AsyncGenerator<SpanRows> {
  for (const span of spans(uids)) {
    const exact = isSparse(span)
    yield {
      span,
      exact,
      rows: exact ? await named(tx, mailbox, uids.subarray(span.start, span.end)) : await between(tx, mailbox, span),
    }
  }
}

const between = async (tx: Transaction, mailbox: number, { first, last }: Span): Promise<readonly SqlRow[]> =>
  tx.all(
    `SELECT ${MESSAGE_COLUMNS} FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid`,
    mailbox,
    first,
    last,
  )

async function named(tx: Transaction, mailbox: number, uids: Uint32Array): Promise<readonly SqlRow[]> {
  const rows: SqlRow[] = []
  for (const piece of pieces(uids))
    rows.push(
      ...(await tx.all(
        `SELECT ${MESSAGE_COLUMNS} FROM mail_message WHERE mailbox = ? AND uid IN (${NAMES}) ORDER BY uid`,
        mailbox,
        ...piece,
      )),
    )
  return rows
}

/** The messages with these UIDs that are there, ascending. */
export async function rowsOf(tx: Transaction, mailbox: number, uids: Uint32Array): Promise<readonly SqlRow[]> {
  const found: SqlRow[] = []
  for await (const { span, rows, exact } of rowsInSpans(tx, mailbox, uids)) {
    if (exact) {
      found.push(...rows)
      continue
    }
    let at = span.start
    for (const row of rows) {
      while ((uids[at] ?? Infinity) < Number(row[0])) at++
      if (uids[at] === row[0]) found.push(row)
    }
  }
  return found
}
