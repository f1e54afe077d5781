// The client against our own server: annotations, access lists, and being told of changes unasked.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import {
  type ClientEvent,
  connectImap,
  ImapClientError,
  type ImapClientSession,
  type ImapServerOptions,
} from '../../src/index.ts'
import { MemoryMail } from '../../src/testing/index.ts'
import { fill, MESSAGE, type World, world } from '../harness.ts'

async function client(t: TestContext, { connect }: World): Promise<ImapClientSession> {
  const session = await connectImap({
    host: '127.0.0.1',
    tls: 'none',
    plaintextPassword: true,
    auth: { user: 'anna', password: 'secret' },
    dial: connect,
  })
  t.after(() => session.close())
  return session
}

const code = (wanted: string) => (error: unknown) => error instanceof ImapClientError && error.code === wanted
const unsupported = (error: unknown): boolean => error instanceof ImapClientError && error.status === 'UNSUPPORTED'

test('annotations of mailboxes and of the server are set, read and removed', async (t) => {
  const session = await client(t, await world(t, { mailboxes: { Ärger: undefined } }))
  const octets = Buffer.from([0x61, 0, 0xff, 0x0d, 0x0a])
  await session.setMetadata('Ärger', {
    '/private/comment': 'für später',
    '/private/vendor/aviso/icon': octets,
    '/shared/comment': 'a "quoted" word',
  })
  await session.setMetadata(undefined, { '/private/comment': 'mine' })

  const { entries, longest } = await session.metadata('Ärger', ['/private/comment', '/private/vendor/none'])
  assert.equal(entries.get('/private/comment')?.toString(), 'für später')
  assert.deepEqual([entries.has('/private/vendor/none'), entries.get('/private/vendor/none')], [true, undefined])
  assert.equal(longest, undefined)
  assert.equal(
    (await session.metadata(undefined, ['/private/comment'])).entries.get('/private/comment')?.toString(),
    'mine',
  )

  const below = await session.metadata('Ärger', ['/private/vendor'], { depth: 'infinity' })
  assert.deepEqual([...below.entries], [['/private/vendor/aviso/icon', octets]])
  const short = await session.metadata('Ärger', ['/private/comment', '/shared/comment'], { maxSize: 5 })
  assert.deepEqual([short.entries.size, short.longest], [0, 15])

  await session.setMetadata('Ärger', { '/private/comment': undefined })
  assert.equal((await session.metadata('Ärger', ['/private/comment'])).entries.get('/private/comment'), undefined)
  await assert.rejects(session.metadata('Nowhere', ['/private/comment']), code('NONEXISTENT'))
  await assert.rejects(session.metadata('Ärger', ['/private/a*b']), unsupported)
  await assert.rejects(session.setMetadata('Ärger', { comment: 'x' }), unsupported)
})

test('a mailbox is shared: rights are read, given, changed and taken', async (t) => {
  const users = new Map<string, MemoryMail>()
  const bob = new MemoryMail({ name: 'bob', users })
  const session = await client(t, await world(t, { users, mailboxes: { Pläne: undefined } }))
  await session.setAcl('Pläne', 'bob', { set: 'lrs' })
  await session.setAcl('Pläne', 'bob', { add: 'i' })
  await session.setAcl('Pläne', 'bob', { remove: 's' })
  const rights = await session.acl('Pläne')
  assert.deepEqual([...(rights.get('bob') ?? '')].toSorted().join(''), 'ilr')
  assert.match(rights.get('anna') ?? '', /a/)
  assert.match(await session.myRights('Pläne'), /^(?=.*a)(?=.*l).*x/)
  const { required, optional } = await session.grantableRights('Pläne', 'bob')
  assert.equal(required, '')
  assert.ok(optional.includes('l') && optional.includes('a'))
  assert.match((await session.grantableRights('Pläne', 'anna')).required, /lrswipkxtea/)
  assert.deepEqual((await bob.open().list()).filter(({ rights }) => rights?.includes('i')).length, 1)
  await session.deleteAcl('Pläne', 'bob')
  assert.deepEqual([...(await session.acl('Pläne')).keys()], ['anna'])
  await assert.rejects(session.acl('Nowhere'), code('NONEXISTENT'))
})

test('without ACL or NOTIFY nothing is asked', async (t) => {
  const options: Partial<ImapServerOptions> = { withheldCapabilities: ['NOTIFY'] }
  const session = await client(t, await world(t, {}, options))
  await assert.rejects(session.acl('INBOX'), unsupported)
  await assert.rejects(session.myRights('INBOX'), unsupported)
  await assert.rejects(session.notify([]), unsupported)
})

test('NOTIFY: counts now, and what happens later, as events', async (t) => {
  const place = await world(t, { mailboxes: { Büro: undefined } })
  const session = await client(t, place)
  await fill(place.mail, 2)
  const events: ClientEvent[] = []
  let wake: (() => void) | undefined
  session.listen((event) => {
    events.push(event)
    wake?.()
  })
  /** The first event of this kind, when it comes. */
  async function heard<K extends ClientEvent['kind']>(kind: K): Promise<Extract<ClientEvent, { kind: K }>> {
    for (;;) {
      const at = events.findIndex((event) => event.kind === kind)
      if (at >= 0) return events.splice(at, 1)[0] as Extract<ClientEvent, { kind: K }>
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  await session.select('INBOX')
  const counts = await session.notify(
    [
      { mailboxes: 'selected', events: ['MessageNew', 'MessageExpunge'], fetch: { envelope: true, header: ['Date'] } },
      { mailboxes: { names: ['INBOX'] }, events: [] },
      { mailboxes: 'personal', events: ['MessageNew', 'MessageExpunge', 'MailboxName', 'MailboxMetadataChange'] },
    ],
    { status: true },
  )
  assert.deepEqual(
    [...counts].map(([name, { messages, uidNext }]) => [name, messages, uidNext]),
    [['Büro', 0, 1]],
  )

  const other = place.mail.open()
  t.after(() => other.close())
  await other.append('INBOX', [{ bytes: MESSAGE, flags: [] }])
  assert.equal((await heard('exists')).count, 3)
  const { message } = await heard('message')
  assert.deepEqual([message.uid, message.envelope?.subject], [3, 'Hello there'])
  assert.match(String(message.header), /^Date: /)

  await other.append('Büro', [{ bytes: MESSAGE, flags: [] }])
  const told = await heard('mailbox-status')
  assert.deepEqual([told.name, told.numbers.get('MESSAGES')], ['Büro', 1])
  await other.rename('Büro', 'Amt')
  const renamed = await heard('mailbox')
  assert.deepEqual([renamed.name, renamed.oldName], ['Amt', 'Büro'])
  await other.setMetadata?.('Amt', new Map([['/private/comment', Buffer.from('x')]]))
  assert.deepEqual((({ name, entries }) => [name, entries])(await heard('metadata')), ['Amt', ['/private/comment']])

  await assert.rejects(session.notify([{ mailboxes: 'personal', events: ['AnnotationChange'] }]), code('BADEVENT'))
  await session.notify([])
  events.length = 0
  await other.append('Amt', [{ bytes: MESSAGE, flags: [] }])
  await session.noop()
  assert.deepEqual(events, [])
})
