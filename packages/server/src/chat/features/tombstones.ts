// The names of erased accounts are not given to others: mail and messages for who had them would go astray

import * as v from 'valibot'
import { AccountAdmin } from '../../accounts/administration.ts'
import { AccountError } from '../../accounts/errors.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import { duration } from '../../kernel/units.ts'
import { chatFeature } from '../core/contracts.ts'

export const tombstones = chatFeature({
  name: 'tombstones',
  summary: 'Keeps the names of erased accounts from being given anew.',
  config: v.strictObject({
    time: v.optional(v.pipe(duration(), v.description('for how long; for ever if not set'))),
    administrators: v.optional(
      v.pipe(v.boolean(), v.description('administrators are bound by it, too, not only who registers himself')),
      false,
    ),
  }),

  attach(host, config, scope) {
    const rooms = scope.find(accountRooms)
    if (rooms === undefined) return
    scope.defer(
      rooms.register({
        name: 'chat-tombstones',
        create: async () => {},
        admit: async ({ address, domain, chosen }) => {
          if ((!chosen && !config.administrators) || !host.covers(domain)) return
          const erased = await scope.use(AccountAdmin).erased(address)
          if (erased === undefined) return
          if (config.time !== undefined && erased + config.time <= scope.clock.now()) return
          throw new AccountError('exists', `the name ${address} belonged to somebody else before and is not given anew`)
        },
      }),
    )
  },
})
