// The IMAP library's own suite for mail stores, on this one.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testBackend } from '@aviso/imap/testing'
import { account, openHouse } from './fixture.ts'

const people = [account('anna'), account('bob')]
const neighbours = {
  byAddress: async (address: string) => people.find((one) => one.address === address),
  byId: async (id: string) => people.find((one) => one.id === id),
  watch: () => () => undefined,
}

testBackend(
  'mailboxes',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-mail-'))
    let house = await openHouse({ folder, neighbours })
    for (const one of people) await house.mailboxes.room.create(one)
    return {
      open: async () => house.open(),
      openOther: async () => house.open('bob'),
      reopen: async () => {
        await house.close()
        house = await openHouse({ folder, neighbours })
      },
      limitStorage: async (limit) => void (await house.mailboxes.setQuota('anna', { octets: limit * 1024 })),
      close: async () => {
        await house.close()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
  { expects: ['quota', 'metadata', 'acl', 'find'] },
)
