// XEP-0133 §4.27-4.28: the first message that a new account gets

import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { tell } from '../core/server-voice.ts'
import { noticeCommands } from './motd.ts'
import { Notice } from './notice.ts'

export const welcome = chatFeature({
  name: 'welcome',
  summary: 'Sends a message to every new account.',
  config: v.strictObject({
    text: v.optional(
      v.pipe(
        v.string(),
        v.description(
          'what new accounts are told as long as no administrator has set another text; {user} and {domain} stand for theirs',
        ),
      ),
    ),
  }),

  async attach(host, config, scope) {
    const notice = await Notice.open(scope, host.store, 'welcome', config.text)
    scope.defer(
      host.accounts.watch(({ kind, address }) => {
        if (kind !== 'created' || address === undefined || notice.text === undefined || !host.current) return
        const at = address.lastIndexOf('@')
        const domain = address.slice(at + 1)
        const text = notice.text.replaceAll('{user}', () => address.slice(0, at)).replaceAll('{domain}', () => domain)
        tell(host, domain, address, text).catch((error: unknown) =>
          scope.log.warn({ err: error, account: address }, 'a new account could not be welcomed'),
        )
      }),
    )
    for (const command of noticeCommands('welcome', 'welcome', notice)) host.command(command)
  },
})
