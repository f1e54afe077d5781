// RFC 9051 §6.4.6 STORE, UID STORE, with UNCHANGEDSINCE (RFC 7162 §3.1.3)

import type { FlagSet } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { storeUnchanged } from '../server/conditional-store.ts'
import { limited, spansOf, uidsOf, withLimit } from '../server/message-set.ts'
import { announceKeywords, fetchOpening, flagsLine } from '../server/telling.ts'
import { bad } from '../wire/errors.ts'
import { formatNumbers } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

const ACTIONS = { FLAGS: 'set', '+FLAGS': 'add', '-FLAGS': 'remove' } as const

/** Tells whether a message that had the flags `old` has, with `now`, just what this client's change makes of them. Many messages share their lists of flags: each pair is compared once. */
function expectation(action: 'set' | 'add' | 'remove', flags: FlagSet): (old: FlagSet, now: FlagSet) => boolean {
  const given = flags.map((flag) => flag.toLowerCase())
  const known = new Map<FlagSet, Map<FlagSet, boolean>>()
  const compare = (old: FlagSet, now: FlagSet): boolean => {
    const wanted = new Set(action === 'set' ? [] : old.map((flag) => flag.toLowerCase()))
    for (const flag of given) {
      if (action === 'remove') wanted.delete(flag)
      else wanted.add(flag)
    }
    return now.length === wanted.size && now.every((flag) => wanted.has(flag.toLowerCase()))
  }
  return (old, now) => {
    let answers = known.get(old)
    if (answers === undefined) known.set(old, (answers = new Map()))
    let answer = answers.get(now)
    if (answer === undefined) answers.set(now, (answer = compare(old, now)))
    return answer
  }
}

const NO_FLAGS: FlagSet = []

/** With so many rows, a snapshot of the whole mailbox is the lesser work. */
const MANY = 256

/** `(UNCHANGEDSINCE 12) `, if it is there. */
function parseUnchangedSince(parser: Parser): number | undefined {
  if (!parser.atList) return undefined
  let since: number | undefined
  parser.list(() => {
    const name = parser.word()
    if (name !== 'UNCHANGEDSINCE') throw bad(`STORE does not know the modifier ${name.slice(0, 40)}`)
    parser.space()
    since = parser.number64()
  })
  parser.space()
  return since
}

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID STORE' : 'STORE',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      const set = parser.numberSet()
      parser.space()
      const unchangedSince = parseUnchangedSince(parser)
      const item = parser.word()
      const silent = item.endsWith('.SILENT')
      const action = ACTIONS[(silent ? item.slice(0, -7) : item) as keyof typeof ACTIONS]
      if (action === undefined) throw bad('STORE knows FLAGS, +FLAGS and -FLAGS, each also with .SILENT')
      parser.space()
      return { set, silent, action, flags: parser.flags(true), unchangedSince }
    },
    async execute(session, { set, silent, action, flags, unchangedSince }) {
      const view = session.writableView
      if (unchangedSince !== undefined) session.enableCondstore()
      const { spans, code } = limited(view, spansOf(view, set, uid), session.limits.messageLimit)
      const uids = uidsOf(view, spans)
      if (uids.length === 0) return {}
      const stored = await storeUnchanged(view, uids, { action, flags }, unchangedSince)
      const { modified } = stored
      view.stale = true
      // Nothing else happened since the view was as it is: then there is no news of these messages. Searches that are told of changes hear of them as news, though.
      const alone = stored.before === view.modseq && view.contexts === undefined
      if (!silent || alone) {
        announceKeywords(session, view, stored.brief?.sets ?? stored.rows.map((row) => row.flags))
      }
      const asExpected = expectation(action, flags)
      let count = 0
      for (const row of alone && silent && !session.condstore ? [] : stored.rows) {
        const position = view.position(row.uid)
        if (position < 0) continue
        if (!silent) {
          session.out.text(flagsLine(session, view, position, row, uid))
        } else {
          // Silent about my own change only: what another session changed meanwhile is told with the news.
          if (!alone && !asExpected(view.row(row.uid)?.flags ?? NO_FLAGS, row.flags)) continue
          // Also of a silent STORE, the new mod-sequence is told (RFC 7162 §3.1.3).
          if (session.condstore)
            session.out.text(
              `${fetchOpening(session, position, row.uid)}${session.uidOnly ? '' : `UID ${row.uid} `}MODSEQ (${row.modseq}))\r\n`,
            )
        }
        if (!alone) view.silent.set(row.uid, row.modseq)
        if ((++count & 63) === 0 && session.winded) await session.breathe()
      }
      const stood = stored.brief?.count ?? stored.rows.length
      if (alone) view.advance(stored, stood < MANY ? undefined : await view.mailbox.snapshot())
      else view.update(stored.rows)
      if (modified.length > 0) {
        const failed = uid ? modified : modified.map((one) => view.position(one) + 1).filter((number) => number > 0)
        return withLimit(session, code, {
          code: `MODIFIED ${formatNumbers(failed)}`,
          text: 'Done, except for messages that were changed meanwhile',
        })
      }
      const missing = { code: 'EXPUNGEISSUED', text: 'Done, except for messages that are expunged already' }
      return withLimit(session, code, stood < uids.length ? missing : {})
    },
  })

export const store = define(false)
export const uidStore = define(true)
