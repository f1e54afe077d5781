// The IMAP library's own suite for mail stores, on this one.

import { testBackend } from '@aviso/imap/testing'
import { account, openHouse } from './fixture.ts'

testBackend('mailboxes', async () => {
  const house = await openHouse()
  await house.mailboxes.room.create(account('anna'))
  return { open: async () => house.open(), close: () => house.close() }
})
