// RFC 9586 UIDONLY, RFC 10022 UIDBATCHES, RFC 9394 PARTIAL for FETCH: what Apple Mail uses together.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fill, world } from './harness.ts'

test('50: UIDONLY knows no sequence numbers in either direction', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3)
  const [c, other] = [await wire(), await wire()]
  await c.login()
  await other.login()
  await other.ask('a SELECT INBOX')
  assert.match(await c.ask('a ENABLE UIDONLY'), /^\* ENABLED UIDONLY\r\n/)
  assert.doesNotMatch(await c.ask('b SELECT INBOX'), /UNSEEN/)
  for (const command of ['FETCH 1 FLAGS', 'STORE 1 +FLAGS (\\Seen)', 'SEARCH ALL', 'COPY 1 INBOX', 'MOVE 1 INBOX'])
    assert.match(await c.ask(`c ${command}`), /^c BAD \[UIDREQUIRED\]/, command)
  assert.equal(await c.ask('d UID FETCH 2 (FLAGS)'), '* 2 UIDFETCH (FLAGS ())\r\nd OK UID FETCH completed\r\n')
  assert.match(await c.ask('e UID STORE 3 +FLAGS (\\Seen)'), /^\* 3 UIDFETCH \(FLAGS \(\\Seen\)\)\r\n/)
  await other.ask('b STORE 2 +FLAGS (\\Deleted)')
  await other.ask('c EXPUNGE')
  assert.match(await c.ask('f NOOP'), /^\* VANISHED 2\r\nf OK/)
})

test('50: UIDONLY takes QRESYNC without the sequence numbers of its last list, and keeps the mailbox open when they are given', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3)
  const c = await wire()
  await c.login()
  await c.ask('a ENABLE QRESYNC UIDONLY')
  const opened = await c.ask('b SELECT INBOX')
  const validity = /UIDVALIDITY (\d+)/.exec(opened)?.[1] ?? ''
  assert.match(await c.ask(`c SELECT INBOX (QRESYNC (${validity} 1 1:3 (1:3 1:3)))`), /^c BAD \[UIDREQUIRED\]/)
  assert.match(await c.ask('d UID FETCH 3 (FLAGS)'), /^\* 3 UIDFETCH /)
  assert.match(
    await c.ask(`e SELECT INBOX (QRESYNC (${validity} 1 1:9))`),
    /\r\n\* 3 UIDFETCH \(FLAGS \(\) MODSEQ \(\d+\)\)\r\n(?:.*\r\n)*e OK/,
  )
})

test('50: UIDBATCHES parts the mailbox from its end down to 1', async (t) => {
  const { mail, wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.match(await c.ask('b UIDBATCHES 500'), /^\* UIDBATCHES \(TAG "b"\)\r\nb OK/)
  await fill(mail, 1203)
  await c.ask('c NOOP')
  assert.match(await c.ask('d UIDBATCHES 500'), /^\* UIDBATCHES \(TAG "d"\) 1203:704,703:204,203:1\r\n/)
  assert.match(await c.ask('e UIDBATCHES 500 2:3'), /^\* UIDBATCHES \(TAG "e"\) 703:204,203:1\r\n/)
  assert.match(await c.ask('f UIDBATCHES 500 9:9'), /^\* UIDBATCHES \(TAG "f"\)\r\n/)
  assert.match(await c.ask('g UIDBATCHES 499'), /^g NO \[TOOFEW\]/)
  for (const wrong of ['0', '500 0:1', '500 3:2', '500 1', 'x'])
    assert.match(await c.ask(`h UIDBATCHES ${wrong}`), /^h BAD/)
})

test('PARTIAL fetches a slice of a set, counted from either end', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 10)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  const uids = async (range: string): Promise<number[]> =>
    [...(await c.ask(`b UID FETCH 2:9 (UID) (PARTIAL ${range})`)).matchAll(/UID (\d+)/g)].map((match) =>
      Number(match[1]),
    )
  assert.deepEqual(await uids('1:3'), [2, 3, 4])
  assert.deepEqual(await uids('-1:-2'), [8, 9])
  assert.deepEqual(await uids('-3:-2'), [7, 8])
  assert.deepEqual(await uids('7:100'), [8, 9])
  assert.deepEqual(await uids('20:30'), [])
  assert.match(await c.ask('c FETCH 1:* (UID) (PARTIAL 1:2)'), /^c BAD/)
  assert.match(await c.ask('d UID FETCH 1:* (UID) (PARTIAL 1:-2)'), /^d BAD/)
})
