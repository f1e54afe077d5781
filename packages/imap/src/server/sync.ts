// RFC 9051 §5.2, §5.5: bringing what happened in the mailbox to the client, in an order in which every number is true when it is read:
// EXPUNGE (or VANISHED), then EXISTS (and RECENT), then FLAGS, then FETCH.

import type { MailboxDelta, MessageRow } from '../backend.ts'
import type { ImapServerSession } from './session.ts'
import { announceKeywords, flagsLine, tellExpunged, tellTold } from './telling.ts'
import type { MailboxView } from './view.ts'

export interface SyncOptions {
  /** EXPUNGE may be sent now (never while a command with sequence numbers runs or may be on its way). */
  readonly expunge: boolean
  /** FETCH responses carry the UID: the client speaks in UIDs. */
  readonly withUid: boolean
  /** Changed flags are told. */
  readonly flags: boolean
}

/** Asks the store what is new and says it. Answers the UIDs that are new to the client. Rejects with what the store rejects with. */
export async function syncView(
  session: ImapServerSession,
  view: MailboxView,
  options: SyncOptions,
): Promise<readonly number[]> {
  const { out } = session
  let changed: MessageRow[] = []
  let added: number[] = []
  if (view.stale) {
    view.stale = false
    try {
      let delta = await view.mailbox.delta(view.modseq)
      if (!delta.complete) delta = await completeDelta(view, delta)
      ;({ changed, added } = await view.take(delta, session))
    } catch (error) {
      view.stale = true
      throw error
    }
    if (added.length > 0 && !view.readOnly && !session.rev2) {
      const { from, to } = await view.mailbox.claimRecent()
      view.addRecent(from, to)
    }
  }
  if (options.expunge) {
    view.contexts?.beforeExpunge()
    tellExpunged(session, view)
  }
  if (added.length > 0) {
    out.untagged(`${view.count} EXISTS`)
    if (!session.rev2) out.untagged(`${view.recentCount} RECENT`)
  }
  announceKeywords(
    session,
    view,
    changed.map((row) => row.flags),
  )
  let count = 0
  for (const row of changed) {
    const own = view.silent.get(row.uid) === row.modseq
    if (!options.flags || own || view.expunged.has(row.uid)) continue
    const position = view.position(row.uid)
    if (position >= 0) out.text(flagsLine(session, view, position, row, options.withUid))
    if ((++count & 255) === 0 && session.winded) await session.breathe()
  }
  if (view.expunged.size === 0) view.told = view.modseq
  tellTold(session, view)
  await view.contexts?.afterNews([...added, ...changed.map((row) => row.uid)])
  if (!view.stale) view.silent.clear()
  if (view.crowded) view.rebase(await view.mailbox.snapshot())
  return added
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
