// Writes that fail and processes that die in the middle of a change: whole or not at all, and nothing acknowledged is lost.

import assert from 'node:assert/strict'
import type { MailAccount } from '../../backend.ts'
import { type BackendUnderTest, type Kit } from '../kit.ts'
import { add, message, rows, text } from '../mail.ts'

/** Messages as `subject flags`, sorted, of the two mailboxes. */
interface Two {
  readonly a: readonly string[]
  readonly b: readonly string[]
}

interface Change {
  readonly title: string
  run(account: MailAccount, a: string, b: string): Promise<unknown>
  /** What it makes of `BEFORE`. */
  readonly after: Two
}

const BEFORE: Two = { a: ['one \\Deleted', 'three ', 'two \\Seen'], b: ['four '] }

const CHANGES: readonly Change[] = [
  {
    title: 'append',
    run: (account, a) =>
      account.append(
        a,
        ['five', 'six'].map((subject) => ({ bytes: message(subject), flags: ['Kit'] })),
      ),
    after: { a: ['five Kit', 'one \\Deleted', 'six Kit', 'three ', 'two \\Seen'], b: ['four '] },
  },
  {
    title: 'store',
    run: async (account, a) => (await account.open(a)).store([1, 2], { action: 'add', flags: ['\\Flagged', 'Kit'] }),
    after: { a: ['one Kit \\Deleted \\Flagged', 'three ', 'two Kit \\Flagged \\Seen'], b: ['four '] },
  },
  {
    title: 'expunge',
    run: async (account, a) => (await account.open(a)).expunge([1, 2]),
    after: { a: ['three ', 'two \\Seen'], b: ['four '] },
  },
  {
    title: 'copy',
    run: async (account, a, b) => (await account.open(a)).copy([1, 2], b),
    after: { a: BEFORE.a, b: ['four ', 'one \\Deleted', 'two \\Seen'] },
  },
  {
    title: 'move',
    run: async (account, a, b) => (await account.open(a)).move([1, 2], b),
    after: { a: ['three '], b: ['four ', 'one \\Deleted', 'two \\Seen'] },
  },
  {
    title: 'replace',
    run: async (account, a, b) => (await account.open(a)).replace(2, b, { bytes: message('new'), flags: ['\\Draft'] }),
    after: { a: ['one \\Deleted', 'three '], b: ['four ', 'new \\Draft'] },
  },
]

/** Writes that one change takes at most. */
const MOST_WRITES = 200

export function faults(kit: Kit): void {
  for (const change of CHANGES) {
    kit.story(`${change.title}: a write that fails leaves all as it was, or the change whole`, async (first, under) => {
      if (under.fault === undefined) return
      let account = first
      for (let n = 1; ; n++) {
        assert.ok(n < MOST_WRITES)
        const { a, b } = await prepared(account, `once${n}`)
        const { failed, hit } = await attempt(under, n, 'once', () => change.run(account, a, b))
        const now = await two(account, a, b)
        if (failed) assertOneOf(now, [BEFORE, change.after], `write ${n}`)
        else assert.deepEqual(now, change.after)
        // The store goes on, and a restart shows the same.
        const uid = await add(account, a, 'later')
        if (under.reopen !== undefined) {
          await under.reopen()
          account.close()
          account = await under.open()
          const again = await two(account, a, b)
          assert.deepEqual(again, { a: [...now.a, 'later '].sort(), b: now.b })
          assert.ok((await account.status(a)).uidNext > uid)
        }
        if (!hit) break
      }
      account.close()
    })

    kit.story(
      `${change.title}: killed at any write, every message is whole and where it may be`,
      async (first, under) => {
        if (under.fault === undefined || under.reopen === undefined) return
        let account = first
        for (let n = 1; ; n++) {
          assert.ok(n < MOST_WRITES)
          const { a, b } = await prepared(account, `dead${n}`)
          const old = [await account.status(a), await account.status(b)]
          const { failed, hit } = await attempt(under, n, 'dead', () => change.run(account, a, b))
          await under.reopen()
          account.close()
          account = await under.open()
          const now = await two(account, a, b)
          if (failed) assertBetween(now, change, `killed at write ${n}`)
          else assert.deepEqual(now, change.after, 'acknowledged, so it is there')
          for (const [i, name] of [a, b].entries()) {
            const status = await account.status(name)
            assert.equal(status.uidValidity, old[i]?.uidValidity)
            assert.ok(status.uidNext >= (old[i]?.uidNext ?? 0) && status.highestModseq >= (old[i]?.highestModseq ?? 0))
            assert.ok((await add(account, name, 'later')) >= status.uidNext)
          }
          if (!hit) break
        }
        account.close()
      },
    )
  }
}

async function prepared(account: MailAccount, round: string): Promise<{ a: string; b: string }> {
  const [a, b] = [`kit-${round}-a`, `kit-${round}-b`]
  await account.create(a)
  await account.create(b)
  await add(account, a, 'one', ['\\Deleted'])
  await add(account, a, 'two', ['\\Seen'])
  await add(account, a, 'three')
  await add(account, b, 'four')
  return { a, b }
}

/** Runs a change with a fault set. `failed`: it rejected; `hit`: the fault came to pass. */
async function attempt(
  under: BackendUnderTest,
  n: number,
  kind: 'once' | 'dead',
  run: () => Promise<unknown>,
): Promise<{ failed: boolean; hit: boolean }> {
  const end = under.fault?.(n, kind)
  let failed = false
  try {
    await run()
  } catch {
    failed = true
  }
  const hit = end?.() ?? false
  assert.ok(hit || !failed, 'a change fails for the fault only')
  return { failed, hit }
}

async function two(account: MailAccount, a: string, b: string): Promise<Two> {
  const texts = async (name: string): Promise<string[]> => {
    const mailbox = await account.open(name)
    const out: string[] = []
    for (const row of await rows(mailbox)) {
      const raw = text(await mailbox.raw(row.uid)) ?? ''
      const subject = /^Subject: (.*)\r\n/m.exec(raw)?.[1] ?? ''
      assert.equal(raw, text(message(subject)), 'a message is whole')
      assert.equal(row.size, raw.length)
      out.push(`${subject} ${[...row.flags].sort().join(' ')}`)
    }
    return out.sort()
  }
  return { a: await texts(a), b: await texts(b) }
}

function assertOneOf(now: Two, states: readonly Two[], when: string): void {
  const seen = JSON.stringify(now)
  assert.ok(
    states.some((state) => JSON.stringify(state) === seen),
    `${when}: ${seen} is neither before nor after`,
  )
}

/** What a kill may leave: of each message the old or the new state, and a moved message in one place. */
function assertBetween(now: Two, { title, after }: Change, when: string): void {
  for (const place of ['a', 'b'] as const) {
    const allowed = new Set([...BEFORE[place], ...after[place]])
    for (const one of now[place]) assert.ok(allowed.has(one), `${when}: ${one} in ${place}`)
    assert.equal(new Set(now[place].map(subject)).size, now[place].length, `${when}: a message twice in ${place}`)
    for (const one of BEFORE[place])
      if (after[place].includes(one)) assert.ok(now[place].includes(one), `${when}: ${one} is lost from ${place}`)
  }
  const everywhere = [...now.a, ...now.b].map(subject)
  const times = (name: string): number => everywhere.filter((one) => one === name).length
  if (title === 'move')
    for (const name of ['one', 'two']) assert.equal(times(name), 1, `${when}: ${name} is in one place`)
  if (title === 'replace') assert.ok(times('two') + times('new') >= 1, `${when}: neither the old nor the new`)
  if (title !== 'expunge' && title !== 'replace')
    for (const name of ['one', 'two', 'three', 'four']) assert.ok(times(name) >= 1, `${when}: ${name} is lost`)
}

const subject = (one: string): string => one.split(' ')[0] ?? ''
