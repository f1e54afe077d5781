// XEP-0133 §4.23: announcements to everybody

import * as v from 'valibot'
import { AccountAdmin } from '../../accounts/administration.ts'
import { finished } from '../core/commands.ts'
import { chatFeature } from '../core/contracts.ts'
import type { Field, Submission } from '../core/forms.ts'
import { tell } from '../core/server-voice.ts'
import { adminCommand, ask, byAccounts, neededLines } from './admin-forms.ts'

const fields: readonly Field[] = [
  { name: 'subject', type: 'text-single', label: 'Subject' },
  { name: 'announcement', type: 'text-multi', label: 'Announcement', required: true },
]

export const announce = chatFeature({
  name: 'announce',
  summary: 'Lets administrators say something to everybody who is online, or to everybody.',
  config: v.strictObject({}),

  attach(host, _config, scope) {
    const { log } = scope
    const say = async (filled: Submission, domain: string, to: string): Promise<boolean> => {
      try {
        await tell(host, domain, to, neededLines(filled, 'announcement'), { subject: filled.text('subject') })
        return true
      } catch (error) {
        log.debug({ err: error, account: to }, 'an announcement did not arrive')
        return false
      }
    }

    host.command(
      adminCommand('announce', 'Tell everybody who is online', ({ domain }) =>
        ask('Tell everybody who is online', fields, async (filled) => {
          neededLines(filled, 'announcement')
          let reached = 0
          for (const { bare, sessions } of host.online())
            if (sessions.some(({ listening }) => listening) && (await say(filled, domain, bare))) reached++
          return finished(`${reached} accounts were told.`)
        }),
      ),
    )
    host.command(
      adminCommand('announce-all', 'Tell everybody', ({ account, domain }) =>
        ask(
          'Tell everybody',
          fields,
          async (filled) => {
            neededLines(filled, 'announcement')
            const door = scope.use(AccountAdmin).as(account.address)
            let reached = 0
            let after = ''
            for (;;) {
              const page = await byAccounts(door.listAccounts({ after }))
              for (const { address, disabled } of page) if (!disabled && (await say(filled, domain, address))) reached++
              const last = page.at(-1)
              if (last === undefined) return finished(`${reached} accounts were told.`)
              after = last.address
            }
          },
          'Those who are not online get it at their next login.',
        ),
      ),
    )
  },
})
