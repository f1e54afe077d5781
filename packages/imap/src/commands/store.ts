// RFC 9051 §6.4.6 STORE, UID STORE

import type { FlagSet } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { spansOf, uidsOf } from '../server/message-set.ts'
import { announceKeywords, fetchFlagsLine } from '../server/sync.ts'
import { bad } from '../wire/errors.ts'

const ACTIONS = { FLAGS: 'set', '+FLAGS': 'add', '-FLAGS': 'remove' } as const

/** The flags a message has after the change, as this client expects it. */
function expected(old: FlagSet, action: 'set' | 'add' | 'remove', flags: FlagSet): Set<string> {
  const given = flags.map((flag) => flag.toLowerCase())
  const out = new Set(action === 'set' ? [] : old.map((flag) => flag.toLowerCase()))
  for (const flag of given) {
    if (action === 'remove') out.delete(flag)
    else out.add(flag)
  }
  return out
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
      const item = parser.word()
      const silent = item.endsWith('.SILENT')
      const action = ACTIONS[(silent ? item.slice(0, -7) : item) as keyof typeof ACTIONS]
      if (action === undefined) throw bad('STORE knows FLAGS, +FLAGS and -FLAGS, each also with .SILENT')
      parser.space()
      return { set, silent, action, flags: parser.flags(true) }
    },
    async execute(session, { set, silent, action, flags }) {
      const view = session.writableView
      const uids = uidsOf(view, spansOf(view, set, uid))
      if (uids.length === 0) return {}
      const { rows } = await view.mailbox.store(uids, { action, flags })
      view.stale = true
      if (!silent) {
        announceKeywords(
          session.out,
          view,
          rows.map((row) => row.flags),
        )
      }
      for (const row of rows) {
        const position = view.position(row.uid)
        if (position < 0) continue
        if (silent) {
          // Silent about my own change only: what another session changed meanwhile is told with the news.
          const wanted = expected(view.row(row.uid)?.flags ?? [], action, flags)
          if (row.flags.length !== wanted.size || !row.flags.every((flag) => wanted.has(flag.toLowerCase()))) continue
        } else {
          session.out.text(fetchFlagsLine(view, position, row, uid))
        }
        view.silent.set(row.uid, row.modseq)
        if (session.winded) await session.breathe()
      }
      view.update(rows)
      const missing = rows.length < uids.length
      return missing ? { code: 'EXPUNGEISSUED', text: 'Done, except for messages that are expunged already' } : {}
    },
  })

export const store = define(false)
export const uidStore = define(true)
