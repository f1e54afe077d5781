// RFC 9051 §7.4, §7.5; RFC 7162; RFC 9586: how messages of the selected mailbox are named to the client, by what it has enabled.

import type { FlagSet, MessageRow } from '../backend.ts'
import { formatNumbers } from '../wire/number-set.ts'
import type { Completion } from './command.ts'
import type { ImapServerSession } from './session.ts'
import type { MailboxView } from './view.ts'

/** Flags for the wire, with \Recent where this session was the first to see the message. */
export function formatFlags(view: MailboxView, uid: number, flags: FlagSet): string {
  const text = flags.join(' ')
  return view.isRecent(uid) ? (text === '' ? '(\\Recent)' : `(${text} \\Recent)`) : `(${text})`
}

/** The beginning of a FETCH response up to its parenthesis: UIDFETCH when the client knows no sequence numbers (RFC 9586 §3.3). */
export const fetchOpening = (session: ImapServerSession, position: number, uid: number): string =>
  session.uidOnly ? `* ${uid} UIDFETCH (` : `* ${position + 1} FETCH (`

/** A whole response that tells a message's flags; who knows mod-sequences is told the UID too, asked for or not (RFC 7162 §3.2.4). */
export function flagsLine(
  session: ImapServerSession,
  view: MailboxView,
  position: number,
  row: MessageRow,
  withUid: boolean,
): string {
  const uid = (withUid || session.condstore) && !session.uidOnly ? `UID ${row.uid} ` : ''
  const modseq = session.condstore ? ` MODSEQ (${row.modseq})` : ''
  return `${fetchOpening(session, position, row.uid)}${uid}FLAGS ${formatFlags(view, row.uid, row.flags)}${modseq})\r\n`
}

/** Tells which messages are gone: VANISHED to those who know it, else EXPUNGE (RFC 7162 §3.2.10, RFC 9586 §3.4). */
export function tellExpunged(session: ImapServerSession, view: MailboxView): void {
  const { numbers, uids } = view.dropExpunged()
  if (uids.length === 0) return
  if (session.qresync || session.uidOnly) session.out.untagged(`VANISHED ${formatNumbers(uids)}`)
  else for (const number of numbers) session.out.text(`* ${number} EXPUNGE\r\n`)
}

/**
 * The end of a command that expunged by itself: who knows mod-sequences is told the one up to which it has heard everything (RFC 7162 §3.2.7 for EXPUNGE; RFC 6851 §3
 * and RFC 8508 §3.4 make MOVE and REPLACE answer as the commands do that they stand for).
 */
export const expunged = (session: ImapServerSession, view: MailboxView): Completion =>
  session.condstore ? { code: () => `HIGHESTMODSEQ ${view.told}` } : {}

/**
 * Where expunges wait to be told, FETCH responses may have told higher mod-sequences than theirs: a client that is cut off now must not take those for the one up
 * to which it knows everything (RFC 7162 §3.2, §6).
 */
export function tellTold(session: ImapServerSession, view: MailboxView): void {
  if (!session.condstore) return
  const behind = view.expunged.size > 0
  if (behind || view.behind)
    session.out.untagged(
      `OK [HIGHESTMODSEQ ${view.told}] ${behind ? 'Expunges wait to be told' : 'Everything is told'}`,
    )
  view.behind = behind
}

/** FLAGS and PERMANENTFLAGS with the keywords the client may meet. */
export function announceFlags(session: ImapServerSession, view: MailboxView): void {
  const keywords = [...view.keywords.values()]
  const flags = [SYSTEM_FLAGS, ...keywords].join(' ')
  session.out.untagged(`FLAGS (${flags})`)
  session.out.untagged(
    `OK [PERMANENTFLAGS (${permanentFlags(view, keywords)})] ${view.readOnly ? 'Read-only mailbox' : 'Flags permitted'}`,
  )
}

const SYSTEM_FLAGS = '\\Answered \\Flagged \\Deleted \\Seen \\Draft'

/** What this user may change (RFC 4314 §5.1.1: `s` \Seen, `t` \Deleted, `w` all other flags and keywords). */
function permanentFlags({ readOnly, mailbox: { rights } }: MailboxView, keywords: readonly string[]): string {
  if (readOnly) return ''
  const may = (right: string): boolean => rights === undefined || rights.includes(right)
  return [
    ...(may('w') ? ['\\Answered', '\\Flagged'] : []),
    ...(may('t') ? ['\\Deleted'] : []),
    ...(may('s') ? ['\\Seen'] : []),
    ...(may('w') ? ['\\Draft', ...keywords, '\\*'] : []),
  ].join(' ')
}

/** Announces keywords that the client has not heard of, before a FETCH mentions them. */
export function announceKeywords(session: ImapServerSession, view: MailboxView, sets: Iterable<FlagSet>): void {
  let news = false
  let last: FlagSet | undefined
  for (const flags of sets) {
    // Messages of one snapshot share their sets.
    if (flags === last) continue
    last = flags
    for (const flag of flags) {
      if (flag.charCodeAt(0) === 0x5c) continue
      const key = flag.toLowerCase()
      if (view.keywords.has(key)) continue
      view.keywords.set(key, flag)
      news = true
    }
  }
  if (news) announceFlags(session, view)
}
