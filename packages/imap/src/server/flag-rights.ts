// RFC 4314 §4: STORE changes what the rights allow, and is refused only when they allow nothing of it.

import type { FlagChange, Mailbox, Rights, StoreResult } from '../backend.ts'
import { no } from '../wire/errors.ts'
import { allows } from './rights.ts'

/** Flags by the right they need: `s` \Seen, `t` \Deleted, `w` all others. */
const SYSTEM = { s: ['\\Seen'], t: ['\\Deleted'], w: ['\\Answered', '\\Flagged', '\\Draft'] } as const

const rightFor = (flag: string): keyof typeof SYSTEM => {
  const lower = flag.toLowerCase()
  return lower === '\\seen' ? 's' : lower === '\\deleted' ? 't' : 'w'
}

/** True when somebody with these rights may change every flag. */
const mayAll = (rights: Rights | undefined): boolean =>
  allows(rights, 's') && allows(rights, 't') && allows(rights, 'w')

/** As `Mailbox.store`, leaving alone the flags that the rights do not allow. Throws NO NOPERM when that leaves nothing. */
export async function storeAllowed(
  mailbox: Mailbox,
  uids: readonly number[],
  change: FlagChange,
  unchangedSince?: number,
): Promise<StoreResult> {
  const { rights } = mailbox
  if (mayAll(rights)) return mailbox.store(uids, change, unchangedSince)
  const allowed = change.flags.filter((flag) => allows(rights, rightFor(flag)))
  if (change.action === 'set' ? !allows(rights, 'stw') : allowed.length === 0 && change.flags.length > 0)
    throw no('You may not change these flags', 'NOPERM')
  if (change.action !== 'set') return mailbox.store(uids, { ...change, flags: allowed }, unchangedSince)
  // A replacement among the flags that may be changed: those named come, the others go.
  const given = new Set(allowed.map((flag) => flag.toLowerCase()))
  const others = (['s', 't', 'w'] as const).flatMap((right) => (allows(rights, right) ? SYSTEM[right] : []))
  const keywords = allows(rights, 'w') ? await mailbox.keywords() : []
  const gone = [...others, ...keywords].filter((flag) => !given.has(flag.toLowerCase()))
  const added = await mailbox.store(uids, { action: 'add', flags: allowed }, unchangedSince)
  const { rows, highestModseq } = await mailbox.store(
    added.rows.map(({ uid }) => uid),
    { action: 'remove', flags: gone },
  )
  return { rows, modified: added.modified, highestModseq }
}
