// The IMAP library's own suite for mail stores, on this one.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testBackend } from '@aviso/imap/testing'
import { account, openHouse } from './fixture.ts'

testBackend(
  'mailboxes',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aviso-mail-'))
    let house = await openHouse({ folder })
    await house.mailboxes.room.create(account('anna'))
    return {
      open: async () => house.open(),
      reopen: async () => {
        await house.close()
        house = await openHouse({ folder })
      },
      limitStorage: async (limit) => {
        await house.mailboxes.setQuota('anna', { octets: limit * 1024 })
      },
      close: async () => {
        await house.close()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
  { expects: ['quota'] },
)
