// Refuses names that look like those of others (UTS #39)

import * as v from 'valibot'
import { AccountAdmin } from '../../accounts/administration.ts'
import { AccountError } from '../../accounts/errors.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import { chatFeature } from '../core/contracts.ts'
import { skeleton } from './confusables.ts'

export const mimicry = chatFeature({
  name: 'mimicry',
  summary: 'Keeps people from registering a name that looks like somebody else’s.',
  config: v.strictObject({}),

  attach(host, _config, scope) {
    const rooms = scope.find(accountRooms)
    if (rooms === undefined) return
    scope.defer(
      rooms.register({
        name: 'chat-mimicry',
        create: async () => {},
        // Looks at all names of the domain, a page at a time: registrations are rare and limited, and nothing has to be kept true.
        admit: async ({ local, domain, address, chosen }) => {
          if (!chosen || !host.covers(domain)) return
          const looks = skeleton(local)
          const admin = scope.use(AccountAdmin)
          let after = ''
          for (;;) {
            const page = await admin.listAccounts({ domain, after })
            // The same name is refused as such, by who keeps the accounts.
            if (page.some((other) => other.address !== address && skeleton(other.local) === looks))
              throw new AccountError('exists', `the name ${address} looks too much like another one`)
            const last = page.at(-1)
            if (last === undefined) return
            after = last.address
          }
        },
      }),
    )
  },
})
