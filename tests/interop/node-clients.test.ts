// nodemailer sends, imapflow reads: the two that most Node programs use.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { simpleParser } from 'mailparser'
import { createTransport } from 'nodemailer'
import { imapClient, inMailbox } from './mailbox.ts'
import { eventually } from './programs.ts'
import { demoJourney } from './demo-journey.ts'

describe('nodemailer and imapflow', () => {
  const journey = demoJourney()

  const transport = (how: 'STARTTLS' | 'TLS') =>
    createTransport({
      host: journey.demo.reach.host,
      port: how === 'TLS' ? journey.demo.reach.ports.submissions : journey.demo.reach.ports.submission,
      secure: how === 'TLS',
      requireTLS: true,
      pool: true,
      auth: { user: journey.demo.anna.address, pass: journey.demo.anna.password },
      tls: { ca: readFileSync(journey.demo.reach.ca) },
    })

  test('a mail of 3 MB with an attachment arrives whole, on both ports', async () => {
    const attachment = randomBytes(2_200_000)
    for (const how of ['STARTTLS', 'TLS'] as const) {
      const mailer = transport(how)
      const sent = await mailer.sendMail({
        from: journey.demo.anna.address,
        to: journey.demo.bert.address,
        subject: `nodemailer ${how}: Grüße 👋`,
        text: '.\n..\nBis bald',
        html: '<p>Bis <b>bald</b></p>',
        attachments: [{ filename: 'Bericht für Übermorgen.bin', content: attachment }],
      })
      mailer.close()
      assert.deepEqual(sent.accepted, [journey.demo.bert.address])
    }
    await inMailbox(journey.demo.reach, journey.demo.bert, 'INBOX', async (client) => {
      const all = await client.fetchAll('1:*', { envelope: true, bodyStructure: true, size: true, source: true })
      assert.deepEqual(
        all.map(({ envelope }) => envelope?.subject),
        ['nodemailer STARTTLS: Grüße 👋', 'nodemailer TLS: Grüße 👋'],
      )
      for (const message of all) {
        assert.equal(message.bodyStructure?.type, 'multipart/mixed')
        assert.equal(message.source?.length, message.size)
        const parsed = await simpleParser(message.source ?? Buffer.alloc(0))
        assert.equal(parsed.text, '.\n..\nBis bald')
        assert.equal(parsed.attachments[0]?.filename, 'Bericht für Übermorgen.bin')
        assert.ok(parsed.attachments[0]?.content.equals(attachment))
        // The same piece by piece, as a mail program downloads an attachment.
        const { content } = await client.download(String(message.seq), '2')
        const pieces: Buffer[] = []
        assert.ok(content !== undefined)
        for await (const piece of content) pieces.push(piece as Buffer)
        assert.ok(Buffer.concat(pieces).equals(attachment))
      }
    })
  })

  test('imapflow sees special-use mailboxes, files mail, and hears of changes while it waits', async () => {
    const watcher = await imapClient(journey.demo.reach, journey.demo.anna)
    const other = await imapClient(journey.demo.reach, journey.demo.anna)
    const uses = (await watcher.list()).map(({ specialUse }) => specialUse)
    for (const use of ['\\Inbox', '\\Drafts', '\\Sent', '\\Trash', '\\Junk', '\\Archive'])
      assert.ok(uses.includes(use), `${use} among ${uses.join(' ')}`)
    await other.mailboxCreate('Reisen/Übermorgen')
    assert.ok((await watcher.list()).some(({ path }) => path === 'Reisen/Übermorgen'))

    await watcher.mailboxOpen('Reisen/Übermorgen')
    const events: string[] = []
    watcher.on('exists', ({ count }: { count: number }) => events.push(`exists ${count}`))
    watcher.on('flags', ({ seq, flags }: { seq: number; flags: Set<string> }) =>
      events.push(
        `flags ${seq} ${[...flags]
          .filter((flag) => flag !== '\\Recent')
          .sort()
          .join(' ')}`,
      ),
    )
    watcher.on('expunge', (event: { seq?: number; uid?: number }) => events.push(`expunge ${event.seq ?? event.uid}`))
    const idle = watcher.idle()

    const told = (event: string): Promise<true> =>
      eventually(
        () => `'${event}' among: ${events.join(', ')}`,
        () => (events.includes(event) ? true : undefined),
      )
    const appended = await other.append('Reisen/Übermorgen', 'Subject: one\r\n\r\nx\r\n', ['\\Seen'])
    assert.equal(appended === false ? undefined : appended.uid, 1)
    await told('exists 1')
    const lock = await other.getMailboxLock('Reisen/Übermorgen')
    assert.ok(await other.messageFlagsAdd('1', ['\\Flagged', '$Work'], { uid: true }))
    await told('flags 1 $Work \\Flagged \\Seen')
    const moved = await other.messageMove('1', 'Archive', { uid: true })
    assert.equal(moved === false ? undefined : moved.uidMap?.get(1), 1)
    await told('expunge 1')
    lock.release()
    await watcher.noop()
    await idle
    const archive = await other.status('Archive', { messages: true })
    assert.equal(archive === false ? undefined : archive.messages, 1)
    await Promise.all([watcher.logout(), other.logout()])
  })

  test('what was acknowledged is there after a restart', async () => {
    const mailer = transport('TLS')
    for (let number = 1; number <= 20; number++)
      await mailer.sendMail({
        from: journey.demo.anna.address,
        to: journey.demo.bert.address,
        subject: `kept ${number}`,
        text: 'x',
      })
    mailer.close()
    assert.equal(await journey.demo.restart(), 0)
    const subjects = await inMailbox(journey.demo.reach, journey.demo.bert, 'INBOX', async (client) => {
      const found = await client.fetchAll('1:*', { envelope: true })
      return found.map(({ envelope }) => envelope?.subject).filter((subject) => subject?.startsWith('kept'))
    })
    assert.deepEqual(
      subjects,
      Array.from({ length: 20 }, (_, index) => `kept ${index + 1}`),
    )
  })
})
