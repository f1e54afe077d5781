// Which messages a query means, and what is shown of them.

import {
  type FlagSet,
  formatNumbers,
  type Mailbox,
  type MailboxSnapshot,
  parseNumberSet,
  spansOfUids,
} from '@aviso/imap'
import { decodeWords, Headers } from '@aviso/mime'
import { MailAdminError, type MessageLine, type MessagePage, type MessageQuery } from '../administration.ts'

/** Headers that one page looks at, of messages that may not match. */
const HEADERS_A_PAGE = 2000
const HEADERS_AT_ONCE = 200

/** The rows after the UID `after`, `limit` at most; fewer where many headers had to be looked at. */
export async function pageOf(
  mailbox: Mailbox,
  query: MessageQuery,
  page: { readonly after: number; readonly limit: number; readonly headers: boolean },
): Promise<MessagePage> {
  const snapshot = await mailbox.snapshot()
  const wanted = [query.from, query.to, query.subject].some((text) => text !== undefined)
  const rows: MessageLine[] = []
  let looked = 0
  let batch: number[] = []
  let last = page.after
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return
    const lines =
      page.headers || wanted ? await withHeaders(mailbox, snapshot, batch) : batch.map((at) => lineAt(snapshot, at))
    looked += batch.length
    batch = []
    for (const line of lines) {
      if (rows.length >= page.limit) break
      last = line.uid
      if (!wanted || matchesHeader(line, query)) rows.push(line)
    }
  }
  for (const at of positions(snapshot, query, page.after)) {
    if (rows.length + batch.length >= page.limit || batch.length >= HEADERS_AT_ONCE) {
      await flush()
      if (rows.length >= page.limit || looked >= HEADERS_A_PAGE) return { rows, next: last }
    }
    batch.push(at)
  }
  await flush()
  return { rows, next: undefined }
}

/** Positions of the rows after the UID `after` that meet what needs no header. */
export function* positions(snapshot: MailboxSnapshot, query: MessageQuery, after: number): Generator<number> {
  const set = parseNumberSet(query.uids ?? '1:*')
  if (set === undefined)
    throw new MailAdminError('invalid', `'${query.uids ?? ''}' is no set of UIDs, such as 7 or 1:100,200:*`)
  const { uids, flags, flagSets, internalDates, sizes } = snapshot
  const oldest = query.last === undefined ? 0 : Math.max(0, uids.length - query.last)
  const meets = flagSets.map(
    (own) =>
      (query.with ?? []).every((flag) => hasFlag(own, flag)) &&
      !(query.without ?? []).some((flag) => hasFlag(own, flag)),
  )
  for (const { start, end } of spansOfUids(set, uids)) {
    if (end === 0 || (uids[end - 1] ?? 0) <= after) continue
    for (let at = Math.max(start, oldest); at < end; at++) {
      const date = internalDates[at] ?? 0
      const size = sizes[at] ?? 0
      if ((uids[at] ?? 0) <= after || meets[flags[at] ?? 0] !== true) continue
      if (date < (query.since ?? -Infinity) || date >= (query.before ?? Infinity)) continue
      if (size <= (query.larger ?? -1) || size >= (query.smaller ?? Infinity)) continue
      yield at
    }
  }
}

const hasFlag = (own: FlagSet, flag: string): boolean => own.some((one) => one.toLowerCase() === flag.toLowerCase())

function lineAt(snapshot: MailboxSnapshot, at: number, headers?: Headers): MessageLine {
  const text = (name: string): string | undefined =>
    headers === undefined ? undefined : decodeWords(headers.get(name) ?? '')
  return {
    uid: snapshot.uids[at] ?? 0,
    flags: snapshot.flagSets[snapshot.flags[at] ?? 0] ?? [],
    date: { time: snapshot.internalDates[at] ?? 0, zone: snapshot.zones[at] ?? 0 },
    size: snapshot.sizes[at] ?? 0,
    from: text('From'),
    to: text('To'),
    subject: text('Subject'),
  }
}

async function withHeaders(
  mailbox: Mailbox,
  snapshot: MailboxSnapshot,
  batch: readonly number[],
): Promise<MessageLine[]> {
  const lines: MessageLine[] = []
  let i = 0
  const uids = batch.map((at) => snapshot.uids[at] ?? 0)
  for await (const metas of mailbox.meta(uids, ['commonHeader']))
    for (const { uid, commonHeader } of metas) {
      // Messages that have gone since are passed over.
      while (i < uids.length && (uids[i] ?? 0) < uid) i++
      const at = batch[i]
      if (at !== undefined && uids[i] === uid)
        lines.push(lineAt(snapshot, at, Headers.parse(commonHeader ?? new Uint8Array())))
    }
  return lines
}

function matchesHeader(line: MessageLine, { from, to, subject }: MessageQuery): boolean {
  const holds = (text: string | undefined, part: string | undefined): boolean =>
    part === undefined || (text ?? '').toLowerCase().includes(part.toLowerCase())
  return holds(line.from, from) && holds(line.to, to) && holds(line.subject, subject)
}

/** The UIDs that there are, for one who asked for others. */
export const hint = ({ uids }: MailboxSnapshot): string =>
  uids.length === 0
    ? ': it is empty'
    : uids.length <= 20
      ? `: its UIDs are ${formatNumbers(uids)}`
      : `: its UIDs go from ${uids[0] ?? 0} to ${uids.at(-1) ?? 0}`
