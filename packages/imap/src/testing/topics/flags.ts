// Flags, keywords and expunge.

import assert from 'node:assert/strict'
import { BackendError, type FlagChange } from '../../backend.ts'
import { type Kit } from '../kit.ts'
import { add, flagsOf, message, metas, model, put, rows, text } from '../mail.ts'

export function flags(kit: Kit): void {
  kit.story('store sets, adds and removes flags; keywords keep their first spelling', async (account) => {
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

  kit.story('a store that changes nothing answers the row with its old modseq', async (account) => {
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

  kit.story('unchangedSince spares what changed since', async (account) => {
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

  kit.story('two sessions change different flags of one message, and both stay', async (account, under) => {
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

  kit.story(
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

  kit.story('set, add and remove do what sets do', async (account) => {
    const sets = [
      [],
      ['\\Seen'],
      ['\\Seen', '\\Flagged'],
      ['KitA'],
      ['KitA', '\\Draft'],
      ['KitA', 'KitB', '\\Seen'],
      ['\\Answered', '\\Deleted', '\\Draft', '\\Flagged', '\\Seen'],
    ]
    const actions: readonly FlagChange['action'][] = ['set', 'add', 'remove']
    const cases = sets.flatMap((before) =>
      sets.flatMap((flags) => actions.map((action) => ({ before, flags, action }))),
    )
    const { uids } = await account.append(
      'INBOX',
      cases.map(({ before }) => ({ bytes: message('case'), flags: before })),
    )
    const mailbox = await account.open('INBOX')
    for (const action of actions) {
      for (const flags of sets) {
        const these = uids.filter((_, i) => cases[i]?.action === action && cases[i].flags === flags)
        const result = await mailbox.store(these, { action, flags })
        assert.deepEqual(
          result.rows.map((row) => row.uid),
          these,
        )
      }
    }
    for (const [i, row] of (await rows(mailbox)).entries()) {
      const { before, flags, action } = cases[i] ?? { before: [], flags: [], action: 'set' }
      const expected =
        action === 'set'
          ? flags
          : action === 'add'
            ? [...new Set([...before, ...flags])]
            : before.filter((flag) => !flags.includes(flag))
      assert.deepEqual([...row.flags].sort(), [...expected].sort(), `${before.join(' ')} ${action} ${flags.join(' ')}`)
    }
  })

  kit.story('UIDs may come in any order, twice, or not exist', async (account) => {
    const uids = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b'), await add(account, 'INBOX', 'c')]
    const mailbox = await account.open('INBOX')
    const before = (await mailbox.snapshot()).highestModseq
    const [a = 0, b = 0, c = 0] = uids
    const result = await mailbox.store([c, 70_000, a, c, 0xffffffff, a], { action: 'add', flags: ['\\Seen'] })
    assert.deepEqual(
      result.rows.map((row) => row.uid),
      [a, c],
    )
    assert.ok(result.rows.every((row) => row.modseq > before && row.modseq === result.highestModseq))
    const none = await mailbox.store([70_000], { action: 'add', flags: ['\\Seen'] })
    assert.deepEqual([none.rows, none.modified, none.highestModseq], [[], [], result.highestModseq])
    assert.deepEqual(await flagsOf(mailbox, b), [])
    assert.deepEqual((await mailbox.expunge([70_000])).uids, [])
  })

  kit.story('every change takes a higher mod-sequence, and only what changed gets it', async (account) => {
    const uids = [await add(account, 'INBOX', 'a'), await add(account, 'INBOX', 'b')]
    const mailbox = await account.open('INBOX')
    let last = (await mailbox.snapshot()).highestModseq
    for (const flags of [['\\Seen'], ['\\Flagged', 'Kit'], ['\\Deleted']]) {
      const quiet = (await rows(mailbox))[1]?.modseq
      const { highestModseq } = await mailbox.store(uids.slice(0, 1), { action: 'add', flags })
      assert.ok(highestModseq > last)
      last = highestModseq
      const now = await rows(mailbox)
      assert.deepEqual([now[0]?.modseq, now[1]?.modseq], [highestModseq, quiet])
      assert.equal((await account.status('INBOX')).highestModseq, highestModseq)
    }
    const { highestModseq } = await mailbox.expunge(uids)
    assert.ok(highestModseq > last)
  })

  kit.story('keywords differ by more than case, at append too', async (account) => {
    const a = await put(account, 'INBOX', { bytes: message('a'), flags: ['KitCase', 'kitcase', '\\Seen', '\\Seen'] })
    const b = await put(account, 'INBOX', { bytes: message('b'), flags: ['KITCASE'] })
    const mailbox = await account.open('INBOX')
    assert.deepEqual(await flagsOf(mailbox, a), ['KitCase', '\\Seen'])
    assert.deepEqual(await flagsOf(mailbox, b), ['KitCase'])
    const result = await mailbox.store([a, b], { action: 'add', flags: ['kitCASE'] })
    assert.deepEqual(
      result.rows.map((row) => row.modseq === result.highestModseq),
      [false, true],
    )
  })

  kit.story('many keywords are kept, or refused with LIMIT: never lost in silence', async (account) => {
    const uid = await add(account, 'INBOX', 'a')
    const mailbox = await account.open('INBOX')
    const kept: string[] = []
    for (let i = 0; i < 140; i++) {
      try {
        await mailbox.store([uid], { action: 'add', flags: [`kit-keyword-${i}`] })
        kept.push(`kit-keyword-${i}`)
      } catch (error) {
        assert.ok(error instanceof BackendError && error.code === 'LIMIT', String(error))
        break
      }
    }
    assert.ok(kept.length >= 20, `${kept.length} keywords`)
    assert.deepEqual(await flagsOf(mailbox, uid), kept.toSorted())
    const known = await mailbox.keywords()
    assert.ok(kept.every((keyword) => known.includes(keyword)))
  })
}
