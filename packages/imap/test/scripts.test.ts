// The scripts on the library's own stores, and on Dovecot where it is installed: that the scripts themselves are true.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MailAccount } from '../src/backend.ts'
import { MaildirMail } from '../src/maildir/index.ts'
import { MemoryMail, serveAccount, testScripts } from '../src/testing/index.ts'
import { dovecot, DOVECOT } from './dovecot.ts'

const SCRIPTS = fileURLToPath(new URL('scripts', import.meta.url))
// In memory where the system has such a place: the speed of a disk is nothing to test.
const ROOM = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

testScripts('memory', SCRIPTS, () => {
  const mail = new MemoryMail({ name: 'anna', users: new Map() })
  return serveAccount(async (): Promise<MailAccount> => mail.open())
})

testScripts(
  'maildir',
  SCRIPTS,
  () => {
    const path = mkdtempSync(join(ROOM, 'aviso-scripts-'))
    const mail = new MaildirMail(path, { layout: 'fs' })
    return serveAccount(async () => mail.open(), { close: () => rmSync(path, { recursive: true, force: true }) })
  },
  { partial: true },
)

testScripts('dovecot', SCRIPTS, () => dovecot(mkdtempSync(join(ROOM, 'aviso-dovecot-'))), {
  partial: true,
  skip: existsSync(DOVECOT) ? false : 'needs dovecot',
})
