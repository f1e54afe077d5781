// Which accounts have contacts by shared groups. Store workers import this file: it must stay light.

import { defineStore, read, write } from '../../store/contracts.ts'

export const sharedGroupsStore = defineStore({
  name: 'chat_shared_member',
  scale: 'core',
  migrations: ['CREATE TABLE chat_shared_member (account TEXT PRIMARY KEY);'],
  operations: {
    members: read(async (tx): Promise<readonly string[]> =>
      (await tx.all('SELECT account FROM chat_shared_member')).map(([account]) => String(account)),
    ),
    add: write(async (tx, { accounts }: { readonly accounts: readonly string[] }) => {
      for (const account of accounts)
        await tx.run('INSERT INTO chat_shared_member (account) VALUES (?) ON CONFLICT (account) DO NOTHING', account)
    }),
    remove: write(async (tx, { accounts }: { readonly accounts: readonly string[] }) => {
      for (const account of accounts) await tx.run('DELETE FROM chat_shared_member WHERE account = ?', account)
    }),
  },
})
