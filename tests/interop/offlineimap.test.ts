// offlineimap keeps a Maildir and the mailboxes the same, both ways.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { inMailbox } from './mailbox.ts'
import { needs, run } from './programs.ts'
import { demoJourney } from './demo-journey.ts'
import { fillMailbox, fillMaildir, mailboxOf, mails, marksOfMaildir, pythonKeeps } from './sync-mail.ts'

const MANY = 120

describe('offlineimap', () => {
  const journey = demoJourney()

  test(
    'mails, flags and deletions go both ways; then there is nothing left to do',
    { skip: needs('offlineimap') },
    async () => {
      const { reach, anna } = journey.demo
      const maildirs = join(journey.folder, 'Mail')
      const inbox = join(maildirs, 'INBOX')
      const config = join(journey.folder, 'offlineimaprc')
      mkdirSync(maildirs)
      writeFileSync(
        config,
        `[general]
accounts = demo
metadata = ${join(journey.folder, 'metadata')}
socktimeout = 20

[Account demo]
localrepository = here
remoterepository = there

[Repository here]
type = Maildir
localfolders = ${maildirs}
sep = /

[Repository there]
type = IMAP
remotehost = ${reach.host}
remoteport = ${reach.ports.imaps}
remoteuser = ${anna.address}
remotepass = ${anna.password}
ssl = yes
sslcacertfile = ${reach.ca}
`,
      )
      const sync = async (): Promise<void> => {
        const { status, stdout, stderr } = await run('offlineimap', ['-c', config, '-o', '-u', 'basic'])
        assert.equal(status, 0, stdout + stderr)
        assert.doesNotMatch(stdout + stderr, /ERROR|Traceback/)
      }
      const same = async (count: number): Promise<string> => {
        const { marks, state } = await mailboxOf(reach, anna, 'INBOX')
        assert.equal(marks.length, count)
        assert.deepEqual(marksOfMaildir(inbox), marks)
        return state
      }

      // offlineimap has them read and written by Python's email package.
      const [here, there] = [mails(0, MANY).filter(pythonKeeps), mails(MANY, MANY).filter(pythonKeeps)]
      const count = here.length + there.length
      fillMaildir(inbox, here)
      await fillMailbox(reach, anna, 'INBOX', there)
      await fillMailbox(reach, anna, 'Grüße', mails(2 * MANY, 10))
      await sync()
      const state = await same(count)
      assert.equal(marksOfMaildir(join(maildirs, 'Gr&APwA3w-e')).length, 10)
      await sync()
      assert.equal(await same(count), state)

      // Changes on both sides at once.
      const cur = join(inbox, 'cur')
      const [flagged = '', gone = ''] = readdirSync(cur).filter((name) => name.endsWith(':2,'))
      renameSync(join(cur, flagged), join(cur, `${flagged}FRS`))
      rmSync(join(cur, gone))
      await inMailbox(reach, anna, 'INBOX', async (client) => {
        const unflagged = await client.search({ flagged: false, seen: true }, { uid: true })
        assert.ok(unflagged !== false && unflagged !== undefined)
        await client.messageFlagsAdd(String(unflagged[0]), ['\\Flagged'], { uid: true })
        await client.messageDelete(String(unflagged[1]), { uid: true })
      })
      await sync()
      await same(count - 2)
    },
  )
})
