// mbsync with thousands of mails of every kind, both ways: octets and flags are the same on both sides, and then there is nothing left to do.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { needs, PATIENCE, run } from './programs.ts'
import { demoJourney } from './demo-journey.ts'
import { fillMailbox, fillMaildir, mailboxOf, mails, marksOfMaildir } from './sync-mail.ts'

/** Mails at the beginning: in the Maildir's INBOX, in the server's, in a folder of each. */
const NEAR = 3000
const FAR = 1000
const FOLDER = 500

/** mbsync knows a mail again by this field, which it adds. */
const TUID = /^X-TUID: .*\n/m

/** Mailboxes by the names that people see, and that mbsync gives their Maildirs: as they are on the wire (RFC 9051 §A.1). */
const NAMES = [
  ['INBOX', 'INBOX'],
  ['Grüße', 'Gr&APwA3w-e'],
  ['日本/Übersicht', '&ZeVnLA-/&ANw-bersicht'],
] as const

describe('mbsync with thousands of mails', () => {
  const journey = demoJourney()

  test('both sides become the same, octet by octet', { skip: needs('mbsync') }, async () => {
    const { reach, anna } = journey.demo
    const maildirs = join(journey.folder, 'Mail')
    const config = join(journey.folder, 'mbsyncrc')
    mkdirSync(maildirs)
    writeFileSync(
      config,
      `IMAPAccount demo
Host ${reach.host}
Port ${reach.ports.imaps}
User ${anna.address}
Pass ${anna.password}
SSLType IMAPS
CertificateFile ${reach.ca}

IMAPStore remote
Account demo

MaildirStore local
Path ${maildirs}/
Inbox ${join(maildirs, 'INBOX')}
SubFolders Verbatim

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
Expunge Both
SyncState *
`,
    )
    const sync = async (): Promise<void> => {
      const { status, stdout, stderr } = await run('mbsync', ['-c', config, 'all'], { patience: 3 * PATIENCE })
      assert.equal(status, 0, stdout + stderr)
      assert.doesNotMatch(stdout + stderr, /error|warning/i)
    }
    const files = (): string[] =>
      readdirSync(maildirs, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.includes('/cur/'))
        .sort()
    const states = (): Promise<string[]> =>
      Promise.all(NAMES.map(async ([name]) => (await mailboxOf(reach, anna, name)).state))

    fillMaildir(join(maildirs, 'INBOX'), mails(0, NEAR))
    await fillMailbox(reach, anna, 'INBOX', mails(NEAR, FAR))
    fillMaildir(join(maildirs, NAMES[1][1]), mails(NEAR + FAR, FOLDER))
    await fillMailbox(reach, anna, NAMES[2][0], mails(NEAR + FAR + FOLDER, FOLDER))
    await sync()

    for (const [name, wire] of NAMES) {
      const { marks } = await mailboxOf(reach, anna, name, TUID)
      assert.equal(marks.length, name === 'INBOX' ? NEAR + FAR : FOLDER, name)
      assert.deepEqual(marksOfMaildir(join(maildirs, wire), TUID), marks, name)
    }
    const [before, there] = [files(), await states()]
    await sync()
    assert.deepEqual(files(), before)
    assert.deepEqual(await states(), there)
  })
})
