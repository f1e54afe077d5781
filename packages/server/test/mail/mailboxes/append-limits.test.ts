// RFC 7889: limits of accounts and mailboxes on the size of a message, below the server's.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BackendError } from '@aviso/imap'
import { account, type House, message, openHouse } from './fixture.ts'

const tooBig = (promise: Promise<unknown>): Promise<void> =>
  assert.rejects(promise, (error: unknown) => error instanceof BackendError && error.code === 'TOOBIG')

/** A message of so many octets. */
const sized = (octets: number): Uint8Array => message('sized', 'x'.repeat(octets - message('sized', '').byteLength))
const one = (octets: number) => [{ bytes: sized(octets), flags: [] }]

/** Makes INBOX and the rest, as a new account has it. */
const prepare = async ({ mailboxes }: House, ...ids: readonly string[]): Promise<void> => {
  for (const id of ids) await mailboxes.room.create?.(account(id))
}

test('the smallest of the limits holds, wherever a message comes from; what is there already may be moved about', async () => {
  const house = await openHouse({ appendLimit: 5000 })
  try {
    const { mailboxes } = house
    await prepare(house, 'anna', 'bert')
    const anna = house.open()
    await anna.create('small')
    assert.deepEqual([anna.appendLimit, anna.appendLimitsDiffer], [5000, false])
    await mailboxes.limitMessages('anna', undefined, 2000)
    await mailboxes.limitMessages('anna', 'small', 1000)
    // A session that is open already hears of it at once.
    assert.deepEqual([anna.appendLimit, anna.appendLimitsDiffer], [2000, true])
    assert.equal((await anna.status('small')).appendLimit, 1000)
    assert.equal((await anna.status('INBOX')).appendLimit, undefined)

    const { uids } = await anna.append('INBOX', one(2000))
    await tooBig(anna.append('INBOX', one(2001)))
    await anna.append('small', one(1000))
    await tooBig(anna.append('small', [...one(500), ...one(1001)]))
    assert.equal((await anna.status('small')).messages, 1)
    const inbox = await anna.open('INBOX')
    await tooBig(inbox.replace(uids[0] ?? 0, 'small', { bytes: sized(1001), flags: [] }))
    await tooBig(
      mailboxes.import('anna', {
        mailbox: 'small',
        run: 1,
        entries: [{ key: new Uint8Array([1]), nth: undefined, message: { bytes: sized(1001), flags: [] } }],
      }),
    )
    await inbox.copy(uids, 'small')
    assert.equal((await anna.status('small')).messages, 2)
    // Delivered mail has grown by trace fields after its size was agreed upon.
    await mailboxes.deliver('anna', { bytes: sized(3000), deliveryId: 'grown' })
    await tooBig(mailboxes.deliver('anna', { bytes: sized(5000 + 65_537), deliveryId: 'large' }))
    await tooBig(mailboxes.deliver('anna', { bytes: sized(2000 + 65_537), deliveryId: 'larger than hers' }))

    const bert = house.open('bert')
    await bert.append('INBOX', one(5000))
    await assert.rejects(mailboxes.limitMessages('bert', undefined, 5001), /5000 octets at most/)
    await assert.rejects(mailboxes.limitMessages('bert', 'nope', 100), { code: 'NONEXISTENT' })

    assert.deepEqual(await mailboxes.messageLimit('anna', 'small'), { octets: 1000, own: true })
    assert.deepEqual(await mailboxes.messageLimit('anna', 'INBOX'), { octets: 2000, own: false })
    await mailboxes.limitMessages('anna', undefined, undefined)
    assert.deepEqual(await mailboxes.messageLimit('anna', undefined), { octets: 5000, own: false })
    // With its mailbox, a limit is gone.
    await anna.delete('small')
    assert.equal(anna.appendLimitsDiffer, false)
    await anna.create('small')
    await anna.append('small', one(5000))
  } finally {
    await house.close()
  }
})

test('limits outlive a restart, and end with the account', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-limits-'))
  try {
    const first = await openHouse({ folder })
    await prepare(first, 'anna', 'bert')
    await first.mailboxes.limitMessages('anna', undefined, 1000)
    await first.mailboxes.limitMessages('anna', 'INBOX', 500)
    await first.mailboxes.limitMessages('bert', undefined, 700)
    await first.close()
    const second = await openHouse({ folder })
    assert.equal(second.open().appendLimit, 1000)
    await tooBig(second.open().append('INBOX', one(501)))
    assert.equal(second.open('bert').appendLimit, 700)
    await second.mailboxes.room.erase?.(account('anna'))
    await second.close()
    const third = await openHouse({ folder })
    assert.deepEqual(await third.mailboxes.messageLimit('anna', 'INBOX'), { octets: 67_108_864, own: false })
    assert.equal(third.open('bert').appendLimit, 700)
    await third.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
