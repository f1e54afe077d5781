// A mailbox of thousands: packed columns, scattered UIDs, many flag sets.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MailboxSnapshot } from '@aviso/imap'
import type { MailCalls } from '../../../src/mail/mailboxes/calls.ts'
import { News } from '../../../src/mail/mailboxes/news.ts'
import { Snapshots } from '../../../src/mail/mailboxes/snapshots.ts'
import { columnsOfPacked } from '../../../src/mail/mailboxes/snapshot-operations.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { account, type House, message, openHouse } from './fixture.ts'

const MESSAGES = 9000

async function filled(house: House): Promise<void> {
  const bytes = message('one of many', '')
  await house.mailboxes.room.create(account('anna'))
  await house.open().append(
    'INBOX',
    Array.from({ length: MESSAGES }, () => ({ bytes, flags: [] })),
  )
}

/** UID → flags and modseq. */
const rowsOf = (snapshot: MailboxSnapshot): Map<number, string> =>
  new Map(
    Array.from(snapshot.uids, (uid, i) => [
      uid,
      `${snapshot.flagSets[snapshot.flags[i] ?? -1]?.join()} ${snapshot.modseqs[i]}`,
    ]),
  )

test('scattered UIDs, runs of UIDs and many flag sets: STORE, COPY, MOVE and EXPUNGE touch just those named', async () => {
  const house = await openHouse()
  try {
    await house.mailboxes.deliver('anna', { bytes: message('first'), deliveryId: 'first' })
    await filled(house)
    const account = house.open()
    const inbox = await account.open('INBOX')
    await account.create('to')
    const to = await account.open('to')
    const expected = new Map<number, Set<string>>(
      Array.from({ length: MESSAGES + 1 }, (_, i) => [i + 1, new Set<string>()]),
    )
    let seed = 99
    const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
    const pick = (): number[] => {
      const every = [1, 2, 3, 40, 700][random(5)] ?? 1
      const from = random(MESSAGES)
      return [...expected.keys()].filter((uid) => uid >= from && random(every) === 0)
    }
    const check = async (): Promise<void> => {
      const snapshot = await inbox.snapshot()
      assert.deepEqual([...snapshot.uids], [...expected.keys()])
      for (const [i, uid] of snapshot.uids.entries())
        assert.deepEqual(new Set(snapshot.flagSets[snapshot.flags[i] ?? -1]), expected.get(uid), `UID ${uid}`)
      const { unseen, deleted } = await account.status('INBOX')
      const having = (flag: string): number => [...expected.values()].filter((flags) => flags.has(flag)).length
      assert.deepEqual([unseen, deleted], [expected.size - having('\\Seen'), having('\\Deleted')])
    }
    for (let round = 0; round < 40; round++) {
      const uids = pick()
      const keyword = ['\\Seen', '\\Deleted'][random(12)] ?? `k${random(9)}`
      const result = await inbox.store([...uids, 900_000], {
        action: random(3) === 0 ? 'remove' : 'add',
        flags: [keyword],
      })
      assert.deepEqual(
        result.rows.map(({ uid }) => uid),
        uids,
      )
      for (const row of result.rows) expected.set(row.uid, new Set(row.flags))
      if (round % 10 === 0) await check()
    }
    await check()
    // A change that others were faster than: of many rows, too, it leaves out just those.
    const { highestModseq } = await inbox.snapshot()
    const others = [...expected.keys()].filter((uid) => uid % 7 === 0)
    await inbox.store(others, { action: 'add', flags: ['theirs'] })
    for (const uid of others) expected.get(uid)?.add('theirs')
    const { modified } = await inbox.store([...expected.keys()], { action: 'add', flags: ['mine'] }, highestModseq)
    assert.deepEqual(modified, others)
    for (const [uid, flags] of expected) if (uid % 7 !== 0) flags.add('mine')
    await check()
    await inbox.store([...expected.keys()], { action: 'remove', flags: ['\\Deleted'] })
    for (const flags of expected.values()) flags.delete('\\Deleted')
    await check()
    const copied = pick()
    const copies = await inbox.copy(copied, 'to')
    assert.deepEqual(copies.source, copied)
    const there = await to.snapshot()
    for (const [i, uid] of copied.entries())
      assert.deepEqual(new Set(there.flagSets[there.flags[i] ?? -1]), expected.get(uid))
    const moved = [...expected.keys()].filter((uid) => uid % 3 === 0 || (uid > 1000 && uid < 1500))
    await inbox.move(moved, 'to')
    for (const uid of moved) expected.delete(uid)
    await check()
    const marked = [...expected.keys()].filter((uid) => uid % 5 === 0 || uid > 8000)
    await inbox.store(marked, { action: 'add', flags: ['\\Deleted'] })
    for (const uid of marked) expected.get(uid)?.add('\\Deleted')
    const asked = [...expected.keys()].filter((uid) => uid % 2 === 0)
    const gone = asked.filter((uid) => marked.includes(uid))
    assert.deepEqual((await inbox.expunge(asked)).uids, gone)
    for (const uid of gone) expected.delete(uid)
    await check()
    assert.equal((await account.status('INBOX')).deleted, marked.length - gone.length)
    // Every piece of every message, in batches, in order, those just expunged included.
    const uids = [...expected.keys(), ...gone].sort((a, b) => a - b)
    const got: number[] = []
    let batches = 0
    for await (const batch of inbox.meta(uids, ['envelope', 'header'])) {
      batches++
      for (const { uid, envelope, header } of batch) {
        got.push(uid)
        assert.match(Buffer.from(envelope ?? []).toString(), uid === 1 ? /"first"/ : /"one of many"/)
        assert.match(Buffer.from(header ?? []).toString(), /^From: Bo [^]*\r\n\r\n$/)
      }
    }
    assert.deepEqual(got, uids)
    assert.ok(batches > 1)
  } finally {
    await house.close()
  }
})

test('the columns of a mailbox that was opened are packed when what was asked next is answered', async () => {
  const house = await openHouse()
  try {
    await filled(house)
    const calls = house.store.account(mailStore, 'anna')
    const { id: mailbox } = await calls.find({ name: 'INBOX' })
    const packed = async (): Promise<number | undefined> => {
      const { packed } = await calls.begin({ mailbox })
      return packed && columnsOfPacked(packed).uids.length
    }
    const snapshots = new Snapshots(house.scope, 1e9, new News(house.store.bus))
    // What came was packed at once, behind this.
    await (await house.open().open('INBOX')).snapshot()
    assert.equal(await packed(), MESSAGES)
    await calls.forgetPacked({ mailbox })
    await snapshots.snapshot('anna', calls, mailbox)
    assert.equal(await packed(), undefined)
    house.clock.turn(3000)
    assert.equal(await packed(), MESSAGES)
  } finally {
    await house.close()
  }
})

test('the packed columns of a large mailbox give the same snapshot as its rows', async () => {
  const house = await openHouse()
  try {
    await filled(house)
    const inbox = await house.open().open('INBOX')
    const calls = house.store.account(mailStore, 'anna')
    const { id: mailbox } = await calls.find({ name: 'INBOX' })
    /** What a server that was just started makes of them. */
    const anew = (): Promise<MailboxSnapshot> =>
      new Snapshots(house.scope, 1, new News(house.store.bus)).snapshot('anna', calls, mailbox)
    const same = async (): Promise<void> => assert.deepEqual(rowsOf(await anew()), rowsOf(await inbox.snapshot()))
    assert.equal((await inbox.snapshot()).uids.length, MESSAGES)
    // That snapshot was packed; calls are served in their order.
    const first = await calls.begin({ mailbox })
    assert.equal(columnsOfPacked(first.packed ?? assert.fail()).uids.length, MESSAGES)
    assert.equal(first.changes.columns.uids.length, 0)
    await inbox.store([3, 4, 5, 8999], { action: 'set', flags: ['\\Deleted', 'kept'] })
    await inbox.expunge([4])
    await house.open().append('INBOX', [{ bytes: message('last'), flags: ['\\Seen'], zone: -330 }])
    await same()
    assert.deepEqual((await anew()).zones.at(-1), -330)
    assert.equal((await calls.begin({ mailbox })).packed?.kept.modseq, first.packed?.kept.modseq)
    // A STORE to everything leaves the packed columns as they are: the flags are read into them.
    const all = [...(await inbox.snapshot()).uids]
    const { highestModseq } = await inbox.store(all, { action: 'add', flags: ['\\Flagged'] })
    const { packed, changes } = await calls.begin({ mailbox })
    assert.equal(packed?.kept.modseq, first.packed?.kept.modseq)
    assert.deepEqual(
      columnsOfPacked(packed ?? assert.fail()).modseqs.filter((modseq) => modseq !== highestModseq).length,
      1,
      'all but the message that was expunged',
    )
    assert.deepEqual([...changes.columns.modseqs], [highestModseq], 'and the message that came since')
    await same()
    // Trimmed history: the packed columns would bring the expunged message back.
    await inbox.expunge([3])
    house.clock.turn(9 * 86_400_000)
    await house.mailboxes.sweep('anna')
    assert.equal((await calls.begin({ mailbox })).packed, undefined)
    const after = await anew()
    assert.equal(after.uids.includes(3), false)
    assert.equal(after.uids.length, MESSAGES - 1)
    await same()
    // RENAME of INBOX takes every page of it along.
    await house.open().rename('INBOX', 'all of it')
    const moved = await (await house.open().open('all of it')).snapshot()
    assert.deepEqual([moved.uids.length, moved.uids.at(-1)], [MESSAGES - 1, MESSAGES - 1])
    assert.equal((await inbox.snapshot()).uids.length, 0)
    assert.equal((await inbox.delta(after.highestModseq)).vanished.length, MESSAGES - 1)
  } finally {
    await house.close()
  }
})

test('what came lately is packed behind the rest, which is not written again for it', async () => {
  const house = await openHouse()
  try {
    await filled(house)
    const inbox = await house.open().open('INBOX')
    const calls = house.store.account(mailStore, 'anna')
    const { id: mailbox } = await calls.find({ name: 'INBOX' })
    const snapshots = new Snapshots(house.scope, 1e9, new News(house.store.bus))
    const look = (): Promise<MailboxSnapshot> => snapshots.snapshot('anna', calls, mailbox)
    const come = async (count: number): Promise<void> => {
      const messages = Array.from({ length: count }, (_, i) => ({ bytes: message(`late ${i}`), flags: ['\\Seen'] }))
      await house.open().append('INBOX', messages)
      await look()
      house.clock.turn(3000)
    }
    const same = async (): Promise<void> => {
      const anew = new Snapshots(house.scope, 1, new News(house.store.bus)).snapshot('anna', calls, mailbox)
      assert.deepEqual(rowsOf(await anew), rowsOf(await inbox.snapshot()))
    }
    await look()
    const first = (await calls.begin({ mailbox })).packed?.kept
    assert.deepEqual(first?.behind, 0)
    // A few are left to be read row by row.
    await come(60)
    assert.deepEqual((await calls.begin({ mailbox })).packed?.kept, first)
    await come(10)
    const { packed, changes } = await calls.begin({ mailbox })
    assert.deepEqual(packed?.kept, { ...first, behind: 70 })
    assert.equal(changes.columns.uids.length, 0)
    await same()
    // They are flagged, they go, and others come behind them.
    await inbox.store([MESSAGES + 1, MESSAGES + 2, 7], { action: 'set', flags: ['\\Deleted', 'kept'] })
    await inbox.expunge([MESSAGES + 2, 7])
    await same()
    await come(70)
    assert.deepEqual((await calls.begin({ mailbox })).packed?.kept, { ...first, behind: 139 })
    await same()
    // Some hundreds are worth packing everything.
    await come(400)
    const last = (await calls.begin({ mailbox })).packed?.kept
    assert.deepEqual([last?.behind, last?.uidNext], [0, MESSAGES + 541])
    await same()
  } finally {
    await house.close()
  }
})

test('more changes than one answer holds come whole, even while others make more', async () => {
  const house = await openHouse()
  try {
    await filled(house)
    const inbox = await house.open().open('INBOX')
    const since = (await inbox.snapshot()).highestModseq
    const state = rowsOf(await inbox.snapshot())
    const uids = [...state.keys()]
    await inbox.store(uids, { action: 'add', flags: ['\\Deleted'] })
    await inbox.expunge(uids.filter((uid) => uid % 3 === 0))
    const [delta] = await Promise.all([
      inbox.delta(since),
      inbox.store([1, 4, 8998], { action: 'set', flags: ['late'] }),
      inbox.expunge([2, 5, 8999]),
      house.open().append('INBOX', [{ bytes: message('new'), flags: [] }]),
    ])
    for (const uid of delta.vanished) state.delete(uid)
    for (const row of delta.changed) {
      assert.ok(row.modseq > since && row.modseq <= delta.highestModseq)
      state.set(row.uid, `${row.flags.join()} ${row.modseq}`)
    }
    const rest = await inbox.delta(delta.highestModseq)
    for (const uid of rest.vanished) state.delete(uid)
    for (const row of rest.changed) state.set(row.uid, `${row.flags.join()} ${row.modseq}`)
    assert.deepEqual(
      [...state].sort((a, b) => a[0] - b[0]),
      [...rowsOf(await inbox.snapshot())],
    )
    assert.equal(state.size, MESSAGES - MESSAGES / 3 - 3 + 1)
  } finally {
    await house.close()
  }
})

test('history that is trimmed while a large change is read brings nothing back; a modseq that never was is not caught up from', async () => {
  const house = await openHouse()
  try {
    await filled(house)
    const inbox = await house.open().open('INBOX')
    const calls = house.store.account(mailStore, 'anna')
    const { id: mailbox } = await calls.find({ name: 'INBOX' })
    let swept = 0
    /** History goes just before the pages of it are read. */
    const vanishedPage: MailCalls['vanishedPage'] = async (order) => {
      if (swept++ === 0) {
        house.clock.turn(9 * 86_400_000)
        await house.mailboxes.sweep('anna')
      }
      return calls.vanishedPage(order)
    }
    const trimmed = Object.create(calls, { vanishedPage: { value: vanishedPage } }) as MailCalls
    const snapshots = new Snapshots(house.scope, 1e9, new News(house.store.bus))
    const { uids, highestModseq } = await snapshots.snapshot('anna', calls, mailbox)
    await inbox.store([3, 4], { action: 'add', flags: ['\\Deleted'] })
    await inbox.expunge([3, 4])
    await inbox.store([...uids], { action: 'add', flags: ['\\Flagged'] })
    const now = await snapshots.snapshot('anna', trimmed, mailbox)
    assert.ok(swept > 0)
    assert.deepEqual(rowsOf(now), rowsOf(await inbox.snapshot()))
    assert.equal(now.uids.includes(3), false)
    assert.equal((await inbox.delta(highestModseq)).complete, false)
    // As a client remembers it whose account was restored from a backup.
    const future = await inbox.delta(now.highestModseq + 1000)
    assert.deepEqual([future.complete, future.changed.length], [false, MESSAGES - 2])
  } finally {
    await house.close()
  }
})
