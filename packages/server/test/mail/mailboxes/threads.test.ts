// RFC 8474 §5: which messages are of one thread, and of one email.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MailAccount } from '@aviso/imap'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { account, type House, openHouse } from './fixture.ts'

const mail = (id: string, subject: string, ...references: string[]): Uint8Array =>
  Buffer.from(
    `From: Bo <bo@example.net>\r\nSubject: ${subject}\r\nMessage-ID: <${id}@example.net>\r\n` +
      `${references.length === 0 ? '' : `References: ${references.map((one) => `<${one}@example.net>`).join('\r\n ')}\r\n`}\r\n${id}\r\n`,
  )

async function inHouse(story: (house: House, anna: MailAccount) => Promise<void>): Promise<void> {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    await story(house, house.open())
  } finally {
    await house.close()
  }
}

/** Puts the mails into INBOX one by one and tells which are together: messages of one thread get the same letter. */
async function threadsOf(anna: MailAccount, mails: readonly Uint8Array[]): Promise<string> {
  for (const bytes of mails) await anna.append('INBOX', [{ bytes, flags: [] }])
  return letters(anna)
}

async function letters(anna: MailAccount, name = 'INBOX'): Promise<string> {
  const inbox = await anna.open(name)
  const seen: string[] = []
  let text = ''
  for await (const batch of inbox.meta([...(await inbox.snapshot()).uids], ['threadId']))
    for (const { threadId = '' } of batch) {
      assert.match(threadId, /^[A-Za-z0-9_-]{1,255}$/)
      if (!seen.includes(threadId)) seen.push(threadId)
      text += 'ABCDEFGH'[seen.indexOf(threadId)]
    }
  return text
}

test('answers are with what they answer, in whatever order they come', () =>
  inHouse(async (_house, anna) => {
    assert.equal(
      await threadsOf(anna, [
        mail('a', 'one'),
        mail('b', 'Re: one', 'a'),
        mail('z', 'Re: two', 'y'),
        mail('y', 'two'),
        mail('c', 'Re: one', 'a', 'b'),
      ]),
      'AABBA',
    )
  }))

test('siblings of a message that is not here are together', () =>
  inHouse(async (_house, anna) => {
    assert.equal(
      await threadsOf(anna, [mail('b', 'x', 'lost'), mail('c', 'y', 'lost'), mail('d', 'z', 'other')]),
      'AAB',
    )
  }))

test('a message that links two threads makes them one, and the account tells of a change', () =>
  inHouse(async (house, anna) => {
    assert.equal(await threadsOf(anna, [mail('a', 'a'), mail('a2', 'a', 'a'), mail('b', 'b'), mail('c', 'c')]), 'AABC')
    const inbox = await anna.open('INBOX')
    const before = (await inbox.snapshot()).highestModseq
    assert.equal(await threadsOf(anna, [mail('d', 'd', 'b', 'a')]), 'AAABA')
    await anna.create('next')
    assert.ok((await anna.status('next')).highestModseq > before + 2)
    const findings = []
    for await (const one of house.mailboxes.examine('anna', false)) findings.push(one)
    assert.deepEqual(findings, [])
  }))

test('the subject counts for a reply without references only', () =>
  inHouse(async (_house, anna) => {
    assert.equal(
      await threadsOf(anna, [
        mail('a', 'lunch'),
        mail('b', 'Re: Lunch'),
        mail('c', 'lunch'),
        mail('d', 'Re: lunch', 'unknown'),
        mail('e', '[list] lunch'),
        mail('f', 'Re: '),
        mail('g', 'Re: '),
      ]),
      'AABCDEF',
    )
  }))

test('a copy is the same email and thread; the same octets once more are not', () =>
  inHouse(async (_house, anna) => {
    const ids = async (name: string): Promise<string[]> => {
      const mailbox = await anna.open(name)
      const found: string[] = []
      for await (const batch of mailbox.meta([...(await mailbox.snapshot()).uids], ['emailId', 'threadId']))
        for (const { emailId, threadId } of batch) found.push(`${emailId} ${threadId}`)
      return found
    }
    await anna.append('INBOX', [
      { bytes: mail('a', 'a'), flags: [] },
      { bytes: mail('a', 'a'), flags: [] },
    ])
    const inbox = await anna.open('INBOX')
    const [first, second] = await ids('INBOX')
    await inbox.copy([1], 'Archive')
    await inbox.move([1], 'Trash')
    assert.deepEqual(await ids('Archive'), [first])
    assert.deepEqual(await ids('Trash'), [first])
    assert.notEqual(first?.split(' ')[0], second?.split(' ')[0])
    assert.equal(first?.split(' ')[1], second?.split(' ')[1])
  }))

test('a thread whose last message went leaves nothing behind, and its number is not given again', () =>
  inHouse(async (house, anna) => {
    assert.equal(await threadsOf(anna, [mail('a', 'a'), mail('b', 'Re: a', 'a')]), 'AA')
    const inbox = await anna.open('INBOX')
    await inbox.store([1, 2], { action: 'add', flags: ['\\Deleted'] })
    await inbox.expunge([1])
    house.clock.turn(30 * 86_400_000)
    await house.mailboxes.sweep('anna')
    assert.equal(
      await threadsOf(anna, [mail('c', 'Re: x', 'a')]),
      'AA',
      'the thread lives while one of its messages does',
    )
    await inbox.store([3], { action: 'add', flags: ['\\Deleted'] })
    await inbox.expunge([2, 3])
    house.clock.turn(30 * 86_400_000)
    await house.mailboxes.sweep('anna')
    const calls = house.store.account(mailStore, 'anna')
    assert.deepEqual((await calls.checkRendering({ after: 0, repair: false })).findings, [])
    assert.equal(await threadsOf(anna, [mail('d', 'y', 'a')]), 'A')
    for await (const [meta] of inbox.meta([4], ['threadId', 'emailId'])) assert.equal(meta?.threadId, 't4')
  }))
