// RFC 9051 §6.3.7 SUBSCRIBE, §6.3.8 UNSUBSCRIBE

import { defineCommand } from '../server/command.ts'
import { no } from '../wire/errors.ts'
import { nameFault } from '../wire/mailbox-name.ts'

const change = (name: 'SUBSCRIBE' | 'UNSUBSCRIBE', subscribed: boolean) =>
  defineCommand({
    name,
    state: 'authenticated',
    parse(parser) {
      parser.space()
      return parser.mailbox()
    },
    async execute(session, mailbox) {
      const fault = subscribed ? nameFault(mailbox) : undefined
      if (fault !== undefined) throw no(fault, 'CANNOT')
      session.notifications.ownNames(mailbox)
      await session.account.subscribe(mailbox, subscribed)
    },
  })

export const subscribe = change('SUBSCRIBE', true)
export const unsubscribe = change('UNSUBSCRIBE', false)
