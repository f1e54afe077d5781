// RFC 9051 and RFC 9755: what a client that enabled IMAP4rev2 or UTF8=ACCEPT hears and may say; items of FETCH beyond rev1.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MESSAGE, world } from './harness.ts'

test('IMAP4rev2: no RECENT, LIST with SELECT, names in UTF-8', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { 'Entwürfe/Größe': undefined } })
  await mail.open().append('INBOX', [{ bytes: MESSAGE, flags: [] }])
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a ENABLE IMAP4rev2'), /^\* ENABLED IMAP4rev2\r\n/)
  const selected = await c.ask('b SELECT INBOX')
  assert.doesNotMatch(selected, /RECENT|UNSEEN/i)
  assert.match(selected, /\* LIST \(\) "\/" INBOX\r\n/)
  assert.doesNotMatch(await c.ask('c FETCH 1 FLAGS'), /Recent/)
  c.send(`d SELECT "${Buffer.from('Entwürfe/Größe').toString('latin1')}"\r\n`)
  assert.match(Buffer.from(await c.until('d '), 'latin1').toString('utf8'), /LIST \(\) "\/" "Entwürfe\/Größe"\r\n/)
})

test('9: UTF-8 in quoted strings only after ENABLE UTF8=ACCEPT', async (t) => {
  const { wire } = await world(t, { mailboxes: { Größe: undefined } })
  const c = await wire()
  await c.login()
  const name = Buffer.from('Größe').toString('latin1')
  assert.match(await c.ask(`a SELECT "${name}"`), /^a BAD/)
  assert.match(await c.ask('b ENABLE UTF8=ACCEPT'), /^\* ENABLED UTF8=ACCEPT\r\n/)
  assert.match(await c.ask(`c SELECT "${name}"`), /c OK \[READ-WRITE\]/)
  assert.match(await c.ask('d SELECT "\xff\xfe"'), /^d BAD/)
})

test('FETCH of object ids, preview and save date', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { Archive: undefined } })
  await mail.open().append('INBOX', [{ bytes: MESSAGE, flags: [] }])
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a SELECT INBOX'), /\* OK \[MAILBOXID \(\w+\)\]/)
  const fetched = await c.ask('b FETCH 1 (EMAILID THREADID PREVIEW SAVEDATE)')
  assert.match(
    fetched,
    /EMAILID \((\S+)\) THREADID \((\S+)\) PREVIEW "Good morning" SAVEDATE " 3-Feb-2026 10:00:00 \+0000"/,
  )
  await c.ask('c COPY 1 Archive')
  await c.ask('d SELECT Archive')
  const id = /EMAILID \((\S+)\)/.exec(fetched)?.[1]
  assert.ok((await c.ask('e FETCH 1 (EMAILID PREVIEW (LAZY))')).includes(`EMAILID (${id}) PREVIEW "Good morning"`))
  assert.match(await c.ask('f FETCH 1 (PREVIEW (NOW))'), /^f BAD/)
})
