// What every mail store behind this server promises, as tests: the contract of `backend.ts` and nothing beyond it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  BackendError,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type MessageMeta,
  type MetaField,
} from '../backend.ts'

/** One user whose mail is empty (INBOX exists; other mailboxes may). */
export interface BackendUnderTest {
  /** Opens the account as one more session does. */
  open(): Promise<MailAccount>
  /** Frees everything. Called once, after the accounts were closed. */
  close?(): Promise<void> | void
}

const message = (subject: string, body = 'Hello\r\n'): Uint8Array =>
  Buffer.from(
    `From: Anna <anna@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: ${subject}\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\n` +
      `Message-ID: <${subject.replace(/\W/g, '')}@example.org>\r\nContent-Type: text/plain\r\n\r\n${body}`,
  )

/** Rejects with a BackendError of one of these codes. */
async function refused(promise: Promise<unknown>, ...codes: string[]): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof BackendError, `a BackendError, not ${String(error)}`)
    assert.ok(codes.includes(error.code ?? ''), `code ${codes.join(' or ')}, not ${error.code} (${error.message})`)
    assert.notEqual(error.message, '')
    return true
  })
}

/** UID → flags, modseq, size: a mailbox as a plain map. */
type Model = Map<number, string>

const rowText = (flags: readonly string[], modseq: number, size: number, date: number): string =>
  `${[...flags].sort().join(' ')} ${modseq} ${size} ${date}`

async function model(mailbox: Mailbox): Promise<Model> {
  const snapshot = await mailbox.snapshot()
  const out: Model = new Map()
  snapshot.uids.forEach((uid, i) => {
    const flags = snapshot.flagSets[snapshot.flags[i] ?? -1]
    assert.ok(flags !== undefined, 'flags[i] indexes flagSets')
    out.set(uid, rowText(flags, snapshot.modseqs[i] ?? 0, snapshot.sizes[i] ?? 0, snapshot.internalDates[i] ?? 0))
  })
  return out
}

async function metas(mailbox: Mailbox, uids: readonly number[], fields: readonly MetaField[]): Promise<MessageMeta[]> {
  const out: MessageMeta[] = []
  for await (const batch of mailbox.meta(uids, fields)) out.push(...batch)
  return out
}

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1')
const ascending = (list: readonly number[]): boolean => list.every((value, i) => i === 0 || value > (list[i - 1] ?? 0))

/** Declares the tests of the backend contract (node:test) for one store. `factory` makes a fresh user for every test. */
export function testBackend(name: string, factory: () => Promise<BackendUnderTest> | BackendUnderTest): void {
  const story = (title: string, body: (account: MailAccount, under: BackendUnderTest) => Promise<void>): void => {
    test(title, { timeout: 20_000 }, async () => {
      const under = await factory()
      const account = await under.open()
      try {
        await body(account, under)
      } finally {
        account.close()
        await under.close?.()
      }
    })
  }
  const find = async (account: MailAccount, mailbox: string): Promise<MailboxEntry | undefined> =>
    (await account.list()).find((entry) => entry.name === mailbox)
  const add = async (
    account: MailAccount,
    mailbox: string,
    subject: string,
    flags: readonly string[] = [],
    internalDate?: number,
  ): Promise<number> => {
    const result = await account.append(mailbox, [
      { bytes: message(subject), flags, ...(internalDate === undefined ? {} : { internalDate }) },
    ])
    return result.uids[0] ?? 0
  }

  describe(`${name}: mailboxes`, () => {
    story('INBOX is there from the start and cannot be made or deleted', async (account) => {
      const inbox = await find(account, 'INBOX')
      assert.equal(inbox?.selectable, true)
      assert.equal(inbox?.role, 'Inbox')
      assert.match(inbox?.id ?? '', /^[A-Za-z0-9_-]{1,255}$/)
      await refused(account.create('INBOX'), 'ALREADYEXISTS', 'CANNOT')
      await refused(account.delete('INBOX'), 'CANNOT')
    })

    story('create makes the mailbox and its missing parents', async (account) => {
      const entry = await account.create('Kit Ä/Sub/Leaf')
      assert.equal(entry.name, 'Kit Ä/Sub/Leaf'.normalize('NFC'))
      assert.equal(entry.selectable, true)
      assert.equal(entry.role, undefined)
      assert.equal((await find(account, entry.name))?.id, entry.id)
      assert.ok((await find(account, 'Kit Ä/Sub')) !== undefined)
      assert.ok((await find(account, 'Kit Ä')) !== undefined)
      await refused(account.create('Kit Ä/Sub/Leaf'), 'ALREADYEXISTS')
      await refused(account.create('Kit Ä/'), 'CANNOT')
      await refused(account.create('Kit Ä//Leaf'), 'CANNOT')
      await refused(account.create(''), 'CANNOT')
    })

    story('a role belongs to one mailbox', async (account) => {
      const taken = new Set((await account.list()).map((entry) => entry.role))
      const role = (['Archive', 'Sent', 'Drafts', 'Junk', 'Trash'] as MailboxRole[]).find((one) => !taken.has(one))
      const first = [...taken].find((one) => one !== undefined && one !== 'Inbox')
      if (role !== undefined) {
        assert.equal((await account.create('kit-role', role)).role, role)
        assert.equal((await find(account, 'kit-role'))?.role, role)
        await refused(account.create('kit-role-2', role), 'USEATTR')
      } else {
        await refused(account.create('kit-role-2', first), 'USEATTR')
      }
      assert.equal(await find(account, 'kit-role-2'), undefined)
    })

    story('delete leaves the children, and ends what is open', async (account, under) => {
      const parent = await account.create('kit-top')
      const child = await account.create('kit-top/child')
      await add(account, 'kit-top/child', 'one')
      const other = await under.open()
      const open = await other.open('kit-top')
      await account.delete('kit-top')
      const left = await find(account, 'kit-top')
      assert.notEqual(left?.selectable, true)
      assert.equal((await find(account, 'kit-top/child'))?.id, child.id)
      assert.equal((await account.status('kit-top/child')).messages, 1)
      await refused(open.snapshot(), 'NONEXISTENT')
      await refused(open.delta(0), 'NONEXISTENT')
      await refused(open.store([1], { action: 'add', flags: ['\\Seen'] }), 'NONEXISTENT')
      await refused(open.copy([1], 'INBOX'), 'NONEXISTENT')
      await refused(account.status('kit-top'), 'NONEXISTENT')
      await refused(account.open('kit-top'), 'NONEXISTENT')
      await refused(account.delete('kit-never'), 'NONEXISTENT')
      const again = await account.create('kit-top')
      assert.notEqual(again.id, parent.id)
      // The open mailbox is the old one, never the new one of the same name.
      await refused(open.snapshot(), 'NONEXISTENT')
      other.close()
    })

    story('a mailbox made again has a larger UIDVALIDITY', async (account) => {
      await account.create('kit-again')
      const first = (await account.status('kit-again')).uidValidity
      await account.delete('kit-again')
      await account.create('kit-again')
      const second = (await account.status('kit-again')).uidValidity
      assert.ok(second > first, `${second} > ${first}`)
      assert.ok(first > 0 && second <= 0xffffffff && Number.isInteger(second))
    })

    story('rename takes the children along and keeps the identity', async (account) => {
      const a = await account.create('kit-a')
      const child = await account.create('kit-a/child')
      await account.create('kit-b')
      await add(account, 'kit-a', 'moved with its mailbox')
      const open = await account.open('kit-a')
      await refused(account.rename('kit-a', 'kit-b'), 'ALREADYEXISTS')
      await refused(account.rename('kit-a', 'kit-a/child/deeper'), 'CANNOT')
      await refused(account.rename('kit-none', 'kit-c'), 'NONEXISTENT')
      await account.rename('kit-a', 'kit-new/c')
      assert.notEqual((await find(account, 'kit-a'))?.selectable, true)
      assert.equal((await find(account, 'kit-new/c'))?.id, a.id)
      assert.equal((await find(account, 'kit-new/c/child'))?.id, child.id)
      assert.equal((await account.status('kit-new/c')).messages, 1)
      assert.equal((await open.snapshot()).uids.length, 1)
    })

    story('rename of INBOX moves its messages and leaves INBOX', async (account) => {
      await add(account, 'INBOX', 'goes along', ['\\Seen', 'Kitword'])
      await account.create('INBOX/kit-child')
      await account.rename('INBOX', 'kit-old')
      assert.equal((await account.status('INBOX')).messages, 0)
      const moved = await account.open('kit-old')
      assert.equal((await moved.snapshot()).uids.length, 1)
      assert.match([...(await model(moved)).values()][0] ?? '', /Kitword \\Seen|\\Seen Kitword/)
      assert.ok((await find(account, 'INBOX/kit-child')) !== undefined)
      assert.ok((await add(account, 'INBOX', 'later')) > 1)
    })

    story('a subscription is a name that outlives its mailbox', async (account) => {
      await account.create('kit-sub')
      await account.subscribe('kit-sub', true)
      assert.equal((await find(account, 'kit-sub'))?.subscribed, true)
      await account.delete('kit-sub')
      const left = await find(account, 'kit-sub')
      assert.equal(left?.subscribed, true)
      assert.equal(left?.selectable, false)
      assert.equal(left?.id, '')
      await account.subscribe('kit-sub', false)
      assert.equal(await find(account, 'kit-sub'), undefined)
    })
  })

  describe(`${name}: messages`, () => {
    story('append answers UIDs in order, and the snapshot shows the rows', async (account) => {
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

    story('append is all or nothing', async (account) => {
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

    story('UIDs only grow, also when the newest message was expunged', async (account) => {
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

    story('appends from several sessions at once get UIDs of their own', async (account, under) => {
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

    story('status counts what the snapshot shows', async (account) => {
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

    story('a snapshot does not change after it was given', async (account) => {
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

    story('raw answers the message, a range of it, or nothing', async (account) => {
      const uid = await add(account, 'INBOX', 'ranges')
      const mailbox = await account.open('INBOX')
      const whole = text(message('ranges')) ?? ''
      assert.equal(text(await mailbox.raw(uid)), whole)
      assert.equal(text(await mailbox.raw(uid, 5, 20)), whole.slice(5, 20))
      assert.equal(text(await mailbox.raw(uid, 0, whole.length + 50)), whole)
      assert.equal(text(await mailbox.raw(uid, whole.length + 10, whole.length + 20)), '')
      assert.equal(await mailbox.raw(uid + 1000), undefined)
    })

    story('a message longer than any inline row comes back octet for octet', async (account) => {
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

    story('meta answers what was asked, ascending, and passes over the unknown', async (account) => {
      for (let i = 0; i < 5; i++) await add(account, 'INBOX', `meta ${i}`)
      const mailbox = await account.open('INBOX')
      const uids = [...(await mailbox.snapshot()).uids]
      const found = await metas(mailbox, [...uids, 4_000_000], ['envelope', 'header', 'bodyStructure', 'body'])
      assert.deepEqual(
        found.map((meta) => meta.uid),
        uids,
      )
      for (const [i, meta] of found.entries()) {
        assert.match(text(meta.envelope) ?? '', new RegExp(`^\\(.*"meta ${i}".*\\)$`, 's'))
        assert.match(text(meta.bodyStructure) ?? '', /^\("TEXT" "PLAIN".*\)$/is)
        assert.match(text(meta.body) ?? '', /^\("TEXT" "PLAIN".*\)$/is)
        assert.equal(text(meta.header), (text(message(`meta ${i}`)) ?? '').replace(/Hello\r\n$/, ''))
      }
      const [only] = await metas(mailbox, uids.slice(0, 1), ['header'])
      assert.equal(only?.envelope, undefined)
    })
  })

  describe(`${name}: changes`, () => {
    story('store sets, adds and removes flags; keywords keep their first spelling', async (account) => {
      const uids = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b', ['\\Flagged'])]
      const mailbox = await account.open('INBOX')
      const flags = async (): Promise<string[][]> => {
        const snapshot = await mailbox.snapshot()
        return [...snapshot.flags].map((at) => [...(snapshot.flagSets[at] ?? [])].sort())
      }
      await mailbox.store(uids, { action: 'add', flags: ['\\Seen', 'KitWord'] })
      assert.deepEqual(await flags(), [
        ['KitWord', '\\Seen'],
        ['KitWord', '\\Flagged', '\\Seen'],
      ])
      await mailbox.store(uids.slice(0, 1), { action: 'remove', flags: ['\\Seen', 'kitword'] })
      assert.deepEqual(await flags(), [[], ['KitWord', '\\Flagged', '\\Seen']])
      const result = await mailbox.store(uids, { action: 'set', flags: ['kitWORD', '\\Draft'] })
      assert.deepEqual(await flags(), [
        ['KitWord', '\\Draft'],
        ['KitWord', '\\Draft'],
      ])
      assert.deepEqual(
        result.rows.map((row) => row.uid),
        uids,
      )
      assert.deepEqual(
        result.rows.map((row) => [...row.flags].sort()),
        [
          ['KitWord', '\\Draft'],
          ['KitWord', '\\Draft'],
        ],
      )
      assert.ok(result.rows.every((row) => row.modseq <= result.highestModseq))
      assert.equal(result.highestModseq, (await mailbox.snapshot()).highestModseq)
    })

    story('a store that changes nothing answers the row with its old modseq', async (account) => {
      const uid = await add(account, 'INBOX', 'a', ['\\Seen'])
      const mailbox = await account.open('INBOX')
      const before = await mailbox.snapshot()
      const result = await mailbox.store([uid, uid + 500], { action: 'add', flags: ['\\Seen'] })
      assert.deepEqual(
        result.rows.map((row) => [row.uid, row.modseq]),
        [[uid, before.modseqs[0]]],
      )
      assert.deepEqual(result.modified, [])
    })

    story('unchangedSince spares what changed since', async (account) => {
      const uids = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b')]
      const mailbox = await account.open('INBOX')
      const seen = (await mailbox.snapshot()).highestModseq
      await mailbox.store(uids.slice(0, 1), { action: 'add', flags: ['\\Answered'] })
      const result = await mailbox.store(uids, { action: 'add', flags: ['\\Deleted'] }, seen)
      assert.deepEqual(result.modified, uids.slice(0, 1))
      assert.deepEqual(
        result.rows.map((row) => row.uid),
        uids.slice(1),
      )
      const rows = [...(await model(mailbox)).values()]
      assert.match(rows[0] ?? '', /^\\Answered \d/)
      assert.match(rows[1] ?? '', /^\\Deleted \d/)
      assert.deepEqual((await mailbox.store(uids, { action: 'add', flags: ['\\Draft'] }, 0)).modified, uids)
    })

    story('two sessions change different flags of one message, and both stay', async (account, under) => {
      const uid = await add(account, 'INBOX', 'a', ['\\Seen'])
      const other = await under.open()
      const [one, two] = [await account.open('INBOX'), await other.open('INBOX')]
      await Promise.all([
        one.store([uid], { action: 'add', flags: ['\\Answered'] }),
        two.store([uid], { action: 'remove', flags: ['\\Seen'] }),
      ])
      assert.match([...(await model(one)).values()][0] ?? '', /^\\Answered \d/)
      other.close()
    })

    story(
      'expunge removes only what is \\Deleted among the UIDs; the content stays readable for a while',
      async (account) => {
        const a = await add(account, 'INBOX', 'a', ['\\Deleted'])
        const b = await add(account, 'INBOX', 'b')
        const c = await add(account, 'INBOX', 'c', ['\\Deleted'])
        const mailbox = await account.open('INBOX')
        const before = (await mailbox.snapshot()).highestModseq
        const result = await mailbox.expunge([b, c, 999_999])
        assert.deepEqual(result.uids, [c])
        assert.ok(result.highestModseq > before)
        assert.deepEqual([...(await mailbox.snapshot()).uids], [a, b])
        assert.equal((await account.status('INBOX')).deleted, 1)
        assert.equal(text(await mailbox.raw(c)), text(message('c')))
        assert.deepEqual(
          (await metas(mailbox, [a, c], ['envelope'])).map((meta) => meta.uid),
          [a, c],
        )
      },
    )

    story('copy keeps flags, keywords and date, and pairs the UIDs', async (account) => {
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
      const row = (uid: number, from: Model): string => (from.get(uid) ?? '').replace(/ \d+ (\d+ \d+)$/, ' $1')
      const [here, there] = [await model(mailbox), await model(target)]
      assert.equal(row(result.destination[0] ?? 0, there), row(a, here))
      assert.equal(row(result.destination[1] ?? 0, there), row(b, here))
      assert.equal(text(await target.raw(result.destination[0] ?? 0)), text(message('a')))
      // The copy has a life of its own.
      await mailbox.expunge([a])
      await target.store([result.destination[0] ?? 0], { action: 'set', flags: [] })
      assert.equal(text(await target.raw(result.destination[0] ?? 0)), text(message('a')))
    })

    story('copy and move within one mailbox make new UIDs', async (account) => {
      const uid = await add(account, 'INBOX', 'a')
      const mailbox = await account.open('INBOX')
      const copied = (await mailbox.copy([uid], 'INBOX')).destination
      assert.deepEqual([...(await mailbox.snapshot()).uids], [uid, ...copied])
      const moved = (await mailbox.move([uid], 'INBOX')).destination
      assert.deepEqual([...(await mailbox.snapshot()).uids], [...copied, ...moved])
    })

    story('move: gone here, there once, in one step', async (account) => {
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

    story('delta tells new, changed and vanished', async (account) => {
      const [a, b] = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b', ['\\Deleted'])]
      const mailbox = await account.open('INBOX')
      const since = (await mailbox.snapshot()).highestModseq
      const quiet = await mailbox.delta(since)
      assert.deepEqual([quiet.changed.length, quiet.vanished.length, quiet.highestModseq], [0, 0, since])
      await mailbox.store([a], { action: 'add', flags: ['\\Seen'] })
      await mailbox.expunge([b])
      const c = await add(account, 'INBOX', 'c', ['Kit'])
      const ghost = await add(account, 'INBOX', 'ghost', ['\\Deleted'])
      await mailbox.expunge([ghost])
      const delta = await mailbox.delta(since)
      assert.equal(delta.complete, true)
      assert.deepEqual(
        delta.changed.map((row) => [row.uid, [...row.flags]]),
        [
          [a, ['\\Seen']],
          [c, ['Kit']],
        ],
      )
      assert.ok(delta.changed.every((row) => row.modseq > since && row.modseq <= delta.highestModseq))
      assert.deepEqual(
        delta.vanished.filter((uid) => uid !== ghost),
        [b],
      )
      assert.equal(delta.highestModseq, (await mailbox.snapshot()).highestModseq)
      assert.equal(delta.uidNext, (await mailbox.snapshot()).uidNext)
    })

    story('deltas replayed on an old state give the new state, whatever was done', async (account, under) => {
      await account.create('kit-other')
      const mailbox = await account.open('INBOX')
      const other = await under.open()
      const remote = await other.open('INBOX')
      // A fixed course of pseudo-random steps: the same for every store.
      let seed = 7
      const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
      const state = await model(mailbox)
      let since = (await mailbox.snapshot()).highestModseq
      for (let step = 0; step < 120; step++) {
        const uids = [...(await remote.snapshot()).uids].filter(() => random(3) === 0)
        switch (random(6)) {
          case 0:
          case 1:
            await other.append(
              'INBOX',
              Array.from({ length: 1 + random(3) }, (_, i) => ({
                bytes: message(`s${step}.${i}`),
                flags: ['\\Seen'].slice(random(2)),
              })),
            )
            break
          case 2:
            await remote.store(uids, { action: 'add', flags: [['\\Deleted', '\\Flagged', 'Kit'][random(3)] ?? 'Kit'] })
            break
          case 3:
            await remote.store(uids, { action: random(2) === 0 ? 'set' : 'remove', flags: ['\\Seen'] })
            break
          case 4:
            await remote.expunge(uids)
            break
          case 5:
            if (random(2) === 0) await remote.move(uids.slice(0, 2), 'kit-other')
            else await remote.copy(uids.slice(0, 2), 'INBOX')
        }
        if (random(3) !== 0) continue
        const delta = await mailbox.delta(since)
        assert.ok(delta.highestModseq >= since)
        assert.equal(delta.complete, true)
        assert.ok(ascending(delta.vanished) && ascending(delta.changed.map((row) => row.uid)))
        for (const uid of delta.vanished) state.delete(uid)
        for (const row of delta.changed) state.set(row.uid, rowText(row.flags, row.modseq, row.size, row.internalDate))
        since = delta.highestModseq
        assert.deepEqual(
          [...state].sort(([a], [b]) => a - b),
          [...(await model(mailbox))],
          `after step ${step}`,
        )
      }
      other.close()
    })

    story('watch tells after the commit, by mailbox, until it is stopped', async (account, under) => {
      const other = await under.open()
      const mailbox = await account.open('INBOX')
      const waiting: { test: (id: string | undefined) => boolean; resolve: () => void }[] = []
      const heard: (string | undefined)[] = []
      const stop = account.watch((id) => {
        heard.push(id)
        for (const waiter of waiting) if (waiter.test(id)) waiter.resolve()
      })
      const next = (test: (id: string | undefined) => boolean): Promise<void> =>
        new Promise((resolve) => waiting.push({ test, resolve }))
      const arrived = next((id) => id === mailbox.id)
      const uid = await add(other, 'INBOX', 'news')
      await arrived
      assert.deepEqual(
        (await mailbox.delta(0)).changed.map((row) => row.uid),
        [uid],
      )
      const listed = next((id) => id === undefined)
      await other.create('kit-watched')
      await listed
      stop()
      const count = heard.length
      const second = await under.open()
      const last = new Promise<void>((resolve) => second.watch(() => resolve()))
      await add(other, 'INBOX', 'unheard')
      await last
      assert.equal(heard.length, count)
      second.close()
      other.close()
    })

    story('recent messages are claimed once', async (account, under) => {
      const first = await add(account, 'INBOX', 'a')
      const mailbox = await account.open('INBOX')
      assert.ok((await account.status('INBOX')).recentUid <= first)
      assert.ok((await mailbox.claimRecent()).from <= first)
      const second = await add(account, 'INBOX', 'b')
      const other = await under.open()
      const remote = await other.open('INBOX')
      const claimed = await remote.claimRecent()
      assert.ok(claimed.from > first && claimed.from <= second && claimed.to > second)
      assert.ok((await mailbox.claimRecent()).from > second)
      assert.ok((await account.status('INBOX')).recentUid > second)
      other.close()
    })
  })
}
