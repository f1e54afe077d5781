// Mail from elsewhere comes in once, however often it is tried.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { type House, message, openHouse } from './fixture.ts'

const key = (subject: string): Uint8Array => createHash('sha256').update(subject).digest()

/** Offers messages by their subjects; `?` in front: only asks. */
const offer = (house: House, run: number, subjects: readonly string[], nth?: number, mailbox = 'Old/Mail') =>
  house.mailboxes.import('anna', {
    mailbox,
    run,
    entries: subjects.map((subject) => ({
      key: key(subject.replace('?', '')),
      nth,
      message: subject.startsWith('?')
        ? undefined
        : { bytes: message(subject), flags: ['\\Seen', 'old'], internalDate: 1_000_000_000_000, zone: 60 },
    })),
  })

describe('importing', () => {
  test('takes each copy of a source once, again and again', async () => {
    const house = await openHouse()
    try {
      assert.deepEqual(await offer(house, 1, ['a', 'b', 'a']), [{ uid: 1 }, { uid: 2 }, { uid: 3 }])
      // Interrupted here, and begun anew: what is there is known, in whatever order; the third copy is not.
      assert.deepEqual(await offer(house, 2, ['?a', 'b', 'c', 'a', '?a']), [
        'known',
        'known',
        { uid: 4 },
        'known',
        { nth: 3 },
      ])
      assert.deepEqual(await offer(house, 2, ['a'], 3), [{ uid: 5 }])
      assert.deepEqual(await offer(house, 2, ['a'], 3), ['known'])
      assert.deepEqual(await offer(house, 3, ['?a', '?a', '?a', '?b', '?c', '?d']), [
        'known',
        'known',
        'known',
        'known',
        'known',
        { nth: 1 },
      ])
      const anna = house.open()
      const status = await anna.status('Old/Mail')
      assert.equal(status.messages, 5)
      assert.ok((await anna.list()).some(({ name, subscribed }) => name === 'Old/Mail' && subscribed))
      const { internalDates, flagSets } = await (await anna.open('Old/Mail')).snapshot()
      assert.ok(internalDates.every((date) => date === 1_000_000_000_000))
      assert.deepEqual(
        flagSets.filter((set) => set.length > 0),
        [['\\Seen', 'old']],
      )
    } finally {
      await house.close()
    }
  })

  test('is all or nothing, and leaves no memory of what did not come in', async () => {
    const house = await openHouse({ appendLimit: 1000 })
    try {
      await assert.rejects(
        house.mailboxes.import('anna', {
          mailbox: 'INBOX',
          run: 1,
          entries: [
            { key: key('a'), nth: undefined, message: { bytes: message('a'), flags: [] } },
            { key: key('b'), nth: undefined, message: { bytes: message('b'), flags: ['no atom'] } },
          ],
        }),
        { code: 'CANNOT' },
      )
      await assert.rejects(
        house.mailboxes.import('anna', {
          mailbox: 'INBOX',
          run: 1,
          entries: [{ key: key('a'), nth: undefined, message: { bytes: message('a', 'x'.repeat(1000)), flags: [] } }],
        }),
        { code: 'TOOBIG' },
      )
      assert.deepEqual(await offer(house, 1, ['a'], undefined, 'INBOX'), [{ uid: 1 }])
    } finally {
      await house.close()
    }
  })

  test('large messages go where large messages are', async () => {
    const house = await openHouse()
    try {
      const large = message('large', 'x'.repeat(400_000))
      const entries = [{ key: key('large'), nth: undefined, message: { bytes: large, flags: [] } }]
      assert.deepEqual(await house.mailboxes.import('anna', { mailbox: 'INBOX', run: 1, entries }), [{ uid: 1 }])
      assert.deepEqual(await house.mailboxes.import('anna', { mailbox: 'INBOX', run: 2, entries }), ['known'])
      assert.deepEqual(Buffer.from((await (await house.open().open('INBOX')).raw(1)) ?? []), Buffer.from(large))
    } finally {
      await house.close()
    }
  })

  test('what was forgotten comes in again; what no import met for long is forgotten', async () => {
    const house = await openHouse()
    try {
      await offer(house, 1, ['a'])
      await house.mailboxes.forgetImports('anna')
      assert.deepEqual(await offer(house, 2, ['a']), [{ uid: 2 }])
      house.clock.turn(89 * 86_400_000)
      await house.mailboxes.sweep('anna')
      assert.deepEqual(await offer(house, 3, ['a']), ['known'])
      house.clock.turn(91 * 86_400_000)
      await house.mailboxes.sweep('anna')
      assert.deepEqual(await offer(house, 4, ['a']), [{ uid: 3 }])
    } finally {
      await house.close()
    }
  })
})
