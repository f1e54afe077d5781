// The IMAP library's scripts on this store.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { serveAccount, testScripts } from '@aviso/imap/testing'
import { account, type House, openHouse } from './fixture.ts'

const SCRIPTS = fileURLToPath(new URL('../../../../imap/test/scripts', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'aviso-scripts-'))
let house: Promise<House> | undefined
let people = 0

after(async () => {
  await (await house)?.close()
  rmSync(folder, { recursive: true, force: true })
})

// One house, and in it an account for every story.
testScripts('mailboxes', SCRIPTS, async () => {
  const { mailboxes, open, clock } = await (house ??= openHouse({ folder }))
  const id = `person${++people}`
  await mailboxes.room.create(account(id))
  return serveAccount(async () => open(id), { date: () => clock.now() })
})
