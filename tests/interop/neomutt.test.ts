// neomutt on a terminal: it lists a mailbox, shows a mail, flags and deletes, and sends one.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { arrived, inMailbox } from './mailbox.ts'
import { needs, succeed } from './programs.ts'
import { Screen } from './screen.ts'
import { type Demo, type DemoJourney, startDemo } from './server.ts'

describe('neomutt', () => {
  let journey: DemoJourney
  let demo: Demo
  let config: string
  before(async () => {
    journey = await startDemo()
    demo = journey.demo
    const { anna, reach } = demo
    config = join(journey.folder, 'neomuttrc')
    writeFileSync(
      config,
      [
        `set folder = "imaps://${reach.host}:${reach.ports.imaps}/"`,
        'set spoolfile = "+INBOX"',
        'set record = "+Sent"',
        `set imap_user = "${anna.address}"`,
        `set imap_pass = "${anna.password}"`,
        `set smtp_url = "smtp://${anna.address}@${reach.host}:${reach.ports.submission}/"`,
        `set smtp_pass = "${anna.password}"`,
        'set send_charset = "utf-8"',
        'set ssl_starttls = yes',
        'set ssl_force_tls = yes',
        `set certificate_file = "${reach.ca}"`,
        `set from = "${anna.address}"`,
        'set use_from = yes',
        'set confirmappend = no',
        'set delete = yes',
        'set sort = mailbox-order',
        'set wait_key = no',
        'set smart_wrap = no',
        '',
      ].join('\n'),
      { mode: 0o600 },
    )
  })
  after(async () => assert.equal(await journey.stop(), 0))

  test('sends a mail without a terminal', { skip: needs('neomutt') }, async () => {
    const { bert, reach } = demo
    await succeed('neomutt', ['-n', '-F', config, '-s', 'Written with neomutt', '--', bert.address], {
      input: 'Viele Grüße\n.\n',
      env: { HOME: journey.folder, LC_ALL: 'C.UTF-8' },
    })
    assert.match(
      (await arrived(reach, bert, 'Written with neomutt')).toString(),
      /\r\n\r\nViele Gr(=C3=BC=C3=9F|üß)e\r\n\.\r\n$/,
    )
  })

  test('reads, flags and deletes on a terminal', { skip: needs('neomutt', 'tmux') }, async (t) => {
    const { anna, reach } = demo
    await inMailbox(reach, anna, 'INBOX', async (client) => {
      for (const subject of ['The first of all', 'Grüße aus Köln', 'To be deleted'])
        await client.append('INBOX', `From: Zoe <zoe@b.test>\r\nSubject: ${subject}\r\n\r\nText of "${subject}".\r\n`)
    })
    const screen = await Screen.open(journey.folder, ['neomutt', '-n', '-F', config])
    t.after(() => screen.close())
    const index = await screen.shows(/To be deleted/)
    assert.match(index, /The first of all/)
    assert.match(index, /Grüße aus Köln/)
    await screen.press('1', 'Enter')
    await screen.press('Enter')
    await screen.shows(/Text of "The first of all"\./)
    await screen.press('i')
    await screen.shows(/To be deleted/)
    await screen.press('F')
    await screen.press('3', 'Enter')
    await screen.press('d')
    await screen.press('$')
    await screen.shows(/Msgs:2/)
    await screen.press('q')
    await inMailbox(reach, anna, 'INBOX', async (client) => {
      const found = await client.fetchAll('1:*', { envelope: true, flags: true })
      assert.deepEqual(
        found.map(({ envelope, flags }) => [
          envelope?.subject,
          [...(flags ?? [])].filter((flag) => flag === '\\Seen' || flag === '\\Flagged').sort(),
        ]),
        [
          ['The first of all', ['\\Flagged', '\\Seen']],
          ['Grüße aus Köln', []],
        ],
      )
    })
  })
})
