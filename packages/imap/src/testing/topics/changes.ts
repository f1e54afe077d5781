// The change feed: deltas and watching.

import assert from 'node:assert/strict'
import type { FlagChange, MailAccount } from '../../backend.ts'
import { type Kit } from '../kit.ts'
import { add, ascending, course, message, model, type Model, rowText, uidsIn } from '../mail.ts'

export function changes(kit: Kit): void {
  kit.story('delta tells new, changed and vanished', async (account) => {
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

  kit.story('deltas replayed on an old state give the new state, whatever was done', async (account, under) => {
    await account.create('kit-other')
    const mailbox = await account.open('INBOX')
    const other = await under.open()
    const remote = await other.open('INBOX')
    const random = course(7)
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
      for (const row of delta.changed) state.set(row.uid, rowText(row))
      since = delta.highestModseq
      assert.deepEqual(
        [...state].sort(([a], [b]) => a - b),
        [...(await model(mailbox))],
        `after step ${step}`,
      )
    }
    other.close()
  })

  kit.story('watch tells after the commit, by mailbox, until it is stopped', async (account, under) => {
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

  kit.story('from any moment in the past, the delta leads to now', async (account) => {
    await account.create('kit-other')
    const names = ['INBOX', 'kit-other']
    const open = await Promise.all(names.map((name) => account.open(name)))
    const random = course(20)
    const past: { at: number; since: number; state: Model }[] = []
    const remember = async (): Promise<void> => {
      for (const [at, mailbox] of open.entries())
        past.push({ at, since: (await mailbox.snapshot()).highestModseq, state: await model(mailbox) })
    }
    await remember()
    for (let step = 0; step < 40; step++) {
      await randomStep(account, names, random, step)
      if (step % 4 === 0) await remember()
    }
    for (const { at, since, state } of past) {
      const mailbox = open[at]
      const delta = await mailbox?.delta(since)
      if (mailbox === undefined || delta === undefined) throw new Error('opened above')
      assert.equal(delta.complete, true)
      for (const uid of delta.vanished) state.delete(uid)
      for (const row of delta.changed) state.set(row.uid, rowText(row))
      assert.deepEqual(
        [...state].sort(([a], [b]) => a - b),
        [...(await model(mailbox))],
        `${names[at]} since ${since}`,
      )
    }
  })

  kit.story('two sessions write at once: nothing is lost, no UID given twice', async (account, under) => {
    await account.create('kit-other')
    const names = ['INBOX', 'kit-other']
    const other = await under.open()
    const watched = await other.open('INBOX')
    const state = await model(watched)
    const since = (await watched.snapshot()).highestModseq
    const writers = [account, other, account].map(async (session, i) => {
      const random = course(100 + i)
      for (let step = 0; step < 20; step++) await randomStep(session, names, random, 1000 * i + step)
    })
    await Promise.all(writers)
    const delta = await watched.delta(since)
    for (const uid of delta.vanished) state.delete(uid)
    for (const row of delta.changed) state.set(row.uid, rowText(row))
    assert.deepEqual(
      [...state].sort(([a], [b]) => a - b),
      [...(await model(watched))],
    )
    for (const name of names) {
      const mailbox = await account.open(name)
      const uids = await uidsIn(mailbox)
      const status = await account.status(name)
      assert.equal(new Set(uids).size, uids.length)
      assert.deepEqual([status.messages, status.uidNext > (uids.at(-1) ?? 0)], [uids.length, true])
      for (const uid of uids) assert.ok((await mailbox.raw(uid)) !== undefined, `${name} ${uid} can be read`)
    }
    other.close()
  })

  kit.story('all sessions of a mailbox see one state', async (account, under) => {
    const other = await under.open()
    const [one, two] = [await account.open('INBOX'), await other.open('INBOX')]
    const uid = await add(account, 'INBOX', 'a')
    assert.deepEqual(await uidsIn(two), [uid])
    await two.store([uid], { action: 'add', flags: ['\\Deleted', 'Kit'] })
    assert.deepEqual(await model(one), await model(two))
    await one.expunge([uid])
    assert.deepEqual(await uidsIn(two), [])
    assert.equal(one.id, two.id)
    one.cache.set('kit', { held: 1 }, 100)
    const held = one.cache.get('kit')
    assert.ok(held === undefined || (held as { held: number }).held === 1)
    other.close()
  })

  kit.story('changes of the list of mailboxes are told', async (account, under) => {
    const other = await under.open()
    const steps: (() => Promise<unknown>)[] = [
      () => account.create('kit-a'),
      () => account.subscribe('kit-a', true),
      () => account.rename('kit-a', 'kit-b'),
      () => account.delete('kit-b'),
    ]
    for (const step of steps) {
      const told = new Promise<void>((resolve) => {
        const stop = other.watch((id) => {
          if (id !== undefined) return
          stop()
          resolve()
        })
      })
      await step()
      await told
    }
    other.close()
  })
}

/** One change of any kind in one of the mailboxes. */
async function randomStep(
  account: MailAccount,
  names: readonly string[],
  random: (below: number) => number,
  step: number,
): Promise<void> {
  const here = names[random(names.length)] ?? 'INBOX'
  const there = names[random(names.length)] ?? 'INBOX'
  const mailbox = await account.open(here)
  const some = (await uidsIn(mailbox)).filter(() => random(3) === 0)
  const flags = [['\\Deleted'], ['\\Flagged', 'Kit'], ['\\Seen'], ['KitB']][random(4)] ?? []
  switch (random(7)) {
    case 0:
    case 1:
      await account.append(
        here,
        Array.from({ length: 1 + random(3) }, (_, i) => ({
          bytes: message(`s${step}.${i}`),
          flags: flags.slice(random(2)),
        })),
      )
      break
    case 2:
    case 3:
      await mailbox.store(some, {
        action: (['set', 'add', 'remove'] as FlagChange['action'][])[random(3)] ?? 'add',
        flags,
      })
      break
    case 4:
      await mailbox.expunge(some)
      break
    case 5:
      await (random(2) === 0 ? mailbox.move(some.slice(0, 3), there) : mailbox.copy(some.slice(0, 3), there))
      break
    case 6: {
      const [uid] = some
      if (uid === undefined) break
      // Another writer may have taken it in the meantime.
      await mailbox.replace(uid, there, { bytes: message(`r${step}`), flags }).catch((error: unknown) => {
        if ((error as { code?: string }).code !== 'EXPUNGEISSUED') throw error
      })
    }
  }
}
