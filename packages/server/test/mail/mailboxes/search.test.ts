// Text search: what the index answers is what looking at each message would.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type MailAccount, matchesText, type Mailbox, type TextQuery } from '@aviso/imap'
import { bodyTexts } from '@aviso/imap/search'
import { assert as check, asyncProperty, integer } from 'fast-check'
import type { IndexFound, IndexPlace } from '../../../src/mail/mailboxes/search/queries.ts'
import { NO_LIMITS } from '../../../src/mail/mailboxes/quota.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { migrate } from '../../../src/store/migrate.ts'
import { SqliteDatabase } from '../../../src/store/sqlite.ts'
import { account, type House, message, openHouse } from './fixture.ts'
import { numbers, pick, randomMail, randomQuery } from './random-mail.ts'

const body = (text: string): TextQuery => ({ kind: 'body', text })
const anywhere = (text: string): TextQuery => ({ kind: 'text', text })
const field = (name: string, text: string): TextQuery => ({ kind: 'header', name, text })

async function found(mailbox: Mailbox, query: TextQuery, uids?: readonly number[]): Promise<number[]> {
  const all: number[] = []
  assert.ok(mailbox.find)
  for await (const batch of mailbox.find(query, uids ?? Array.from((await mailbox.snapshot()).uids))) {
    for (const uid of batch.uids) {
      assert.ok(uid > (all.at(-1) ?? 0), 'UIDs ascend over all batches')
      all.push(uid)
    }
    assert.ok(batch.progress > 0 && batch.progress <= 1)
  }
  return all
}

async function withHouse(run: (house: House) => Promise<void>): Promise<void> {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    await run(house)
  } finally {
    await house.close()
  }
}

let deliveries = 0
async function deliver(house: House, bytes: Uint8Array, mailbox = 'INBOX'): Promise<number> {
  const { uid } = await house.mailboxes.deliver('anna', { bytes, mailbox, deliveryId: `d${deliveries++}` })
  return uid
}

/** So many messages that the index is asked at all. */
async function fill(house: House, count = 60): Promise<void> {
  await fillWith(house.open(), count)
}

async function fillWith(anna: MailAccount, count: number, from = 0): Promise<void> {
  await anna.append(
    'INBOX',
    Array.from({ length: count }, (_, i) => ({
      bytes: message(`number ${from + i}`, `Message ${from + i} of some\r\n`),
      flags: [],
    })),
  )
}

describe('search of text', () => {
  it('property: finds what looking at each message would, whatever the state of the index', async () => {
    await check(
      asyncProperty(integer(), async (seed) => {
        const random = numbers(seed)
        await withHouse(async (house) => {
          const anna = house.open()
          await anna.create('Other')
          const mailboxes = [await anna.open('INBOX'), await anna.open('Other')]
          const [inbox] = mailboxes as [Mailbox, Mailbox]
          const compare = async (): Promise<void> => {
            for (const mailbox of mailboxes) {
              const messages = new Map<number, Uint8Array>()
              for (const uid of (await mailbox.snapshot()).uids)
                messages.set(uid, (await mailbox.raw(uid)) ?? new Uint8Array())
              const texts = [...messages.values()].flatMap((bytes) => [...bodyTexts(bytes)])
              for (let i = 0; i < 20; i++) {
                const query = randomQuery(random, texts)
                const uids = [...messages.keys()].filter(() => i % 4 > 0 || random() < 0.8)
                const expected = uids.filter((uid) => matchesText(query, messages.get(uid) ?? new Uint8Array()))
                assert.deepEqual(await found(mailbox, query, uids), expected, JSON.stringify({ query, seed }))
              }
            }
          }
          const arrive = (count: number, mailbox: string): Promise<unknown> =>
            anna.append(
              mailbox,
              Array.from({ length: count }, () => ({ bytes: Buffer.from(randomMail(random), 'latin1'), flags: [] })),
            )
          await arrive(70, 'INBOX')
          await arrive(60, 'Other')
          await house.mailboxes.index('anna')
          await compare()
          for (let i = 0; i < 20; i++) {
            await deliver(house, Buffer.from(randomMail(random), 'latin1'), pick(random, ['INBOX', 'Other']))
            if (random() < 0.7) await house.mailboxes.index('anna')
          }
          await compare()
          await inbox.copy([3, 5, 7, 20, 21], 'Other')
          await inbox.copy([4, 9], 'INBOX')
          await inbox.store([1, 2, 3, 8, 13, 21, 34, 55], { action: 'add', flags: ['\\Deleted'] })
          await inbox.expunge([1, 2, 3, 8, 13, 21, 34, 55])
          await inbox.move([30, 31], 'Other')
          house.clock.turn(8 * 86_400_000)
          while (await house.mailboxes.sweep('anna'));
          await house.mailboxes.index('anna')
          await compare()
          await house.mailboxes.reindex('anna')
          await arrive(3, 'INBOX')
          await compare()
        })
      }),
      { numRuns: 2 },
    )
  })

  it('finds a message the moment it is there', async () => {
    await withHouse(async (house) => {
      await fill(house)
      await house.mailboxes.index('anna')
      const anna = house.open()
      const inbox = await anna.open('INBOX')
      const uid = await deliver(house, message('Fresh', 'asdfghjkl\r\n'))
      assert.deepEqual(await found(inbox, body('dfghj')), [uid])
      const appended = await anna.append('INBOX', [{ bytes: message('Fresher', 'ASDFGHJKL\r\n'), flags: [] }])
      assert.deepEqual(await found(inbox, body('dfghj')), [uid, ...appended.uids])
      await house.mailboxes.index('anna')
      assert.deepEqual(await found(inbox, body('dfghj')), [uid, ...appended.uids])
    })
  })

  it('is across folded lines, charsets and encodings', async () => {
    await withHouse(async (house) => {
      await fill(house)
      const mail = (text: string): Promise<number> => deliver(house, Buffer.from(text, 'latin1'))
      const folded = await mail('Subject: one long\r\n subject line\r\nX-Other: left\r\n\tright\r\n\r\nnothing\r\n')
      const words = await mail('Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?Q?_aus?= town\r\n\r\nnothing else\r\n')
      const quoted = await mail(
        'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na soft br=\r\neak and Stra=C3=9F=\r\ne\r\n',
      )
      const japanese = await mail('Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|K\\8l\x1b(B mail\r\n')
      const html = await mail(
        'Content-Type: text/html; charset=utf-8\r\n\r\n<p title="attribute">So<b>me</b>thing&nbsp;to\r\n  see</p><style>.hidden{}</style>&Auml;rger\r\n',
      )
      const inbox = await house.open().open('INBOX')
      for (const state of ['not indexed', 'indexed']) {
        assert.deepEqual(await found(inbox, field('subject', 'long subject')), [folded], state)
        assert.deepEqual(await found(inbox, field('X-Other', 'LEFT')), [folded], state)
        assert.deepEqual(await found(inbox, field('X-Other', '')), [folded], state)
        assert.deepEqual(await found(inbox, anywhere('grüße AUS town')), [words], state)
        assert.deepEqual(await found(inbox, body('Grüße aus')), [], `${state}: BODY leaves the header out`)
        assert.deepEqual(await found(inbox, body('soft break')), [quoted], state)
        assert.deepEqual(await found(inbox, body('straße')), [quoted], state)
        assert.deepEqual(await found(inbox, body('日本')), [japanese], state)
        assert.deepEqual(await found(inbox, body('本')), [japanese], state)
        assert.deepEqual(await found(inbox, body('日本語 mail')), [japanese], state)
        assert.deepEqual(await found(inbox, body('something to see')), [html], state)
        assert.deepEqual(await found(inbox, body('ärger')), [html], state)
        for (const unseen of ['attribute', 'hidden', '<b>'])
          assert.deepEqual(await found(inbox, body(unseen)), [], state)
        await house.mailboxes.index('anna')
      }
    })
  })

  it('knows messages in blobs, and lives with a blob that was lost', async () => {
    await withHouse(async (house) => {
      await fill(house)
      const filler = `${'x'.repeat(70)}\r\n`.repeat(5000)
      const large = await deliver(house, message('Large', `${filler}needleinhaystack\r\n`))
      const attached = await deliver(
        house,
        Buffer.from(
          `Subject: Attached\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nneedleinhaystack\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n${filler}--b--\r\n`,
        ),
      )
      const inbox = await house.open().open('INBOX')
      assert.deepEqual(await found(inbox, body('leinhay')), [large, attached])
      await house.mailboxes.index('anna')
      assert.deepEqual(await found(inbox, body('leinhay')), [large, attached])
      assert.deepEqual(await found(inbox, field('Subject', 'large')), [large])
      const blobs = house.store.accountBlobs('anna')
      for (const blob of await blobs.list()) await blobs.delete(blob)
      await house.mailboxes.reindex('anna')
      const last = await deliver(house, message('Behind', 'needleinhaystack\r\n'))
      await house.mailboxes.index('anna')
      assert.deepEqual(await found(inbox, body('leinhay')), [last])
    })
  })

  it('forgets the words of messages that are gone', async () => {
    await withHouse(async (house) => {
      await fill(house, 20)
      const uid = await deliver(house, message('Secret', 'topsecretword\r\n'))
      await house.mailboxes.index('anna')
      const calls = house.store.account(mailStore, 'anna')
      const inIndex = async (): Promise<number> =>
        (await calls.searchIndex({ stream: 0, pattern: Buffer.from('topsecret'), place: { after: 0 } })).sure.length
      assert.equal(await inIndex(), 1)
      const inbox = await house.open().open('INBOX')
      const uids = [uid, 1, 2, 3, 4, 5, 6]
      await inbox.store(uids, { action: 'add', flags: ['\\Deleted'] })
      await inbox.expunge(uids)
      assert.deepEqual(await found(inbox, body('topsecret')), [])
      house.clock.turn(8 * 86_400_000)
      while (await house.mailboxes.sweep('anna'));
      await house.mailboxes.index('anna')
      assert.equal(await inIndex(), 0)
      assert.deepEqual(await found(inbox, body('message 19')), [20])
    })
  })

  it('is indexed in the background once it is quiet', async () => {
    await withHouse(async (house) => {
      const calls = house.store.account(mailStore, 'anna')
      const settle = async (): Promise<number> => {
        for (let i = 0; i < 50; i++) {
          await new Promise((resolve) => setImmediate(resolve))
          house.clock.turn(20)
        }
        return calls.searchReach({})
      }
      await deliver(house, message('One'))
      house.clock.turn(400)
      assert.equal(await calls.searchReach({}), 0, 'not while more may follow')
      assert.equal(await settle(), 1)
      const anna = house.open()
      await anna.append('INBOX', [{ bytes: message('Two'), flags: [] }])
      assert.equal(await settle(), 2)
    })
  })

  it('is in step with mail that comes in heaps: who brings it takes part in indexing it', async () => {
    await withHouse(async (house) => {
      const anna = house.open()
      let most = 0
      for (let brought = 0; brought < 2400; brought += 200) {
        await fillWith(anna, 200, brought)
        const { debt } = await house.store.account(mailStore, 'anna').searchCatchUp({})
        most = Math.max(most, debt)
      }
      assert.ok(most > 700 && most < 1400, `${most} emails waited`)
      const inbox = await anna.open('INBOX')
      assert.deepEqual(await found(inbox, body('message 7 ')), [8])
      assert.deepEqual(await found(inbox, body('message 2399 ')), [2400])
    })
  })

  it('is answered in slices, each going on where the last one stopped', async () => {
    await withHouse(async (house) => {
      const random = numbers(5)
      const anna = house.open()
      const mail = (): Uint8Array =>
        message('Many', Array.from({ length: 3000 }, () => `w${Math.floor(random() * 1e9).toString(36)}`).join(' '))
      for (let i = 0; i < 60; i++) {
        await anna.append('INBOX', [{ bytes: mail(), flags: [] }])
        if (i === 54) await house.mailboxes.index('anna')
      }
      await house.mailboxes.index('anna')
      const calls = house.store.account(mailStore, 'anna')
      const pattern = Buffer.from('wa1')
      const whole = await calls.searchIndex({ stream: 0, pattern, place: { after: 0 } })
      assert.equal(whole.next, undefined)
      const sure = new Set<number>()
      const within: number[] = []
      let slices = 0
      for (let place: IndexPlace | undefined = { after: 0 }; place !== undefined; slices++) {
        const slice: IndexFound = await calls.searchIndex({ stream: 0, pattern, place, most: 1 })
        for (const email of slice.sure) sure.add(email)
        place = slice.next
        if (place?.chunk !== undefined) within.push(place.chunk)
      }
      assert.ok(slices > 2 && within.length > 0, `${slices} slices, of which ${within.length} stopped within a segment`)
      assert.deepEqual([...sure].sort(), [...whole.sure].sort())
      assert.ok(sure.size > 3)
    })
  })

  it('of a mailbox that is gone is refused', async () => {
    await withHouse(async (house) => {
      const anna = house.open()
      await anna.create('Gone')
      const gone = await anna.open('Gone')
      await anna.delete('Gone')
      await assert.rejects(found(gone, body('x'), [1]), { code: 'NONEXISTENT' })
    })
  })
})

it('forgets what it gathered of messages that were undone: their numbers are given again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-undone-'))
  const database = new SqliteDatabase(join(folder, 'account.db'), 'anna')
  try {
    migrate(database, [mailStore])
    const { prepare, append, searchCatchUp, searchIndex } = mailStore.operations
    const within = async <T>(work: () => Promise<T> | T, end: () => void): Promise<T> => {
      database.begin()
      const result = await work()
      end()
      return result
    }
    const commit = (): void => database.commit()
    const bring = (words: readonly string[]): Promise<unknown> =>
      Promise.resolve(
        append.run(database, {
          name: 'INBOX',
          messages: words.map((word) => ({
            message: { bytes: message(word, `${word}\r\n`) },
            flags: [],
            internalDate: undefined,
            zone: undefined,
          })),
          limits: NO_LIMITS,
        }),
      )
    const found = async (word: string): Promise<number[]> => {
      const order = { stream: 0, pattern: Buffer.from(word), place: { after: 0 } }
      return [...(await searchIndex.run(database, order)).sure]
    }
    await within(() => prepare.run(database, { mailboxes: [] }), commit)
    await within(
      async () => {
        await bring(Array.from({ length: 40 }, () => 'undoneword'))
        await searchCatchUp.run(database, {})
      },
      () => database.rollback(),
    )
    await within(() => bring(Array.from({ length: 40 }, () => 'keptword')), commit)
    while ((await within(() => searchCatchUp.run(database, {}), commit)).more);
    assert.deepEqual(await found('undoneword'), [])
    assert.equal((await found('keptword')).length, 40)
  } finally {
    database.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
