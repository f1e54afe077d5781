// COPY, MOVE and REPLACE.

import assert from 'node:assert/strict'
import { type Kit, refused } from '../kit.ts'
import { add, ascending, find, flagsOf, message, model, type Model, put, rows, text, uidsIn } from '../mail.ts'

export function transfer(kit: Kit): void {
  kit.story('copy keeps flags, keywords and date, and pairs the UIDs', async (account) => {
    const date = Date.UTC(2021, 5, 6, 7, 8, 9)
    const a = await add(account, 'INBOX', 'a', ['\\Deleted', 'Kit'], date)
    const b = await add(account, 'INBOX', 'b', ['\\Seen'])
    await account.create('kit-to')
    const mailbox = await account.open('INBOX')
    await refused(mailbox.copy([a], 'kit-nowhere'), 'TRYCREATE')
    assert.equal(await find(account, 'kit-nowhere'), undefined)
    const result = await mailbox.copy([b, a, 77_777], 'kit-to')
    assert.deepEqual(result.source, [a, b])
    assert.equal(result.destination.length, 2)
    assert.ok(ascending(result.destination))
    const target = await account.open('kit-to')
    assert.equal(result.uidValidity, target.uidValidity)
    assert.deepEqual([...(await target.snapshot()).uids], result.destination)
    const row = (uid: number, from: Model): string => (from.get(uid) ?? '').replace(/ \d+ (\d+ \d+ \S+)$/, ' $1')
    const [here, there] = [await model(mailbox), await model(target)]
    assert.equal(row(result.destination[0] ?? 0, there), row(a, here))
    assert.equal(row(result.destination[1] ?? 0, there), row(b, here))
    assert.equal(text(await target.raw(result.destination[0] ?? 0)), text(message('a')))
    // The copy has a life of its own.
    await mailbox.expunge([a])
    await target.store([result.destination[0] ?? 0], { action: 'set', flags: [] })
    assert.equal(text(await target.raw(result.destination[0] ?? 0)), text(message('a')))
  })

  kit.story('copy and move within one mailbox make new UIDs', async (account) => {
    const uid = await add(account, 'INBOX', 'a')
    const mailbox = await account.open('INBOX')
    const copied = (await mailbox.copy([uid], 'INBOX')).destination
    assert.deepEqual([...(await mailbox.snapshot()).uids], [uid, ...copied])
    const moved = (await mailbox.move([uid], 'INBOX')).destination
    assert.deepEqual([...(await mailbox.snapshot()).uids], [...copied, ...moved])
  })

  kit.story('move: gone here, there once, in one step', async (account) => {
    const a = await add(account, 'INBOX', 'a', ['\\Flagged'])
    const b = await add(account, 'INBOX', 'b')
    await account.create('kit-to')
    const mailbox = await account.open('INBOX')
    const since = (await mailbox.snapshot()).highestModseq
    await refused(mailbox.move([a], 'kit-nowhere'), 'TRYCREATE')
    assert.equal((await mailbox.snapshot()).uids.length, 2)
    const result = await mailbox.move([a], 'kit-to')
    assert.deepEqual(result.source, [a])
    assert.deepEqual([...(await mailbox.snapshot()).uids], [b])
    assert.deepEqual((await mailbox.delta(since)).vanished, [a])
    const target = await account.open('kit-to')
    assert.deepEqual([...(await target.snapshot()).uids], result.destination)
    assert.equal(text(await target.raw(result.destination[0] ?? 0)), text(message('a')))
  })

  kit.story('many messages are copied and moved in order, any order asked', async (account) => {
    await account.create('kit-to')
    const { uids } = await account.append(
      'INBOX',
      Array.from({ length: 60 }, (_, i) => ({ bytes: message(`m${i}`), flags: i % 2 === 0 ? ['\\Seen', 'Kit'] : [] })),
    )
    const mailbox = await account.open('INBOX')
    const target = await account.open('kit-to')
    const some = uids.filter((uid) => uid % 3 !== 0)
    const copied = await mailbox.copy([...some.toReversed(), ...some], 'kit-to')
    assert.deepEqual(copied.source, some)
    const moved = await mailbox.move(some.toReversed(), 'kit-to')
    assert.deepEqual(moved.source, some)
    assert.ok((moved.destination[0] ?? 0) > (copied.destination.at(-1) ?? 0))
    for (const { source, destination } of [copied, moved]) {
      assert.ok(ascending(destination))
      for (const [i, uid] of destination.entries()) {
        const from = uids.indexOf(source[i] ?? 0)
        assert.equal(text(await target.raw(uid)), text(message(`m${from}`)))
      }
    }
    assert.deepEqual(
      await uidsIn(mailbox),
      uids.filter((uid) => uid % 3 === 0),
    )
    assert.equal((await account.status('kit-to')).messages, some.length * 2)
    // Moved away a moment ago, and not yet told to everybody.
    assert.equal(text(await mailbox.raw(some[0] ?? 0)), text(message(`m${uids.indexOf(some[0] ?? 0)}`)))
  })

  kit.story('nothing to copy or move is no failure', async (account) => {
    await account.create('kit-to')
    const mailbox = await account.open('INBOX')
    const target = await account.status('kit-to')
    for (const result of [await mailbox.copy([5, 6], 'kit-to'), await mailbox.move([], 'kit-to')]) {
      assert.deepEqual([result.source, result.destination], [[], []])
      assert.equal(result.uidValidity, target.uidValidity)
    }
    assert.equal((await account.status('kit-to')).uidNext, target.uidNext)
  })

  kit.story('both mailboxes of a transfer tell it', async (account, under) => {
    await account.create('kit-to')
    const uid = await add(account, 'INBOX', 'a')
    const other = await under.open()
    const [mailbox, target] = [await account.open('INBOX'), await account.open('kit-to')]
    const told = new Set<string | undefined>()
    let enough: () => void = () => undefined
    const both = new Promise<void>((resolve) => (enough = resolve))
    other.watch((id) => {
      told.add(id)
      if (told.has(mailbox.id) && told.has(target.id)) enough()
    })
    await mailbox.move([uid], 'kit-to')
    await both
    other.close()
  })

  kit.story('replace puts the new message in and takes the old one out in one step', async (account) => {
    await account.create('kit-to')
    const uid = await put(account, 'INBOX', { bytes: message('draft 1'), flags: ['\\Draft', '\\Seen'] })
    const keep = await add(account, 'INBOX', 'bystander')
    const mailbox = await account.open('INBOX')
    const since = (await mailbox.snapshot()).highestModseq
    const date = Date.UTC(2022, 3, 4, 5, 6, 7)
    const here = await mailbox.replace(uid, 'INBOX', {
      bytes: message('draft 2'),
      flags: ['\\Draft', 'Kit'],
      internalDate: date,
      zone: 120,
    })
    assert.equal(here.uidValidity, mailbox.uidValidity)
    const fresh = here.uids[0] ?? 0
    assert.deepEqual(await uidsIn(mailbox), [keep, fresh])
    assert.deepEqual(await flagsOf(mailbox, fresh), ['Kit', '\\Draft'])
    const row = (await rows(mailbox))[1]
    assert.deepEqual([row?.internalDate, row?.zone], [date, 120])
    const delta = await mailbox.delta(since)
    assert.deepEqual([delta.vanished, delta.changed.map((one) => one.uid)], [[uid], [fresh]])
    assert.equal(text(await mailbox.raw(uid)), text(message('draft 1')), 'the old one can still be read')
    const there = await mailbox.replace(fresh, 'kit-to', { bytes: message('sent'), flags: ['\\Seen'] })
    const target = await account.open('kit-to')
    assert.equal(there.uidValidity, target.uidValidity)
    assert.deepEqual(await uidsIn(target), there.uids)
    assert.deepEqual(await uidsIn(mailbox), [keep])
  })

  kit.story('a replace that fails leaves the old message as it was', async (account) => {
    const uid = await add(account, 'INBOX', 'old', ['\\Draft'])
    const mailbox = await account.open('INBOX')
    const before = await model(mailbox)
    await refused(mailbox.replace(uid, 'kit-nowhere', { bytes: message('new'), flags: [] }), 'TRYCREATE')
    if (account.appendLimit <= 1 << 26) {
      const big = new Uint8Array(account.appendLimit + 1).fill(0x61)
      await refused(mailbox.replace(uid, 'INBOX', { bytes: big, flags: [] }), 'TOOBIG', 'LIMIT', 'OVERQUOTA')
    }
    await refused(mailbox.replace(uid + 100, 'INBOX', { bytes: message('new'), flags: [] }), 'EXPUNGEISSUED')
    assert.deepEqual(await model(mailbox), before)
    assert.equal((await account.status('INBOX')).messages, 1)
    await mailbox.store([uid], { action: 'add', flags: ['\\Deleted'] })
    await mailbox.expunge([uid])
    await refused(mailbox.replace(uid, 'INBOX', { bytes: message('new'), flags: [] }), 'EXPUNGEISSUED')
    assert.equal((await account.status('INBOX')).messages, 0)
  })

  kit.story('of two sessions that move, expunge or replace a message, one has it', async (account, under) => {
    await account.create('kit-to')
    const other = await under.open()
    const [one, two] = [await account.open('INBOX'), await other.open('INBOX')]
    for (let round = 0; round < 6; round++) {
      const uid = await add(account, 'INBOX', `wanted ${round}`, ['\\Deleted'])
      const before = (await account.status('kit-to')).messages
      const [left, right] = await Promise.allSettled([
        one.move([uid], 'kit-to'),
        round % 3 === 0
          ? two.move([uid], 'kit-to')
          : round % 3 === 1
            ? two.expunge([uid])
            : two.replace(uid, 'kit-to', { bytes: message(`wanted ${round}`), flags: [] }),
      ])
      assert.equal((await account.status('INBOX')).messages, 0)
      const arrived = (await account.status('kit-to')).messages - before
      assert.equal(left.status, 'fulfilled')
      if (round % 3 === 0) assert.equal(arrived, 1)
      else if (round % 3 === 1) assert.ok(arrived === 1 || left.value.source.length === 0)
      else assert.equal(arrived, 1, `${right.status}`)
    }
    other.close()
  })
}
