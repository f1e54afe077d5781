// RFC 9051 §5.2, §5.5: bringing what happened in the mailbox to the client, in an order in which every number is true when it is read:
// EXPUNGE, then EXISTS (and RECENT), then FLAGS, then FETCH.

import type { FlagSet, MailboxDelta, MessageRow } from '../backend.ts'
import type { ResponseStream } from '../wire/response-stream.ts'
import type { MailboxView } from './view.ts'

const SYSTEM_FLAGS = '\\Answered \\Flagged \\Deleted \\Seen \\Draft'

/** Flags for the wire, with \Recent where this session was the first to see the message. */
export function formatFlags(view: MailboxView, uid: number, flags: FlagSet): string {
  const text = flags.join(' ')
  return view.isRecent(uid) ? (text === '' ? '(\\Recent)' : `(${text} \\Recent)`) : `(${text})`
}

/** FLAGS and PERMANENTFLAGS with the keywords the client may meet. */
export function announceFlags(out: ResponseStream, view: MailboxView): void {
  const keywords = [...view.keywords.values()]
  const flags = [SYSTEM_FLAGS, ...keywords].join(' ')
  out.untagged(`FLAGS (${flags})`)
  out.untagged(
    `OK [PERMANENTFLAGS (${view.readOnly ? '' : `${flags} \\*`})] ${view.readOnly ? 'Read-only mailbox' : 'Flags permitted'}`,
  )
}

/** Announces keywords that the client has not heard of, before a FETCH mentions them. */
export function announceKeywords(out: ResponseStream, view: MailboxView, sets: Iterable<FlagSet>): void {
  let news = false
  for (const flags of sets) {
    for (const flag of flags) {
      if (flag.charCodeAt(0) === 0x5c) continue
      const key = flag.toLowerCase()
      if (view.keywords.has(key)) continue
      view.keywords.set(key, flag)
      news = true
    }
  }
  if (news) announceFlags(out, view)
}

export function fetchFlagsLine(view: MailboxView, position: number, row: MessageRow, withUid: boolean): string {
  return `* ${position + 1} FETCH (${withUid ? `UID ${row.uid} ` : ''}FLAGS ${formatFlags(view, row.uid, row.flags)})\r\n`
}

export interface SyncOptions {
  /** EXPUNGE may be sent now (never while a command with sequence numbers runs or may be on its way). */
  readonly expunge: boolean
  /** FETCH responses carry the UID: the client speaks in UIDs. */
  readonly withUid: boolean
}

/** Asks the store what is new and says it. Rejects with what the store rejects with. */
export async function syncView(out: ResponseStream, view: MailboxView, options: SyncOptions): Promise<void> {
  let changed: MessageRow[] = []
  let added: number[] = []
  if (view.stale) {
    view.stale = false
    try {
      let delta = await view.mailbox.delta(view.modseq)
      if (!delta.complete) delta = await completeDelta(view, delta)
      ;({ changed, added } = view.take(delta))
    } catch (error) {
      view.stale = true
      throw error
    }
    if (added.length > 0 && !view.readOnly) {
      const { from, to } = await view.mailbox.claimRecent()
      view.addRecent(from, to)
    }
  }
  if (options.expunge) view.contexts?.beforeExpunge()
  if (options.expunge) for (const number of view.dropExpunged()) out.text(`* ${number} EXPUNGE\r\n`)
  if (added.length > 0) {
    out.untagged(`${view.count} EXISTS`)
    out.untagged(`${view.recentCount} RECENT`)
  }
  announceKeywords(
    out,
    view,
    changed.map((row) => row.flags),
  )
  for (const row of changed) {
    const own = view.silent.get(row.uid) === row.modseq
    if (own || view.expunged.has(row.uid)) continue
    const position = view.position(row.uid)
    if (position >= 0) out.text(fetchFlagsLine(view, position, row, options.withUid))
  }
  await view.contexts?.afterNews([...added, ...changed.map((row) => row.uid)])
  if (!view.stale) view.silent.clear()
  if (view.crowded) view.rebase(await view.mailbox.snapshot())
}

/** History was trimmed: what vanished is what the view has and the mailbox has not. */
async function completeDelta(view: MailboxView, delta: MailboxDelta): Promise<MailboxDelta> {
  const snapshot = await view.mailbox.snapshot()
  const vanished: number[] = []
  let at = 0
  for (const uid of view.uids) {
    while ((snapshot.uids[at] ?? Infinity) < uid) at++
    if (snapshot.uids[at] !== uid) vanished.push(uid)
  }
  const changed: MessageRow[] = []
  for (let i = 0; i < snapshot.uids.length; i++) {
    const modseq = snapshot.modseqs[i] ?? 0
    if (modseq <= view.modseq) continue
    changed.push({
      uid: snapshot.uids[i] ?? 0,
      flags: snapshot.flagSets[snapshot.flags[i] ?? 0] ?? [],
      modseq,
      size: snapshot.sizes[i] ?? 0,
      internalDate: snapshot.internalDates[i] ?? 0,
      zone: snapshot.zones[i] ?? 0,
    })
  }
  return { ...delta, highestModseq: snapshot.highestModseq, uidNext: snapshot.uidNext, changed, vanished }
}
