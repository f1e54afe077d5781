// A database as the first edition of the mail store wrote it, opened by this one.

import assert from 'node:assert/strict'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { KEY_SEPARATOR, type KeyField, type MailAccount, type MessageMeta } from '@aviso/imap'
import { HandClock } from '../../../src/kernel/clock.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { Metrics } from '../../../src/kernel/metrics.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import { Scope } from '../../../src/kernel/scope.ts'
import { CODEC, store } from '../../../src/mail/mailboxes/octets.ts'
import { migrations } from '../../../src/mail/mailboxes/schema.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { defineStore, write } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { type House, message, openHouse, text } from './fixture.ts'

const DAY = 86_400_000

interface OldMessage {
  readonly bytes: Uint8Array
  readonly blob?: string
  readonly deleted?: boolean
  readonly expunged?: boolean
}

/** Tables of version 1 and what wrote their rows. */
const oldStore = defineStore({
  name: 'mail',
  scale: 'account',
  migrations: migrations.slice(0, 1),
  operations: {
    keepOld: write(async (tx, { messages, at }: { messages: readonly OldMessage[]; at: number }) => {
      const kept = messages.filter(({ expunged }) => expunged !== true)
      const sizes = (list: readonly OldMessage[]): number => list.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
      const deleted = kept.filter((one) => one.deleted)
      await tx.run("INSERT INTO mail_flagset VALUES (1, '', 0, 0), (2, '\\Deleted', 0, 1)")
      await tx.run('INSERT INTO mail_state VALUES (1, 5, 7, 1, ?, 2)', messages.length)
      await tx.run(
        "INSERT INTO mail_mailbox VALUES (1, 'INBOX', 'Inbox', 7, ?, 5, ?, ?, ?, ?, 1, 0)",
        messages.length + 1,
        kept.length,
        kept.length,
        deleted.length,
        sizes(kept),
      )
      for (const [i, { bytes, blob, deleted, expunged }] of messages.entries()) {
        const stored = store({ bytes })
        const id = i + 1
        await tx.run(
          'INSERT INTO mail_email VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?)',
          id,
          stored.size,
          stored.headerSize,
          blob === undefined ? stored.codec : CODEC.blob,
          blob ?? null,
          stored.envelope,
          stored.bodyStructure,
          stored.body,
        )
        await tx.run(
          'INSERT INTO mail_octets VALUES (?, ?, ?)',
          id,
          stored.header ?? null,
          blob === undefined ? stored.content : null,
        )
        if (expunged === true) await tx.run('INSERT INTO mail_expunged VALUES (1, ?, 4, ?, ?)', id, id, at)
        else
          await tx.run(
            'INSERT INTO mail_message VALUES (1, ?, 3, ?, ?, ?, ?)',
            id,
            deleted === true ? 2 : 1,
            id,
            stored.size,
            at,
          )
      }
      // Columns as they were packed then: 28 octets a row.
      const packed = new Uint8Array(8)
      packed[0] = 1
      await tx.run('INSERT INTO mail_snapshot VALUES (1, 5, ?)', packed)
    }),
  },
})

const reply = (subject: string, to: string): Uint8Array =>
  Buffer.from(message(subject).toString().replace('\r\n\r\n', `\r\nIn-Reply-To: <${to}@example.net>\r\n\r\n`))

const MESSAGES: readonly OldMessage[] = [
  { bytes: message('first', 'Short\r\n') },
  { bytes: message('second', 'Long enough to be compressed. '.repeat(60)) },
  { bytes: message('large', `${'z'.repeat(70)}\r\n`.repeat(6000)), blob: '' },
  { bytes: reply('Re: first', 'first'), deleted: true },
  { bytes: message('gone', 'Gone\r\n'), expunged: true },
  ...Array.from({ length: 80 }, (_, i) => ({ bytes: message(`many ${i}`) })),
]

/** A folder with the account `anna` as it was, and the blob of its large message lost if asked for. */
async function oldFolder(loseBlob = false): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-mail-'))
  const clock = new HandClock()
  const scope = Scope.root({ log: silentLog(), metrics: new Metrics(), clock, random: new SeededRandom(7) })
  const opened = await openStore(scope, { folder, definitions: [oldStore] })
  const messages: OldMessage[] = []
  for (const one of MESSAGES)
    messages.push(
      one.blob === undefined ? one : { ...one, blob: await opened.accountBlobs('anna').put(new Uint8Array(one.bytes)) },
    )
  await opened.account(oldStore, 'anna').keepOld({ messages, at: clock.now() - DAY / 2 })
  await scope.close()
  if (loseBlob) for (const file of globSync(join(folder, 'accounts/*/*/blobs/*/*'))) rmSync(file)
  return folder
}

async function inOldHouse(story: (house: House) => Promise<void>, loseBlob = false): Promise<void> {
  const folder = await oldFolder(loseBlob)
  const house = await openHouse({ folder })
  try {
    await story(house)
  } finally {
    await house.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const UIDS = MESSAGES.map((_, i) => i + 1)
const LIVE = UIDS.filter((uid) => uid !== 5)

async function metas(account: MailAccount, uids: readonly number[]): Promise<Map<number, MessageMeta>> {
  const found = new Map<number, MessageMeta>()
  const inbox = await account.open('INBOX')
  for await (const batch of inbox.meta(uids, [
    'commonHeader',
    'preview',
    'emailId',
    'threadId',
    'saveDate',
    'envelope',
  ]))
    for (const meta of batch) found.set(meta.uid, meta)
  return found
}

async function keysOf(account: MailAccount, field: KeyField): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for await (const { uids, keys } of (await account.open('INBOX')).keys(UIDS, field))
    for (const [i, key] of keys.split(KEY_SEPARATOR).entries()) found.set(uids[i] ?? 0, key)
  return found
}

async function answersRightly(house: House): Promise<void> {
  const anna = house.open()
  const rendered = await metas(anna, UIDS)
  assert.deepEqual([...rendered.keys()], UIDS)
  const internalDate = (await (await anna.open('INBOX')).snapshot()).internalDates[0]
  for (const [i, { bytes }] of MESSAGES.entries()) {
    const meta = rendered.get(i + 1)
    const [header = '', body = ''] = Buffer.from(bytes).toString().split('\r\n\r\n')
    assert.equal(text(meta?.commonHeader), `${header}\r\n`)
    assert.ok(body.replaceAll(/\s+/g, ' ').startsWith((text(meta?.preview) ?? '?').trim()), `preview of ${i + 1}`)
    assert.equal(meta?.emailId, `e${i + 1}`)
    assert.equal(meta?.saveDate, i === 4 ? undefined : internalDate)
  }
  assert.equal(rendered.get(4)?.threadId, rendered.get(1)?.threadId)
  assert.notEqual(rendered.get(2)?.threadId, rendered.get(1)?.threadId)
  const subjects = await keysOf(anna, 'subject')
  assert.deepEqual([...subjects.keys()], LIVE)
  assert.deepEqual([subjects.get(3), subjects.get(4), subjects.get(85)], ['large', 'first', 'many 79'])
  assert.equal((await keysOf(anna, 'threading')).get(4), '1\nRe%3A%20first@example.net\nfirst@example.net')
}

test('counts, snapshot and quota of an old database are right at once', () =>
  inOldHouse(async (house) => {
    const anna = house.open()
    const { deletedSize, deleted, size, messages } = await anna.status('INBOX')
    const live = MESSAGES.filter(({ expunged }) => expunged !== true)
    assert.deepEqual(
      [messages, deleted, deletedSize, size],
      [84, 1, MESSAGES[3]?.bytes.byteLength, live.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)],
    )
    const snapshot = await (await anna.open('INBOX')).snapshot()
    assert.deepEqual([...snapshot.uids], LIVE, 'the old packed columns are not used')
    assert.ok(snapshot.zones.every((zone) => zone === 0))
    assert.deepEqual(
      (await anna.quota?.())?.map(({ resource, usage }) => [resource, usage]),
      [
        ['STORAGE', Math.ceil(size / 1024)],
        ['MESSAGE', 84],
        ['MAILBOX', 1],
      ],
    )
    assert.ok(globSync(join(house.folder, 'accounts/*/*/account.db.before-migration')).length === 1)
  }))

test('what an old database has not is made when it is asked for, and the same after everything was caught up', () =>
  inOldHouse(async (house) => {
    await answersRightly(house)
    await house.mailboxes.catchUp('anna')
    await answersRightly(house)
  }))

test('catching up comes by itself, in small steps, in the background', () =>
  inOldHouse(async (house) => {
    const calls = house.store.account(mailStore, 'anna')
    const left = async (): Promise<number> => (await calls.checkRendering({ after: 0, repair: false })).stale
    assert.equal(await left(), MESSAGES.length)
    await house.mailboxes.deliver('anna', { bytes: message('new'), deliveryId: 'new' })
    assert.equal(await left(), MESSAGES.length)
    const seen = new Set<number>()
    for (let round = 0; round < 500 && (await left()) > 0; round++) {
      seen.add(await left())
      house.clock.turn(5000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(await left(), 0)
    assert.ok(seen.size >= 3, 'more than one step')
    await answersRightly(house)
  }))

test('a reply that arrives before the old mail is caught up still finds its thread', () =>
  inOldHouse(async (house) => {
    await house.mailboxes.deliver('anna', { bytes: reply('Re: second', 'second'), deliveryId: 'late' })
    const anna = house.open()
    const before = (await metas(anna, [86])).get(86)?.threadId
    const both = await metas(anna, [2, 86])
    assert.ok(before !== undefined)
    assert.equal(both.get(2)?.threadId, both.get(86)?.threadId)
  }))

test('a large message whose blob is lost keeps nobody from catching up: its header is kept elsewhere', () =>
  inOldHouse(async (house) => {
    await house.mailboxes.catchUp('anna')
    const meta = (await metas(house.open(), [3])).get(3)
    assert.match(text(meta?.commonHeader) ?? '', /Subject: large/)
    assert.match(text(meta?.envelope) ?? '', /"large"/)
    assert.equal(text(meta?.preview), '')
    assert.equal((await keysOf(house.open(), 'subject')).get(3), 'large')
  }, true))
