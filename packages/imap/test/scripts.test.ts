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

testScripts('memory', SCRIPTS, ({ settings }) => {
  if (settings.has('messages')) return undefined
  const octets = settings.get('octets')
  const quota = octets === undefined ? {} : { quota: Number(octets) }
  const mail = new MemoryMail({ name: 'anna', users: new Map(), ...quota })
  return serveAccount(async (): Promise<MailAccount> => mail.open(), { settings })
})

testScripts(
  'maildir',
  SCRIPTS,
  ({ settings }) => {
    if (settings.has('octets') || settings.has('messages')) return undefined
    const path = mkdtempSync(join(ROOM, 'aviso-scripts-'))
    const mail = new MaildirMail(path, { layout: 'fs' })
    return serveAccount(async () => mail.open(), {
      settings,
      close: () => rmSync(path, { recursive: true, force: true }),
    })
  },
  { partial: true },
)

testScripts('dovecot', SCRIPTS, ({ settings }) => dovecot(mkdtempSync(join(ROOM, 'aviso-dovecot-')), settings), {
  partial: true,
  skip: existsSync(DOVECOT) ? false : 'needs dovecot',
})
