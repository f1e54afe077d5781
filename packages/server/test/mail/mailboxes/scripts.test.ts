// The IMAP library's scripts on this store.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { serveAccount, testScripts } from '@aviso/imap/testing'
import type { Account } from '../../../src/accounts/contracts.ts'
import { account, type House, openHouse } from './fixture.ts'

const SCRIPTS = fileURLToPath(new URL('../../../../imap/test/scripts', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'aviso-scripts-'))
let house: Promise<House> | undefined
const people = new Map<string, Account>()
const neighbours = {
  byAddress: async (address: string) => [...people.values()].find((one) => one.address === address),
  byId: async (id: string) => people.get(id),
  watch: () => () => undefined,
}

after(async () => {
  await (await house)?.close()
  rmSync(folder, { recursive: true, force: true })
})

// One house, and in it an account for every story; those with a quota have a house of their own.
testScripts('mailboxes', SCRIPTS, async ({ settings }) => {
  if (settings.has('octets') || settings.has('messages')) {
    const limit = (name: string): number | undefined => (settings.has(name) ? Number(settings.get(name)) : undefined)
    const own = await openHouse({
      limits: { octets: limit('octets'), messages: limit('messages'), mailboxes: undefined },
    })
    await own.mailboxes.room.create(account('anna'))
    return serveAccount(async () => own.open(), { settings, date: () => own.clock.now(), close: () => own.close() })
  }
  const { mailboxes, open, clock } = await (house ??= openHouse({ folder, neighbours }))
  const id = `person${people.size + 1}`
  people.set(id, account(id))
  await mailboxes.room.create(account(id))
  return serveAccount(async () => open(id), { settings, date: () => clock.now() })
})
