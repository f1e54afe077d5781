// The mail half of the command line: with the server running and stopped, killed in the middle, and beside Dovecot and Python.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createWriteStream, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { Site } from './admin-fixture.ts'
import { Doveadm } from './doveadm.ts'
import { AVISO, eventually, needs, succeed } from './programs.ts'
import { type ServerProcess, temporaryFolder } from './server.ts'

const ANNA = 'anna@example.test'
const FROM = 'From bo@example.net Sat Feb  3 04:05:06 2024\n'
const letter = (subject: string, body = 'Hello'): string =>
  `From: Bo <bo@example.net>\nTo: ${ANNA}\nSubject: ${subject}\nDate: Sat, 3 Feb 2024 05:05:06 +0100\nMessage-ID: <${subject}@example.net>\n\n${body}\n`

interface Line {
  readonly uid: number
  readonly flags: readonly string[]
  readonly subject: string
  readonly from: string
  readonly size: number
  readonly date: { readonly time: number; readonly zone: number }
}

class MailSite extends Site {
  async make(): Promise<void> {
    const { status, stderr } = await this.aviso(['account', 'add', ANNA, '--password-stdin'], 'correct horse battery')
    assert.equal(status, 0, stderr)
  }

  /** The value of a command that must succeed. */
  async value(args: readonly string[], input = ''): Promise<unknown> {
    const { status, value } = await this.json(args, input)
    assert.equal(status, 0, JSON.stringify(value))
    return value
  }

  async list(mailbox: string, ...more: readonly string[]): Promise<readonly Line[]> {
    return (await this.value(['message', 'list', ANNA, mailbox, ...more])) as Line[]
  }
}

for (const running of [false, true])
  describe(`mail commands, server ${running ? 'running' : 'stopped'}`, () => {
    const folder = temporaryFolder()
    const site = new MailSite(folder.path)
    let server: ServerProcess | undefined
    before(async () => {
      server = running ? await site.start() : undefined
      await site.make()
    })
    after(async () => {
      if (server !== undefined) assert.equal(await server.stop(), 0, server.log)
      folder.remove()
    })

    test('mailbox: create, list, status, rename, unsubscribe, delete', async () => {
      await site.value(['mailbox', 'create', ANNA, 'Projects/Größe'])
      const names = (await site.value(['mailbox', 'list', ANNA])) as {
        name: string
        role?: string
        subscribed: boolean
      }[]
      assert.deepEqual(
        names.map(({ name, role }) => [name, role]),
        [
          ['Archive', 'Archive'],
          ['Drafts', 'Drafts'],
          ['INBOX', 'Inbox'],
          ['Junk', 'Junk'],
          ['Projects', undefined],
          ['Projects/Größe', undefined],
          ['Sent', 'Sent'],
          ['Trash', 'Trash'],
        ],
      )
      await site.value(['mailbox', 'rename', ANNA, 'Projects', 'Work'])
      assert.match(
        (await site.aviso(['mailbox', 'status', ANNA, 'Work/Größe'])).stdout,
        /messages +0, 0 of them unseen/,
      )
      await site.value(['mailbox', 'unsubscribe', ANNA, 'Work/Größe'])
      assert.equal(((await site.value(['mailbox', 'list', ANNA, '--subscribed'])) as unknown[]).length, 6)
      const typo = await site.aviso(['mailbox', 'delete', ANNA, 'Work/Grosse', '--yes'])
      assert.equal(typo.status, 3)
      assert.match(typo.stderr, /Did you mean Work\/Größe\?/)
      assert.equal((await site.aviso(['mailbox', 'delete', ANNA, 'Work/Größe'])).status, 2)
      await site.value(['mailbox', 'delete', ANNA, 'Work/Größe', '--yes'])
      assert.equal((await site.json(['mailbox', 'create', ANNA, 'Work'])).status, 4)
      assert.equal((await site.json(['mailbox', 'create', ANNA, 'Other sent', '--role', 'sent'])).status, 5)
      assert.equal((await site.json(['mailbox', 'list', 'zoe@example.test'])).status, 3)
    })

    test('message: add, list, show, flags, copy, move, export, delete', async () => {
      const html = `From: Bo <bo@example.net>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= \u001b[31m\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n${Buffer.from('Schöne Grüße').toString('base64')}\n--b\nContent-Type: application/octet-stream; name=x.bin\nContent-Transfer-Encoding: base64\n\nAAEC\n--b--\n`
      const added = await site.value(
        ['message', 'add', ANNA, 'INBOX', '--flag', 'seen', '--flag', 'work', '--date', '2024-02-03T04:05:06+01:00'],
        html,
      )
      assert.deepEqual(added, { uid: 1 })
      writeFileSync(join(folder.path, 'two.eml'), letter('two'))
      assert.equal((await site.aviso(['message', 'add', ANNA, 'INBOX', join(folder.path, 'two.eml')])).stdout, '2\n')
      writeFileSync(join(folder.path, 'large.eml'), letter('large', 'x'.repeat(78).concat('\n').repeat(50_000)))
      assert.deepEqual(await site.value(['message', 'add', ANNA, 'INBOX', join(folder.path, 'large.eml')]), { uid: 3 })

      const [one] = await site.list('INBOX', '1')
      assert.deepEqual(
        [one?.subject, one?.flags, one?.date],
        ['Grüße \u001b[31m', ['\\Seen', 'work'], { time: Date.UTC(2024, 1, 3, 3, 5, 6), zone: 60 }],
      )
      const listed = await site.aviso(['message', 'list', ANNA, 'INBOX'])
      assert.match(listed.stdout, /^UID .*\n1 +2024-02-03 03:05 +seen work .*Grüße/)
      assert.ok(!listed.stdout.includes('\u001b'))
      assert.deepEqual(
        (await site.list('INBOX', '--unseen', '--from', 'BO@')).map(({ uid }) => uid),
        [2, 3],
      )
      assert.deepEqual(
        (await site.list('INBOX', '2:*', '--larger', '1MB')).map(({ uid }) => uid),
        [3],
      )
      assert.deepEqual(
        (await site.list('INBOX', '--since', '2024-02-04')).map(({ uid }) => uid),
        [2, 3],
      )

      const shown = await site.aviso(['message', 'show', ANNA, 'INBOX', '1'])
      assert.match(shown.stdout, /Part 1: +text\/plain.*\nPart 2: +application\/octet-stream, .*x\.bin\n\nSchöne Grüße/)
      assert.ok(!shown.stdout.includes('\u001b'))
      assert.equal((await site.aviso(['message', 'show', ANNA, 'INBOX', '1', '--part', '2'])).stdout, '\0\u0001\u0002')
      assert.equal(
        (await site.aviso(['message', 'show', ANNA, 'INBOX', '2', '--raw'])).stdout,
        letter('two').replaceAll('\n', '\r\n'),
      )
      assert.match((await site.aviso(['message', 'show', ANNA, 'INBOX', '1', '--part', '7'])).stderr, /it has 1, 2/)
      assert.equal((await site.json(['message', 'show', ANNA, 'INBOX', '9'])).status, 3)

      assert.deepEqual(await site.value(['message', 'flags', ANNA, 'INBOX', '1:2', 'add', 'flagged', '$Label1']), {
        messages: 2,
      })
      assert.deepEqual(await site.value(['message', 'flags', ANNA, 'INBOX', '1', 'remove', '\\Seen', 'work']), {
        messages: 1,
      })
      assert.deepEqual(
        (await site.list('INBOX', '1:2')).map(({ flags }) => flags),
        [
          ['\\Flagged', '$Label1'],
          ['\\Flagged', '$Label1'],
        ],
      )
      await site.value(['message', 'copy', ANNA, 'INBOX', '1:*', 'Archive'])
      await site.value(['message', 'move', ANNA, 'Archive', '1', 'New/One', '--create'])
      assert.equal((await site.list('New/One')).length, 1)
      const missing = await site.aviso(['message', 'move', ANNA, 'Archive', '2', 'Thrash'])
      assert.equal(missing.status, 3)
      assert.match(missing.stderr, /Did you mean Trash\?/)

      const out = join(folder.path, 'two-again.eml')
      await site.value(['message', 'export', ANNA, 'INBOX', '2', out])
      assert.equal(readFileSync(out, 'latin1'), letter('two').replaceAll('\n', '\r\n'))
      assert.equal((await site.json(['message', 'export', ANNA, 'INBOX', '2', out])).status, 4)
      assert.equal(
        (await site.json(['message', 'export', ANNA, 'INBOX', '1:*', join(folder.path, 'several')])).status,
        2,
      )
      await site.value(['message', 'export', ANNA, 'INBOX', '1:*', join(folder.path, 'three.mbox')])
      assert.equal(readFileSync(join(folder.path, 'three.mbox'), 'latin1').match(/^From /gm)?.length, 3)

      assert.equal((await site.aviso(['message', 'delete', ANNA, 'INBOX', '1'])).status, 2)
      assert.deepEqual(await site.value(['message', 'delete', ANNA, 'INBOX', '1,3', '--yes']), { messages: 2 })
      assert.deepEqual(
        (await site.list('INBOX')).map(({ uid }) => uid),
        [2],
      )
      assert.equal((await site.json(['message', 'delete', ANNA, 'INBOX', '1', '--yes'])).status, 3)
    })

    test('doctor: all is well, of one and of all', async () => {
      assert.match((await site.aviso(['doctor', 'mail', ANNA])).stdout, /^anna@example\.test: all is well\.\n$/)
      assert.deepEqual(await site.value(['doctor', 'mail', '--all', '--repair']), [
        { address: ANNA, findings: [], more: 0, open: 0 },
      ])
      assert.equal((await site.aviso(['doctor', 'mail'])).status, 2)
    })

    test('import: what is wrong is named, the rest comes in', async () => {
      writeFileSync(
        join(folder.path, 'old.mbox'),
        `${FROM}${letter('a')}\n${FROM}Subject: huge\n\n${'x'.repeat(60 * 1024 * 1024)}\n\n${FROM}${letter('b')}\n`,
      )
      const { status, value } = await site.json([
        'mail',
        'import',
        ANNA,
        join(folder.path, 'old.mbox'),
        '--into',
        'Old',
      ])
      const report = value as { imported: number; failed: number; problems: { offset: number; reason: string }[] }
      assert.deepEqual([status, report.imported, report.failed], [1, 2, 1])
      assert.equal(report.problems[0]?.offset, FROM.length + letter('a').length + 1)
      assert.match(report.problems[0]?.reason ?? '', /mail\.max-message-size/)
      rmSync(join(folder.path, 'old.mbox'))
      assert.equal((await site.json(['mail', 'import', ANNA, join(folder.path, 'nowhere')])).status, 3)
      assert.equal(
        (await site.json(['mail', 'import', ANNA, join(folder.path, 'two.eml'), '--map', 'tow=x'])).status,
        3,
      )
      assert.equal((await site.json(['mail', 'import', ANNA, site.config])).status, 5)
    })
  })

/** Writes an mbox of so many messages, each of about 2 KB and different. */
async function writeMbox(path: string, messages: number): Promise<void> {
  const file = createWriteStream(path)
  for (let i = 0; i < messages; i++)
    if (!file.write(`${FROM}${letter(`m${i}`, `line ${i} `.repeat(200))}\n`)) await once(file, 'drain')
  file.end()
  await once(file, 'close')
}

describe('an import that is killed', () => {
  const folder = temporaryFolder()
  const site = new MailSite(folder.path)
  const mbox = join(folder.path, 'big')
  const MESSAGES = 4000
  before(async () => {
    await site.make()
    await writeMbox(mbox, MESSAGES)
  })
  after(() => folder.remove())

  /** Starts the import; `kill` ends something in the middle of it. */
  async function broken(kill: (child: ReturnType<typeof spawn>) => void): Promise<void> {
    const child = spawn(process.execPath, [
      AVISO,
      'mail',
      'import',
      ANNA,
      mbox,
      '--into',
      'Big',
      '--json',
      '--config',
      site.config,
    ])
    const ended = once(child, 'close')
    // Some batches are in when the database has grown.
    const grown = () => (databaseSize(site) > before0 + 512 * 1024 ? true : undefined)
    const before0 = databaseSize(site)
    await Promise.race([eventually('the import to begin', grown), ended])
    kill(child)
    await ended
  }

  test('comes in whole, each message once: stopped data, then the server, then all at once', async () => {
    await broken((child) => child.kill('SIGKILL'))
    let server = await site.start()
    try {
      const partly = (await site.value(['mailbox', 'status', ANNA, 'Big'])) as { messages: number }
      assert.ok(partly.messages < MESSAGES, 'it was killed too late to say anything')
      await broken((child) => child.kill('SIGKILL'))
      await broken(() => server.child.kill('SIGKILL'))
      await server.stop()
      server = await site.start()
      const report = (await site.value(['mail', 'import', ANNA, mbox, '--into', 'Big'])) as {
        imported: number
        known: number
      }
      assert.equal(report.imported + report.known, MESSAGES)
      const subjects = (await site.list('Big')).map(({ subject }) => subject)
      assert.equal(subjects.length, MESSAGES)
      assert.equal(new Set(subjects).size, MESSAGES)
      assert.deepEqual(await site.value(['doctor', 'mail', ANNA]), [{ address: ANNA, findings: [], more: 0, open: 0 }])
    } finally {
      await server.stop()
    }
  })
})

function databaseSize(site: MailSite): number {
  let size = 0
  for (const entry of readdirSync(join(site.data, 'accounts'), { recursive: true, encoding: 'utf8' }))
    if (/account\.db(-wal)?$/.test(entry)) {
      const path = join(site.data, 'accounts', entry)
      if (existsSync(path)) size += readFileSync(path).length
    }
  return size
}

const PYTHON = `
import mailbox, json, sys
def flags(m): return ''.join(sorted(m.get_flags()))
box = mailbox.mbox(sys.argv[2]) if sys.argv[1] == 'mbox' else mailbox.Maildir(sys.argv[2], factory=None)
print(json.dumps(sorted([m['Subject'], flags(m), m.get_payload(), m.get_from() if sys.argv[1] == 'mbox' else int(m.get_date())] for m in box)))
`

describe('archives of other programs', () => {
  const folder = temporaryFolder()
  const site = new MailSite(folder.path)
  before(() => site.make())
  after(() => folder.remove())

  test(
    'a Maildir that Dovecot made: folders in UTF-8, keywords, dates; and ours read by Dovecot',
    { skip: needs('doveadm') },
    async () => {
      const dovecot = new Doveadm(folder.path)
      await dovecot.run(['mailbox', 'create', '-s', 'Entwürfe', 'Entwürfe.Größe & mehr', '日本語'])
      for (const [mailbox, subject] of [
        ['INBOX', 'one'],
        ['Entwürfe.Größe & mehr', 'two'],
        ['日本語', 'three'],
      ] as const)
        await dovecot.run(['save', '-m', mailbox], letter(subject, 'From here\n>From there'))
      await dovecot.run([
        'flags',
        'add',
        '\\Seen \\Flagged $Forwarded $Label1 work',
        'mailbox',
        'Entwürfe.Größe & mehr',
        'all',
      ])
      await dovecot.run(['flags', 'add', '\\Answered \\Draft', 'mailbox', 'INBOX', 'all'])

      const report = (await site.value(['mail', 'import', ANNA, dovecot.maildir, '--map', '日本語=Nihongo'])) as {
        imported: number
        ignored: unknown[]
      }
      assert.deepEqual([report.imported, report.ignored], [3, []])
      const [two] = await site.list('Entwürfe/Größe & mehr')
      assert.deepEqual([two?.subject, two?.flags], ['two', ['\\Flagged', '\\Seen', '$Forwarded', '$Label1', 'work']])
      assert.deepEqual(
        (await site.list('INBOX')).map(({ flags }) => flags),
        [['\\Answered', '\\Draft']],
      )
      assert.equal((await site.list('Nihongo')).length, 1)
      // The size that Dovecot counts is the size of what came in.
      const sizes = await dovecot.run(['fetch', 'size.virtual', 'mailbox', 'INBOX', 'all'])
      assert.equal(Number(/\d+/.exec(sizes)?.[0]), (await site.list('INBOX'))[0]?.size)

      const ours = join(folder.path, 'export')
      await site.value(['mail', 'export', ANNA, ours])
      const reader = new Doveadm(folder.path, ours)
      reader.adopt()
      const listed = (await reader.run(['mailbox', 'list'])).split('\n')
      for (const name of ['INBOX', 'Entwürfe', 'Entwürfe.Größe & mehr', 'Nihongo', 'Sent'])
        assert.ok(listed.includes(name), name)
      const fetched = await reader.run([
        'fetch',
        'flags date.received.unixtime hdr.subject size.virtual text',
        'mailbox',
        'Entwürfe.Größe & mehr',
        'all',
      ])
      assert.match(fetched, /^flags: .*\\Flagged.*\\Seen.*\$Forwarded.*\$Label1 work$/m)
      assert.match(fetched, new RegExp(`^date\\.received\\.unixtime: ${(two?.date.time ?? 0) / 1000}$`, 'm'))
      assert.match(fetched, new RegExp(`^size\\.virtual: ${two?.size ?? 0}$`, 'm'))
      assert.match(fetched, /\r?\nFrom here\r?\n>From there\r?\n/)
      assert.ok((await reader.run(['mailbox', 'list', '-s'])).includes('Nihongo'))
    },
  )

  test('our mbox and our Maildir read by Python', { skip: needs('python3') }, async () => {
    for (const [subject, flags] of [
      ['p1', ['seen', 'answered']],
      ['p2', ['flagged', 'draft', 'work']],
      ['p3', []],
    ] as const)
      await site.value(
        [
          'message',
          'add',
          ANNA,
          'Archive',
          '--date',
          '2024-02-03T04:05:06Z',
          ...flags.flatMap((flag) => ['--flag', flag]),
        ],
        letter(subject, 'From here\n>From there'),
      )
    const body = 'From here\n>From there\n'
    await site.value(['mail', 'export', ANNA, join(folder.path, 'mbox'), '--format', 'mbox'])
    const mbox: unknown = JSON.parse(
      await succeed('python3', ['-c', PYTHON, 'mbox', join(folder.path, 'mbox/Archive')]),
    )
    // Python takes no quoting off.
    const quoted = '>From here\n>>From there\n'
    const line = 'MAILER-DAEMON Sat Feb  3 04:05:06 2024'
    assert.deepEqual(mbox, [
      ['p1', 'AORS'.split('').sort().join('').replace('S', ''), quoted, line],
      ['p2', 'FOT', quoted, line],
      ['p3', 'O', quoted, line],
    ])
    await site.value(['mail', 'export', ANNA, join(folder.path, 'maildir'), '--mailbox', 'Archive'])
    const maildir: unknown = JSON.parse(
      await succeed('python3', ['-c', PYTHON, 'maildir', join(folder.path, 'maildir/.Archive')]),
    )
    assert.deepEqual(maildir, [
      ['p1', 'RS', body, Date.UTC(2024, 1, 3, 4, 5, 6) / 1000],
      ['p2', 'DFa', body, Date.UTC(2024, 1, 3, 4, 5, 6) / 1000],
      ['p3', '', body, Date.UTC(2024, 1, 3, 4, 5, 6) / 1000],
    ])
  })

  test("an mbox that Python made, in Thunderbird's layout", { skip: needs('python3') }, async () => {
    const make = `
import mailbox, os, sys
os.makedirs(sys.argv[1] + '/Local.sbd')
open(sys.argv[1] + '/Local', 'w').close()
box = mailbox.mbox(sys.argv[1] + '/Local.sbd/Sub')
for i, flags in enumerate(['R', 'ROAF', '', 'DT']):
    m = mailbox.mboxMessage('Subject: py%d\\n\\nFrom me\\n\\nFrom you Sat Feb  3 04:05:06 2024\\n' % i)
    m.set_flags(flags); m.set_from('py@example.net', (2024, 2, 3, 4, 5, 6, 5, 34, 0)); box.add(m)
box.flush()
`
    await succeed('python3', ['-c', make, join(folder.path, 'tb')])
    const report = (await site.value(['mail', 'import', ANNA, join(folder.path, 'tb'), '--into', 'TB'])) as {
      imported: number
    }
    assert.equal(report.imported, 4)
    const lines = await site.list('TB/Local/Sub')
    assert.deepEqual(
      lines.map(({ subject, flags, date }) => [subject, flags, date.time]),
      [
        ['py0', ['\\Seen']],
        ['py1', ['\\Answered', '\\Flagged', '\\Seen']],
        ['py2', []],
        ['py3', ['\\Deleted', '\\Draft']],
      ].map((line) => [...line, Date.UTC(2024, 1, 3, 4, 5, 6)]),
    )
    assert.equal(
      (await site.aviso(['message', 'show', ANNA, 'TB/Local/Sub', '1', '--part', '1'])).stdout,
      'From me\r\n\r\nFrom you Sat Feb  3 04:05:06 2024\r\n',
    )
  })
})
