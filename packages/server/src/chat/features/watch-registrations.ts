// Tells somebody of every new account

import { Jid } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { tell } from '../core/server-voice.ts'

export const watchRegistrations = chatFeature({
  name: 'watch-registrations',
  summary: 'Tells somebody of every new account.',
  config: v.strictObject({
    watchers: v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.check((text) => Jid.tryParse(text) !== undefined, 'expected a chat address'),
          ),
        ),
        v.description('whom to tell'),
      ),
      [],
    ),
    text: v.optional(
      v.pipe(v.string(), v.description('what they are told; {address} stands for the new one')),
      'There is a new account: {address}',
    ),
    type: v.optional(
      v.pipe(v.picklist(['chat', 'normal', 'headline']), v.description('as which kind of message')),
      'chat',
    ),
  }),

  attach(host, config, scope) {
    if (config.watchers.length === 0) return
    scope.defer(
      host.accounts.watch(({ kind, address }) => {
        if (kind !== 'created' || address === undefined || !host.current) return
        const domain = address.slice(address.lastIndexOf('@') + 1)
        for (const watcher of config.watchers)
          tell(
            host,
            domain,
            watcher,
            config.text.replaceAll('{address}', () => address),
            { type: config.type },
          ).catch((error: unknown) =>
            scope.log.warn({ err: error, watcher }, 'a watcher could not be told of a new account'),
          )
      }),
    )
  },
})
