// RFC 9051 §6.4.7 COPY, §6.4.8 MOVE (RFC 6851), and their UID forms; COPYUID (RFC 4315)

import type { CopyResult } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { limited, refuseBeyond, spansOf, uidsOf, withLimit } from '../server/message-set.ts'
import { expunged } from '../server/telling.ts'
import { no } from '../wire/errors.ts'
import { formatNumbers } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

function parse(parser: Parser) {
  parser.space()
  const set = parser.numberSet()
  parser.space()
  return { set, destination: parser.mailbox() }
}

const copyUid = (result: CopyResult): string =>
  `COPYUID ${result.uidValidity} ${formatNumbers(result.source)} ${formatNumbers(result.destination)}`

const GONE = 'The messages are expunged already'

const defineCopy = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID COPY' : 'COPY',
    state: 'selected',
    news: 'uid',
    withUid: uid,
    parse,
    async execute(session, { set, destination }) {
      const { view } = session
      const spans = spansOf(view, set, uid)
      refuseBeyond(view, spans, session.limits.messageLimit ?? session.limits.saveLimit)
      const uids = uidsOf(view, spans)
      if (uids.length === 0) return {}
      const result = await view.mailbox.copy(uids, destination)
      session.notifications.ownMessages(destination, result.destination)
      view.stale = true
      if (result.source.length === 0) throw no(GONE, 'EXPUNGEISSUED')
      return { code: copyUid(result) }
    },
  })

const defineMove = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID MOVE' : 'MOVE',
    state: 'selected',
    news: 'all',
    withUid: uid,
    parse,
    async execute(session, { set, destination }) {
      const view = session.writableView
      const { spans, code } = limited(view, spansOf(view, set, uid), session.limits.messageLimit)
      const uids = uidsOf(view, spans)
      if (uids.length === 0) return {}
      const result = await view.mailbox.move(uids, destination)
      session.notifications.ownMessages(destination, result.destination)
      view.stale = true
      if (result.source.length === 0) throw no(GONE, 'EXPUNGEISSUED')
      // Before the EXPUNGEs, so that the client can still tell which is which (RFC 6851 §4.3).
      session.out.untagged(`OK [${copyUid(result)}] Moved`)
      return withLimit(session, code, expunged(session, view))
    },
  })

export const copy = defineCopy(false)
export const uidCopy = defineCopy(true)
export const move = defineMove(false)
export const uidMove = defineMove(true)
