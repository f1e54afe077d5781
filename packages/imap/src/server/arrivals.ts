// RFC 5465 §5.2, §7: what is told of messages that have just arrived in the selected mailbox, in one FETCH response each.

import { eachOnce, type FetchItem, itemKey } from '../commands/fetch-items.ts'
import { fetchMessages } from '../commands/fetch.ts'
import type { ImapServerSession } from './session.ts'
import type { MailboxView } from './view.ts'

/** `uids`: ascending, put there by others. `items`: what NOTIFY wants of every one; searches with UPDATE may want more of those they match. */
export async function fetchArrivals(
  session: ImapServerSession,
  view: MailboxView,
  uids: readonly number[],
  items: readonly FetchItem[],
): Promise<void> {
  // Whatever the client asked for: RFC 7162 §3.2.4.
  const marks: readonly FetchItem[] = session.uidOnly ? [{ kind: 'MODSEQ' }] : [{ kind: 'UID' }, { kind: 'MODSEQ' }]
  let last = ''
  let group: { readonly items: readonly FetchItem[]; readonly uids: number[] } | undefined
  for (const uid of uids) {
    const more = view.contexts?.wantedOf(uid) ?? []
    const wanted = more.length === 0 ? items : eachOnce([...items, ...more])
    if (wanted.length === 0) continue
    const all = session.condstore ? eachOnce([...wanted, ...marks]) : wanted
    const key = all.map(itemKey).join(' ')
    if (group === undefined || key !== last) {
      if (group !== undefined) await fetchMessages(session, group.uids, group.items)
      group = { items: all, uids: [] }
      last = key
    }
    group.uids.push(uid)
  }
  if (group !== undefined) await fetchMessages(session, group.uids, group.items)
}
