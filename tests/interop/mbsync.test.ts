// mbsync keeps a Maildir and a mailbox the same, both ways.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { inMailbox } from './mailbox.ts'
import { needs, run } from './programs.ts'
import { type Demo, type DemoJourney, startDemo } from './server.ts'

const HALF = 250

const mail = (subject: string): string =>
  `From: a@b.test\r\nTo: c@d.test\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@b.test>\r\n\r\nText of ${subject}.\r\n`

describe('mbsync', () => {
  let journey: DemoJourney
  let demo: Demo
  let maildir: string
  let config: string
  before(async () => {
    journey = await startDemo()
    demo = journey.demo
    maildir = join(journey.folder, 'Mail', 'INBOX')
    for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(maildir, part), { recursive: true })
    config = join(journey.folder, 'mbsyncrc')
    writeFileSync(
      config,
      [
        'IMAPAccount demo',
        `Host ${demo.reach.host}`,
        `Port ${demo.reach.ports.imaps}`,
        `User ${demo.anna.address}`,
        `Pass ${demo.anna.password}`,
        'SSLType IMAPS',
        `CertificateFile ${demo.reach.ca}`,
        '',
        'IMAPStore remote',
        'Account demo',
        '',
        'MaildirStore local',
        `Path ${join(journey.folder, 'Mail')}/`,
        `Inbox ${maildir}`,
        'SubFolders Verbatim',
        '',
        'Channel all',
        'Far :remote:',
        'Near :local:',
        'Patterns *',
        'Create Both',
        'Expunge Both',
        'SyncState *',
        '',
      ].join('\n'),
    )
  })
  after(async () => assert.equal(await journey.stop(), 0))

  const sync = async (): Promise<void> => {
    const { status, stdout, stderr } = await run('mbsync', ['-c', config, 'all'])
    assert.equal(status, 0, stdout + stderr)
    assert.doesNotMatch(stdout + stderr, /error|warning/i)
  }

  /** Subject → flags of the Maildir, as its file names say. */
  const local = (): Map<string, string> =>
    new Map(
      ['cur', 'new'].flatMap((part) =>
        readdirSync(join(maildir, part)).map((name) => {
          const subject = /^Subject: (.*?)\r?$/m.exec(readFileSync(join(maildir, part, name), 'utf8'))?.[1] ?? ''
          return [subject, /:2,([A-Z]*)$/.exec(name)?.[1] ?? ''] as const
        }),
      ),
    )

  const LETTERS: Readonly<Record<string, string>> = {
    '\\Seen': 'S',
    '\\Flagged': 'F',
    '\\Answered': 'R',
    '\\Draft': 'D',
  }

  /** The same of the mailbox, and the state that any change would move. */
  const remote = (): Promise<{ readonly messages: Map<string, string>; readonly state: string }> =>
    inMailbox(demo.reach, demo.anna, 'INBOX', async (client) => {
      const found = await client.fetchAll('1:*', { envelope: true, flags: true, uid: true })
      const messages = new Map(
        found.map(({ envelope, flags }) => [
          envelope?.subject ?? '',
          [...(flags ?? [])]
            .map((flag) => LETTERS[flag] ?? '')
            .sort()
            .join(''),
        ]),
      )
      const status = await client.status('INBOX', { uidNext: true })
      assert.ok(status !== false)
      return { messages, state: JSON.stringify([status.uidNext, [...messages]]) }
    })

  const file = (subject: string): { readonly part: string; readonly name: string } => {
    for (const part of ['cur', 'new'])
      for (const name of readdirSync(join(maildir, part)))
        if (/^Subject: (.*?)\r?$/m.exec(readFileSync(join(maildir, part, name), 'utf8'))?.[1] === subject)
          return { part, name }
    throw new Error(`no ${subject} in the Maildir`)
  }

  test(
    '500 messages, flags and deletions go both ways; then there is nothing left to do',
    { skip: needs('mbsync') },
    async () => {
      for (let number = 1; number <= HALF; number++)
        writeFileSync(
          join(maildir, 'new', `1700000000.${number}.here`),
          mail(`near-${number}`).replaceAll('\r\n', '\n'),
        )
      await inMailbox(demo.reach, demo.anna, 'INBOX', async (client) => {
        await Promise.all(
          Array.from({ length: HALF }, (_, index) =>
            client.append('INBOX', mail(`far-${index + 1}`), index % 2 === 0 ? ['\\Seen'] : []),
          ),
        )
      })

      await sync()
      let there = await remote()
      assert.equal(there.messages.size, 2 * HALF)
      assert.deepEqual(sorted(local()), sorted(there.messages))
      assert.equal(local().get('far-1'), 'S')

      // Idle: nothing changes on either side.
      const before = sorted(local())
      await sync()
      assert.deepEqual(sorted(local()), before)
      assert.equal((await remote()).state, there.state)

      // Changes on both sides at once.
      const replied = file('near-1')
      renameSync(
        join(maildir, replied.part, replied.name),
        join(maildir, 'cur', `${replied.name.replace(/:2,.*$/, '')}:2,FRS`),
      )
      const removed = file('far-3')
      rmSync(join(maildir, removed.part, removed.name))
      await inMailbox(demo.reach, demo.anna, 'INBOX', async (client) => {
        const uid = async (subject: string): Promise<string> => {
          const found = await client.search({ header: { subject } }, { uid: true })
          assert.ok(found !== false && found !== undefined)
          return String(found[0])
        }
        await client.messageFlagsAdd(await uid('far-222'), ['\\Flagged'], { uid: true })
        await client.messageFlagsRemove(await uid('far-1'), ['\\Seen'], { uid: true })
        await client.messageDelete(await uid('near-200'), { uid: true })
        await client.messageDelete(await uid('far-200'), { uid: true })
        await client.mailboxCreate('Lists/Aviso')
      })
      await sync()
      there = await remote()
      const here = local()
      assert.deepEqual(sorted(here), sorted(there.messages))
      assert.equal(here.size, 2 * HALF - 3)
      assert.deepEqual(
        ['near-1', 'far-3', 'far-222', 'near-200', 'far-200'].map((subject) => here.get(subject)),
        ['FRS', undefined, 'F', undefined, undefined],
      )
      assert.equal(here.get('far-1'), '')
      assert.ok(existsSync(join(journey.folder, 'Mail', 'Lists', 'Aviso', 'cur')))

      await sync()
      assert.equal((await remote()).state, there.state)
    },
  )
})

const sorted = (messages: ReadonlyMap<string, string>): readonly (readonly [string, string])[] =>
  [...messages].sort(([a], [b]) => (a < b ? -1 : 1))
