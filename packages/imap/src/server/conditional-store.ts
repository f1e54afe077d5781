// RFC 7162 §3.1.3, §3.1.12: STORE with UNCHANGEDSINCE, for flags that have one mod-sequence in common.

import type { FlagChange, FlagSet, StoreResult } from '../backend.ts'
import { storeAllowed } from './flag-rights.ts'
import type { MailboxView } from './view.ts'

/**
 * As `storeAllowed` for a mailbox that is selected. The store refuses every message that has a newer mod-sequence; where flags are added or removed and it was
 * others that changed, nothing speaks against it, and it is done all the same (§3.1.12). With 0 it is asked whether there are such keywords: where there are none,
 * they are set (§3.1.3, example 8).
 */
export async function storeUnchanged(
  view: MailboxView,
  uids: readonly number[],
  change: FlagChange,
  unchangedSince: number | undefined,
): Promise<StoreResult> {
  const { mailbox } = view
  const result = await storeAllowed(mailbox, uids, change, unchangedSince)
  if (unchangedSince === undefined || change.action === 'set' || result.modified.length === 0) return result
  // Who knows a later state than this session does knows more than can be compared with.
  if (unchangedSince > view.modseq) return result
  const keywordsOnly = change.flags.every((flag) => !flag.startsWith('\\'))
  const delta = await mailbox.delta(view.modseq)
  const newer = new Map(delta.changed.map((row) => [row.uid, row]))
  const free = result.modified.filter((uid) => {
    const known = view.row(uid)
    const now = newer.get(uid) ?? known
    if (known === undefined || now === undefined) return false
    if (unchangedSince === 0) return keywordsOnly && change.flags.every((flag) => !has(now.flags, flag))
    return (
      known.modseq <= unchangedSince && change.flags.every((flag) => has(known.flags, flag) === has(now.flags, flag))
    )
  })
  if (free.length === 0) return result
  const more = await storeAllowed(mailbox, free, change, delta.highestModseq)
  const done = new Set(more.rows.map(({ uid }) => uid))
  return {
    rows: [...result.rows, ...more.rows].sort((a, b) => a.uid - b.uid),
    modified: result.modified.filter((uid) => !done.has(uid)),
    highestModseq: more.highestModseq,
  }
}

function has(flags: FlagSet, flag: string): boolean {
  const lower = flag.toLowerCase()
  return flags.some((one) => one.toLowerCase() === lower)
}
