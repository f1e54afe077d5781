// The IMAP library's own suite for mail stores, on this one.

import { testBackend } from '@aviso/imap/testing'
import { account, openHouse } from './fixture.ts'

const people = [account('anna'), account('bob')]

testBackend(
  'mailboxes',
  async () => {
    const house = await openHouse({
      neighbours: {
        byAddress: async (address) => people.find((one) => one.address === address),
        byId: async (id) => people.find((one) => one.id === id),
        watch: () => () => undefined,
      },
    })
    for (const one of people) await house.mailboxes.room.create(one)
    return {
      open: async () => house.open(),
      openOther: async () => house.open('bob'),
      limitStorage: async (limit) => void (await house.mailboxes.setQuota('anna', { octets: limit * 1024 })),
      close: () => house.close(),
    }
  },
  { expects: ['quota', 'metadata', 'acl'] },
)
