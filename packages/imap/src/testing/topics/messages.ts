// Messages: APPEND, rows, counts, octets.

import assert from 'node:assert/strict'
import { type Kit, refused } from '../kit.ts'
import { add, ascending, message, put, rows, text } from '../mail.ts'

export function messages(kit: Kit): void {
  kit.story('append answers UIDs in order, and the snapshot shows the rows', async (account) => {
    const date = Date.UTC(2020, 1, 3, 4, 5, 6)
    const before = await account.status('INBOX')
    const bytes = [message('a'), message('b', 'x\r\n'.repeat(100))]
    const result = await account.append('INBOX', [
      { bytes: bytes[0] as Uint8Array, flags: ['\\Seen', '$Forwarded'], internalDate: date },
      { bytes: bytes[1] as Uint8Array, flags: [] },
    ])
    assert.equal(result.uidValidity, before.uidValidity)
    assert.equal(result.uids.length, 2)
    assert.ok(ascending(result.uids) && (result.uids[0] ?? 0) >= before.uidNext)
    const mailbox = await account.open('INBOX')
    assert.equal(mailbox.uidValidity, result.uidValidity)
    const snapshot = await mailbox.snapshot()
    assert.deepEqual([...snapshot.uids], result.uids)
    assert.ok(snapshot.uidNext > (result.uids[1] ?? 0))
    assert.deepEqual(
      [...snapshot.sizes],
      bytes.map((one) => one.length),
    )
    assert.equal(snapshot.internalDates[0], date)
    const flagsOf = (i: number): string[] => [...(snapshot.flagSets[snapshot.flags[i] ?? -1] ?? [])].sort()
    assert.deepEqual(flagsOf(0), ['$Forwarded', '\\Seen'])
    assert.deepEqual(flagsOf(1), [])
    assert.ok(snapshot.highestModseq > before.highestModseq)
    for (const uid of result.uids) {
      assert.equal(text(await mailbox.raw(uid)), text(bytes[result.uids.indexOf(uid)]))
    }
    assert.ok((await mailbox.keywords()).includes('$Forwarded'))
  })

  kit.story('append is all or nothing', async (account) => {
    await refused(account.append('kit-missing', [{ bytes: message('x'), flags: [] }]), 'TRYCREATE')
    assert.ok(account.appendLimit > 0)
    if (account.appendLimit <= 1 << 26) {
      const big = new Uint8Array(account.appendLimit + 1).fill(0x61)
      await refused(
        account.append('INBOX', [
          { bytes: message('small'), flags: [] },
          { bytes: big, flags: [] },
        ]),
        'TOOBIG',
        'LIMIT',
        'OVERQUOTA',
      )
    }
    assert.equal((await account.status('INBOX')).messages, 0)
  })

  kit.story('UIDs only grow, also when the newest message was expunged', async (account) => {
    const mailbox = await account.open('INBOX')
    let last = 0
    for (let round = 0; round < 4; round++) {
      const uid = await add(account, 'INBOX', `round ${round}`, ['\\Deleted'])
      assert.ok(uid > last)
      last = uid
      assert.deepEqual((await mailbox.expunge([uid])).uids, [uid])
      assert.ok((await mailbox.snapshot()).uidNext > last)
    }
  })

  kit.story('appends from several sessions at once get UIDs of their own', async (account, under) => {
    const other = await under.open()
    const uids = await Promise.all(
      Array.from({ length: 20 }, (_, i) => add(i % 2 === 0 ? account : other, 'INBOX', `at once ${i}`)),
    )
    assert.equal(new Set(uids).size, 20)
    const snapshot = await (await account.open('INBOX')).snapshot()
    assert.deepEqual(
      [...snapshot.uids],
      [...uids].sort((a, b) => a - b),
    )
    other.close()
  })

  kit.story('status counts what the snapshot shows', async (account) => {
    await add(account, 'INBOX', 'a', ['\\Seen'])
    await add(account, 'INBOX', 'b', ['\\Deleted'])
    await add(account, 'INBOX', 'c', ['\\Seen', '\\Deleted'])
    const mailbox = await account.open('INBOX')
    await mailbox.store([1, 2, 3], { action: 'add', flags: ['\\Flagged'] })
    const status = await account.status('INBOX')
    const snapshot = await mailbox.snapshot()
    assert.equal(status.messages, 3)
    assert.equal(status.unseen, 1)
    assert.equal(status.deleted, 2)
    assert.equal(
      status.size,
      snapshot.sizes.reduce((sum, size) => sum + size, 0),
    )
    assert.equal(status.uidNext, snapshot.uidNext)
    assert.equal(status.uidValidity, snapshot.uidValidity)
    assert.equal(status.highestModseq, snapshot.highestModseq)
  })

  kit.story('a snapshot does not change after it was given', async (account) => {
    const uid = await add(account, 'INBOX', 'a')
    const mailbox = await account.open('INBOX')
    const snapshot = await mailbox.snapshot()
    const before = JSON.stringify([[...snapshot.uids], [...snapshot.flags], snapshot.flagSets, [...snapshot.modseqs]])
    await mailbox.store([uid], { action: 'set', flags: ['\\Seen', 'Kit'] })
    await add(account, 'INBOX', 'b')
    await mailbox.snapshot()
    assert.equal(
      JSON.stringify([[...snapshot.uids], [...snapshot.flags], snapshot.flagSets, [...snapshot.modseqs]]),
      before,
    )
  })

  kit.story('raw answers the message, a range of it, or nothing', async (account) => {
    const uid = await add(account, 'INBOX', 'ranges')
    const mailbox = await account.open('INBOX')
    const whole = text(message('ranges')) ?? ''
    assert.equal(text(await mailbox.raw(uid)), whole)
    assert.equal(text(await mailbox.raw(uid, 5, 20)), whole.slice(5, 20))
    assert.equal(text(await mailbox.raw(uid, 0, whole.length + 50)), whole)
    assert.equal(text(await mailbox.raw(uid, whole.length + 10, whole.length + 20)), '')
    assert.equal(await mailbox.raw(uid + 1000), undefined)
  })

  kit.story('rawMany answers each message, or leaves it to raw', async (account) => {
    const bytes = Array.from({ length: 40 }, (_, i) => message(`n${i}`, 'x'.repeat(i % 7 === 3 ? 9000 : i * 30)))
    const large = new Uint8Array(Math.min(400_000, account.appendLimit)).fill(32)
    large.set(message('large', ''))
    bytes[20] = large
    const { uids } = await account.append(
      'INBOX',
      bytes.map((one) => ({ bytes: one, flags: [] })),
    )
    const mailbox = await account.open('INBOX')
    if (mailbox.rawMany === undefined) return
    const gone = uids.slice(5, 8)
    await mailbox.store(gone, { action: 'add', flags: ['\\Deleted'] })
    await mailbox.expunge(gone)
    const asked = [...uids.filter((_, i) => i % 3 !== 1), (uids.at(-1) ?? 0) + 1000]
    const many = await mailbox.rawMany(asked)
    assert.equal(many.length, asked.length)
    for (const [i, uid] of asked.entries()) {
      const found = many[i]
      if (found === undefined) assert.ok(gone.includes(uid) || uid === uids[20] || uid > (uids.at(-1) ?? 0))
      else assert.ok(Buffer.compare(found, bytes[uids.indexOf(uid)] ?? new Uint8Array()) === 0, `message ${uid}`)
    }
    assert.ok(many.filter((one) => one !== undefined).length > 20)
  })

  kit.story('a message longer than any inline row comes back octet for octet', async (account) => {
    const size = Math.min(900_000, account.appendLimit)
    const bytes = new Uint8Array(size)
    bytes.set(message('large', ''))
    for (let i = 400; i < size; i++) bytes[i] = i % 76 === 74 ? 13 : i % 76 === 75 ? 10 : 32 + ((i * 7) % 90)
    const { uids } = await account.append('INBOX', [{ bytes, flags: [] }])
    const mailbox = await account.open('INBOX')
    const raw = await mailbox.raw(uids[0] ?? 0)
    assert.ok(raw !== undefined && Buffer.compare(raw, bytes) === 0)
    const range = await mailbox.raw(uids[0] ?? 0, 300_000, 600_001)
    assert.ok(range !== undefined && Buffer.compare(range, bytes.subarray(300_000, 600_001)) === 0)
  })

  kit.story('INTERNALDATE keeps its moment and its zone', async (account) => {
    const dates = [
      [Date.UTC(2020, 1, 29, 23, 59, 59), 330],
      [Date.UTC(1994, 5, 6, 7, 8, 9), -720],
      [Date.UTC(2037, 11, 31, 12, 0, 0), 840],
      [Date.UTC(1971, 0, 1), -1],
      [Date.UTC(2026, 10, 26, 1, 2, 3), 0],
    ] as const
    const { uids } = await account.append(
      'INBOX',
      dates.map(([internalDate, zone]) => ({ bytes: message('dated'), flags: [], internalDate, zone })),
    )
    await account.create('kit-to')
    const mailbox = await account.open('INBOX')
    const seen = async (where: string): Promise<unknown> =>
      (await rows(await account.open(where))).map((row) => [row.internalDate, row.zone])
    assert.deepEqual(await seen('INBOX'), dates)
    await mailbox.copy(uids, 'kit-to')
    assert.deepEqual(await seen('kit-to'), dates)
    await mailbox.store(uids, { action: 'add', flags: ['\\Seen'] })
    assert.deepEqual(await seen('INBOX'), dates)
    const undated = await put(account, 'INBOX', { bytes: message('undated'), flags: [] })
    const row = (await rows(mailbox)).find((one) => one.uid === undated)
    assert.equal(row?.zone, 0)
    assert.ok(Number.isInteger(row.internalDate) && row.internalDate >= 0)
  })

  kit.story('the size of every message is what raw answers, and status counts it', async (account) => {
    const bodies = [
      '',
      'x',
      'line\r\n',
      'no end of line',
      'a\r\n\r\n\r\n',
      'caf\xe9 \xff\x80\r\n',
      '.\r\n..\r\n',
      'From here\r\n',
      'bare\nline\nends\n',
      `${'y'.repeat(5000)}\r\n`,
    ]
    const { uids } = await account.append(
      'INBOX',
      bodies.map((body, i) => ({
        bytes: Buffer.from(`Subject: ${i}\r\n\r\n${body}`, 'latin1'),
        flags: i % 3 === 0 ? ['\\Deleted'] : [],
      })),
    )
    const mailbox = await account.open('INBOX')
    let size = 0
    let deletedSize = 0
    for (const [i, row] of (await rows(mailbox)).entries()) {
      const raw = await mailbox.raw(row.uid)
      assert.equal(row.size, raw?.length, `message ${i}`)
      // Line ends may have been made CRLF; octets otherwise stay.
      assert.equal(text(raw)?.replaceAll('\r\n', '\n'), `Subject: ${i}\n\n${bodies[i]?.replaceAll('\r\n', '\n')}`)
      size += row.size
      if (row.flags.includes('\\Deleted')) deletedSize += row.size
    }
    const status = await account.status('INBOX')
    assert.deepEqual([status.size, status.deletedSize], [size, deletedSize])
    await mailbox.expunge(uids)
    const left = await account.status('INBOX')
    assert.deepEqual([left.size, left.deletedSize, left.deleted], [size - deletedSize, 0, 0])
  })

  kit.story('octets given to append belong to the caller again when it is done', async (account) => {
    const bytes = Buffer.from(message('mine'))
    const uid = await put(account, 'INBOX', { bytes, flags: [] })
    bytes.fill(0x21)
    assert.equal(text(await (await account.open('INBOX')).raw(uid)), text(message('mine')))
  })

  kit.story('hundreds of messages in one append', async (account) => {
    const { uids } = await account.append(
      'INBOX',
      Array.from({ length: 400 }, (_, i) => ({ bytes: message(`n${i}`), flags: i % 2 === 0 ? ['\\Seen'] : [] })),
    )
    assert.equal(uids.length, 400)
    assert.ok(ascending(uids))
    const mailbox = await account.open('INBOX')
    const all = await rows(mailbox)
    assert.deepEqual(
      all.map((row) => row.uid),
      uids,
    )
    assert.equal(all.filter((row) => row.flags.includes('\\Seen')).length, 200)
    assert.equal(new Set(all.map((row) => row.modseq)).size, 1, 'one transaction, one mod-sequence')
    assert.equal(text(await mailbox.raw(uids[399] ?? 0)), text(message('n399')))
    assert.equal((await account.status('INBOX')).unseen, 200)
  })
}
