// RFC 8508 REPLACE, UID REPLACE: a new message in place of an old one, in one step

import { defineCommand } from '../server/command.ts'
import { spansOf, uidsOf } from '../server/message-set.ts'
import { expunged } from '../server/telling.ts'
import type { MailboxView } from '../server/view.ts'
import { bad, no } from '../wire/errors.ts'
import { formatNumbers, type NumberSet } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'
import { buildMessages, judgeMessageLiteral } from './append-build.ts'
import { parseMessages } from './append-message.ts'

/** One number; `*` is the last message. */
function parseNumber(parser: Parser, uid: boolean): NumberSet {
  const number = !uid && parser.tryChar('*') ? 0 : parser.nonZero()
  return [{ from: number, to: number }]
}

/** The UID of the one message that is meant. Throws when there is none. */
function messageAt(view: MailboxView, set: NumberSet, uid: boolean): number {
  const [found] = uidsOf(view, spansOf(view, set, uid))
  if (found === undefined) throw no('There is no message with this UID', 'EXPUNGEISSUED')
  return found
}

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID REPLACE' : 'REPLACE',
    state: 'selected',
    withUid: uid,
    parse(parser) {
      parser.space()
      const set = parseNumber(parser, uid)
      parser.space()
      return { set, mailbox: parser.mailbox(), messages: parseMessages(parser, false) }
    },
    async literal(session, parser, literal) {
      parser.space()
      const set = parseNumber(parser, uid)
      parser.space()
      messageAt(session.writableView, set, uid)
      return judgeMessageLiteral(session, parser, literal, true)
    },
    async execute(session, { set, mailbox, messages }) {
      const view = session.writableView
      const old = messageAt(view, set, uid)
      const [message] = await buildMessages(session, messages)
      if (message === undefined) throw bad('The message is missing')
      const { uidValidity, uids } = await view.mailbox.replace(old, mailbox, message)
      session.notifications.ownMessages(mailbox, uids)
      view.stale = true
      // Before the EXPUNGE, so that the client can tell what took the place of what (RFC 8508 §4.3).
      session.out.untagged(`OK [APPENDUID ${uidValidity} ${formatNumbers(uids)}] The new message is in place`)
      return expunged(session, view)
    },
  })

export const replace = define(false)
export const uidReplace = define(true)
