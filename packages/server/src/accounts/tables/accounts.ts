// The accounts and aliases of this server, as a table

import * as v from 'valibot'
import { Accounts } from '../contracts.ts'
import { table } from './contracts.ts'

export const accountsTable = table({
  name: 'accounts',
  summary:
    'Holds the addresses of our accounts and aliases, each with the addresses that it leads to, and our domains.',
  config: v.strictObject({
    forwards: v.optional(
      v.pipe(v.boolean(), v.description('addresses elsewhere that an alias leads to are values too')),
      true,
    ),
  }),

  create({ forwards }, scope) {
    const accounts = scope.use(Accounts)
    return {
      async lookup(key) {
        if (!key.includes('@')) return accounts.isLocal(key) ? [''] : []
        const found = await accounts.resolve(key)
        if (found.kind !== 'local') return []
        return [...found.accounts.map(({ address }) => address), ...(forwards ? found.forwards : [])]
      },
    }
  },
})
