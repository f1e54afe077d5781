// RFC 4466 §2.1: parameters of SELECT and EXAMINE: CONDSTORE (RFC 7162 §3.1.8) and QRESYNC (RFC 7162 §3.2.5).

import type { ImapServerSession } from '../server/session.ts'
import { fetchOpening, formatFlags } from '../server/telling.ts'
import type { MailboxView } from '../server/view.ts'
import { bad } from '../wire/errors.ts'
import { type NumberSet, SAVED } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'
import { tellVanishedEarlier } from './fetch-modifiers.ts'

/** What the client knew of the mailbox when it last saw it. */
export interface KnownState {
  readonly uidValidity: number
  readonly modseq: number
  /** The UIDs that it knows; absent: all up to then. */
  readonly uids: NumberSet | undefined
  /** Sequence numbers that it knows, and the UIDs that they stood for. */
  readonly pairs: SequenceMatch | undefined
}

export interface SequenceMatch {
  readonly numbers: NumberSet
  readonly uids: NumberSet
}

export interface SelectParameters {
  readonly condstore: boolean
  readonly known: KnownState | undefined
}

export function parseSelectParameters(parser: Parser): SelectParameters {
  let condstore = false
  let known: KnownState | undefined
  if (parser.trySpace()) {
    parser.list(() => {
      const name = parser.word()
      if (name === 'CONDSTORE') condstore = true
      else if (name === 'QRESYNC') {
        parser.space()
        known = parseKnown(parser)
      } else throw bad(`SELECT does not know the parameter ${name.slice(0, 40)}`)
    })
  }
  return { condstore, known }
}

/** `(uidvalidity modseq [known-uids] [(known-sequence-set known-uid-set)])` */
function parseKnown(parser: Parser): KnownState {
  parser.char('(')
  const uidValidity = parser.nonZero()
  parser.space()
  const modseq = parser.number64()
  let uids: NumberSet | undefined
  let pairs: SequenceMatch | undefined
  while (parser.trySpace()) {
    if (parser.tryChar('(')) {
      const numbers = plainSet(parser)
      parser.space()
      pairs = { numbers, uids: plainSet(parser) }
      parser.char(')')
      if (pairedLength(pairs.numbers) !== pairedLength(pairs.uids))
        throw bad('QRESYNC takes as many sequence numbers as UIDs')
      break
    }
    if (uids !== undefined) throw bad('QRESYNC takes one set of known UIDs')
    uids = plainSet(parser)
  }
  parser.char(')')
  return { uidValidity, modseq, uids, pairs }
}

/** A set without `*` and `$`, which mean nothing in a mailbox that is not open yet (RFC 7162 §3.2.5.1). */
function plainSet(parser: Parser): NumberSet {
  const set = parser.numberSet()
  if (set === SAVED || set.some(({ from, to }) => from === 0 || to === 0))
    throw bad('The sets of QRESYNC name numbers, not * or $')
  return set
}

const pairedLength = (set: NumberSet): number => set.reduce((sum, { from, to }) => sum + Math.abs(to - from) + 1, 0)

/**
 * RFC 7162 §3.2.5.2: the highest of the client's UIDs that still has the number it knows: up to there it has heard of every expunge. 0: none.
 * Both sets ascend, so runs of both are laid side by side and never taken apart.
 */
export function knownUpTo(view: Pick<MailboxView, 'count' | 'uidAt'>, { numbers, uids }: SequenceMatch): number {
  let highest = 0
  let [n, u] = [0, 0]
  let [number, uid] = [numbers[0]?.from ?? 0, uids[0]?.from ?? 0]
  for (let a = numbers[n], b = uids[u]; a !== undefined && b !== undefined; a = numbers[n], b = uids[u]) {
    const length = Math.min(a.to - number, b.to - uid) + 1
    // A range that is written backwards, or numbers beyond the mailbox: nothing that could match.
    if (length <= 0 || number > view.count) break
    for (let i = Math.min(length, view.count - number + 1) - 1; i >= 0; i--) {
      if (view.uidAt(number - 1 + i) !== uid + i) continue
      highest = Math.max(highest, uid + i)
      break
    }
    number += length
    uid += length
    if (number > a.to) number = numbers[++n]?.from ?? 0
    if (uid > b.to) uid = uids[++u]?.from ?? 0
  }
  return highest
}

/** Tells what happened since the client last saw the mailbox: VANISHED (EARLIER), then FETCH with UID, FLAGS and MODSEQ. */
export async function tellSince(session: ImapServerSession, view: MailboxView, known: KnownState): Promise<void> {
  if (known.uidValidity !== view.mailbox.uidValidity) return
  const from = known.pairs === undefined ? 0 : knownUpTo(view, known.pairs)
  await tellVanishedEarlier(session, view, known.uids, known.modseq, from)
  const cursor = view.cursor(view.changedAmong([{ start: 0, end: view.count }], known.modseq))
  let count = 0
  while (cursor.next()) {
    const uid = session.uidOnly ? '' : `UID ${cursor.uid} `
    session.out.text(
      `${fetchOpening(session, cursor.position, cursor.uid)}${uid}FLAGS ${formatFlags(view, cursor.uid, cursor.flags)} MODSEQ (${cursor.modseq}))\r\n`,
    )
    if ((++count & 255) === 0 && session.winded) await session.breathe()
  }
}
