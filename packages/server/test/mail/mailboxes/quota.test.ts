// RFC 9208: what an account may hold.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BackendError, type MailAccount } from '@aviso/imap'
import { asSmtpError } from '../../../src/mail/pipeline/refusal.ts'
import { type House, message, openHouse } from './fixture.ts'

const LIMITS = { octets: undefined, messages: undefined, mailboxes: undefined }

async function inHouse(
  limits: Partial<typeof LIMITS> | object,
  story: (house: House, anna: MailAccount) => Promise<void>,
) {
  const house = await openHouse({ limits: { ...LIMITS, ...limits } })
  try {
    await house.mailboxes.deliver('anna', { bytes: message('first'), deliveryId: 'first' })
    await story(house, house.open())
  } finally {
    await house.close()
  }
}

const refused = (promise: Promise<unknown>): Promise<void> =>
  assert.rejects(promise, (error: unknown) => error instanceof BackendError && error.code === 'OVERQUOTA')

const usage = async (account: MailAccount): Promise<(number | undefined)[]> =>
  ((await account.quota?.()) ?? []).flatMap(({ usage, limit }) => [usage, limit])

const one = (subject: string, body?: string) => [{ bytes: message(subject, body), flags: [] }]

test('messages beyond the limit are refused, whole appends with them; moving and replacing go on', () =>
  inHouse({ messages: 3 }, async (house, anna) => {
    await anna.create('to')
    await refused(anna.append('INBOX', [...one('a'), ...one('b'), ...one('c')]))
    assert.equal((await anna.status('INBOX')).messages, 1)
    await anna.append('INBOX', [...one('a'), ...one('b')])
    await refused(anna.append('INBOX', one('c')))
    const inbox = await anna.open('INBOX')
    await refused(inbox.copy([1], 'to'))
    await inbox.move([1], 'to')
    await inbox.replace(2, 'to', { bytes: message('longer than it was', 'x'.repeat(500)), flags: [] })
    assert.deepEqual([(await anna.status('INBOX')).messages, (await anna.status('to')).messages], [1, 2])
    // What is expunged makes room at once, though it can still be read for a while.
    const to = await anna.open('to')
    await to.store([1], { action: 'add', flags: ['\\Deleted'] })
    await to.expunge([1])
    await anna.append('INBOX', one('c'))
    await anna.delete('to')
    assert.deepEqual((await usage(anna)).slice(2), [2, 3, 1, undefined])
    assert.deepEqual([...(await inbox.snapshot()).uids], [3, 4])
    assert.equal((await house.mailboxes.quota('anna')).messages, 2)
  }))

test('storage is counted in octets, told in KiB, and a mail that does not fit may come later', () =>
  inHouse({ octets: 4000 }, async (house, anna) => {
    const large = message('large', 'x'.repeat(3900))
    const delivery = { bytes: large, deliveryId: 'large' }
    let failure: unknown
    await house.mailboxes.deliver('anna', delivery).catch((error: unknown) => (failure = error))
    const { code, enhanced } = asSmtpError(failure)
    assert.deepEqual([code, enhanced], [452, '4.2.2'])
    assert.deepEqual((await usage(anna)).slice(0, 2), [1, 4])
    await house.mailboxes.setQuota('anna', { octets: 'none' })
    const { uid } = await house.mailboxes.deliver('anna', delivery)
    assert.deepEqual((await usage(anna)).slice(0, 2), [
      Math.ceil((large.length + message('first').length) / 1024),
      undefined,
    ])
    await house.mailboxes.setQuota('anna', { octets: 'default' })
    // A delivery that was made is answered again, full or not.
    assert.equal((await house.mailboxes.deliver('anna', delivery)).uid, uid)
    await refused(house.mailboxes.deliver('anna', { bytes: message('small'), deliveryId: 'small' }))
    const inbox = await anna.open('INBOX')
    // Over quota already: a draft that gets shorter is saved, one that grows is not.
    const [shorter, longer] = [message('large', 'x'.repeat(3000)), message('large', 'x'.repeat(3950))]
    await refused(inbox.replace(uid, 'INBOX', { bytes: longer, flags: [] }))
    await inbox.replace(uid, 'INBOX', { bytes: shorter, flags: [] })
    await assert.rejects(inbox.replace(uid, 'INBOX', { bytes: shorter, flags: [] }), { code: 'EXPUNGEISSUED' })
    await assert.rejects(inbox.replace(1, 'nowhere', { bytes: shorter, flags: [] }), { code: 'TRYCREATE' })
    assert.equal((await anna.status('INBOX')).messages, 2)
  }))

test('mailboxes are limited where people make them, parents included; mail finds its mailbox nevertheless', () =>
  inHouse({ mailboxes: 3 }, async (house, anna) => {
    await refused(anna.create('a/b/c'))
    assert.equal((await anna.list()).length, 1)
    await anna.create('a/b')
    await refused(anna.rename('a', 'x/y'))
    await anna.rename('a', 'x')
    await house.mailboxes.deliver('anna', { bytes: message('spam'), mailbox: 'Junk', deliveryId: 'spam' })
    assert.deepEqual((await usage(anna)).slice(4), [4, 3])
    await anna.delete('Junk')
    await refused(anna.create('one more'))
    await anna.delete('x/b')
    await anna.create('one more')
  }))
