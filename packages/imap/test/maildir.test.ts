// The Maildir store keeps the contract of mail stores, on both layouts, on a disk that fails and over restarts.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Files, type LayoutName, MaildirMail } from '../src/maildir/index.ts'
import { testBackend } from '../src/testing/index.ts'

// In memory where the system has such a place: the speed of a disk is nothing to test.
const ROOM = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

for (const layout of ['maildir++', 'fs'] as LayoutName[])
  testBackend(`maildir ${layout}`, () => {
    const path = mkdtempSync(join(ROOM, 'aviso-maildir-'))
    let fault: { left: number; readonly kind: 'once' | 'dead'; hit: boolean } | undefined
    const files = new Files(path, () => {
      if (fault === undefined || --fault.left > 0 || (fault.kind === 'once' && fault.hit)) return
      fault.hit = true
      throw Object.assign(new Error('no space left on the disk'), { code: 'ENOSPC' })
    })
    const start = (): MaildirMail => new MaildirMail(path, { layout, files, patience: 5000 })
    let mail = start()
    return {
      open: async () => mail.open(),
      reopen: async () => {
        mail = start()
      },
      fault: (n, kind) => {
        const mine = (fault = { left: n, kind, hit: false })
        return () => {
          fault = undefined
          return mine.hit
        }
      },
      close: () => rmSync(path, { recursive: true, force: true }),
    }
  })
