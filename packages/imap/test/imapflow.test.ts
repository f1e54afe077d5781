// A journey with a real client.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ImapFlow } from 'imapflow'
import { fill, MESSAGE, world } from './harness.ts'

test('imapflow: lists, reads, flags, searches, appends, moves, idles', { timeout: 20_000 }, async (t) => {
  const { mail, port } = await world(t, { mailboxes: { Sent: 'Sent', Trash: 'Trash' } })
  await fill(mail, 3)
  const client = new ImapFlow({
    host: '127.0.0.1',
    port,
    secure: false,
    auth: { user: 'anna', pass: 'secret' },
    logger: false,
    doSTARTTLS: false,
  })
  await client.connect()
  const mailboxes = await client.list({ statusQuery: { messages: true, unseen: true } })
  assert.deepEqual(mailboxes.map(({ path, specialUse }) => [path, specialUse]).sort(), [
    ['INBOX', '\\Inbox'],
    ['Sent', '\\Sent'],
    ['Trash', '\\Trash'],
  ])
  assert.equal(mailboxes.find(({ path }) => path === 'INBOX')?.status?.messages, 3)
  await client.mailboxCreate('Ärger/über & so')
  assert.ok((await client.list()).some(({ path }) => path === 'Ärger/über & so'))

  const lock = await client.getMailboxLock('INBOX')
  try {
    assert.equal(client.mailbox === false ? 0 : client.mailbox.exists, 3)
    const appended = await client.append('INBOX', MESSAGE, ['\\Seen', '$Work'], new Date('2026-02-01T10:00:00Z'))
    assert.equal(appended === false ? 0 : appended.uid, 4)
    const message = await client.fetchOne(
      '4',
      {
        uid: true,
        flags: true,
        envelope: true,
        bodyStructure: true,
        internalDate: true,
        size: true,
        source: true,
        headers: ['subject'],
      },
      { uid: true },
    )
    assert.ok(message !== false)
    assert.equal(message.envelope?.subject, 'Hello there')
    assert.equal(message.envelope?.from?.[0]?.address, 'anna@example.org')
    assert.equal(message.bodyStructure?.type, 'text/plain')
    assert.deepEqual(message.source, MESSAGE)
    assert.equal(message.size, MESSAGE.length)
    assert.ok(message.flags?.has('$Work'))
    assert.deepEqual(new Date(message.internalDate ?? 0), new Date('2026-02-01T10:00:00Z'))
    const { content } = await client.download('4', 'TEXT', { uid: true })
    assert.ok(content !== undefined)
    let text = ''
    for await (const chunk of content) text += String(chunk)
    assert.equal(text, 'Good morning\r\n')

    assert.deepEqual(await client.search({ subject: 'hello' }, { uid: true }), [4])
    assert.deepEqual(await client.search({ body: 'body 2' }, { uid: true }), [2])
    await client.messageFlagsAdd({ uid: '1:2' }, ['\\Flagged'], { uid: true })
    assert.deepEqual(await client.search({ flagged: true }, { uid: true }), [1, 2])
    const moved = await client.messageMove({ uid: '1' }, 'Trash', { uid: true })
    assert.equal(moved === false ? undefined : moved.uidMap?.get(1), 1)
    await client.messageDelete({ uid: '2' }, { uid: true })
    const uids: number[] = []
    for await (const one of client.fetch('1:*', { uid: true })) uids.push(one.uid)
    assert.deepEqual(uids, [3, 4])

    const grown = new Promise<number>((resolve) =>
      client.once('exists', ({ count }: { count: number }) => resolve(count)),
    )
    const idling = client.idle()
    await fill(mail, 1)
    assert.equal(await grown, 3)
    await client.noop()
    await idling
  } finally {
    lock.release()
  }
  const status = await client.status('Trash', { messages: true, uidNext: true })
  assert.ok(status !== false)
  assert.deepEqual([status.messages, status.uidNext], [1, 2])
  await client.mailboxDelete('Trash')
  await client.logout()
})
