// RFC 7162: mod-sequences and quick resynchronisation, as two clients see them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { knownUpTo } from '../src/commands/select-parameters.ts'
import { formatNumbers, parseNumberSet } from '../src/wire/number-set.ts'
import { fill, world } from './harness.ts'

const modseqOf = (text: string): number => Number(/HIGHESTMODSEQ (\d+)/.exec(text)?.[1])

test('SELECT tells HIGHESTMODSEQ; MODSEQ comes with every change once the client has shown that it knows it', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3)
  const c = await wire()
  await c.login()
  const selected = await c.ask('a SELECT INBOX')
  assert.ok(modseqOf(selected) > 0)
  assert.doesNotMatch(await c.ask('b STORE 1 +FLAGS (\\Seen)'), /MODSEQ/)
  const fetched = await c.ask('c FETCH 1:3 (FLAGS MODSEQ)')
  assert.match(fetched, /^\* OK \[HIGHESTMODSEQ \d+\]/)
  assert.match(fetched, /\* 2 FETCH \(FLAGS \([^)]*\) MODSEQ \(\d+\)\)/)
  assert.match(await c.ask('d STORE 2 +FLAGS (\\Seen)'), /\* 2 FETCH \(UID 2 FLAGS \(.*\) MODSEQ \(\d+\)\)/)
  // Silent about the flags, not about the mod-sequence (RFC 7162 §3.1.3).
  assert.match(await c.ask('e UID STORE 3 +FLAGS.SILENT (\\Seen)'), /^\* 3 FETCH \(UID 3 MODSEQ \(\d+\)\)\r\ne OK/)
})

test('49: UNCHANGEDSINCE fails for what another session changed, and does the rest', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 3)
  const [c, other] = [await wire(), await wire()]
  await c.login()
  await other.login()
  const modseq = modseqOf(await c.ask('a SELECT INBOX (CONDSTORE)'))
  await other.ask('a SELECT INBOX')
  await other.ask('b STORE 2 +FLAGS (\\Seen)')
  const stored = await c.ask(`b STORE 1:3 (UNCHANGEDSINCE ${modseq}) +FLAGS (\\Seen x)`)
  assert.match(stored, /b OK \[MODIFIED 2\]/)
  assert.match(stored, /\* 1 FETCH \(UID 1 FLAGS \(\\Seen x \\Recent\) MODSEQ/)
  assert.doesNotMatch(stored, /\* 2 FETCH .*[( ]x[ )]/)
  assert.match(await c.ask('c UID STORE 1 (UNCHANGEDSINCE 0) +FLAGS (x)'), /c OK \[MODIFIED 1\]/)
})

test('CHANGEDSINCE fetches only what changed', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 4)
  const c = await wire()
  await c.login()
  const modseq = modseqOf(await c.ask('a SELECT INBOX'))
  await c.ask('b STORE 2,4 +FLAGS (\\Seen)')
  for (const twice of ['CHANGEDSINCE 1 CHANGEDSINCE 2', 'PARTIAL 1:2 PARTIAL 2:3'])
    assert.match(await c.ask(`x UID FETCH 1:* (FLAGS) (${twice})`), /^x BAD .* once only/)
  const fetched = await c.ask(`c UID FETCH 1:* (FLAGS) (CHANGEDSINCE ${modseq})`)
  assert.deepEqual(
    [...fetched.matchAll(/^\* (\d+) FETCH \(UID \d+ FLAGS .* MODSEQ \(\d+\)\)/gm)].map((match) => match[1]),
    ['2', '4'],
  )
  assert.match(await c.ask(`d UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)`), /^d BAD/)
  assert.match(await c.ask(`e FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)`), /^e BAD/)
  assert.match(await c.ask(`f UID FETCH 1:* (FLAGS) (VANISHED)`), /^f BAD/)
})

test('QRESYNC: a client that comes back hears what vanished and what changed, and only VANISHED from then on', async (t) => {
  const { mail, wire } = await world(t)
  await fill(mail, 6)
  const first = await wire()
  await first.login()
  const selected = await first.ask('a SELECT INBOX')
  const validity = /UIDVALIDITY (\d+)/.exec(selected)?.[1]
  const modseq = modseqOf(selected)
  await first.ask('b STORE 2,3,5 +FLAGS (\\Deleted)')
  await first.ask('c EXPUNGE')
  await first.ask('d STORE 2 +FLAGS (\\Answered)')

  const c = await wire()
  await c.login()
  assert.match(await c.ask(`a SELECT INBOX (QRESYNC (${validity} ${modseq}))`), /^a BAD/)
  assert.match(await c.ask('b ENABLE QRESYNC'), /^\* ENABLED QRESYNC\r\n/)
  const back = await c.ask(`c SELECT INBOX (QRESYNC (${validity} ${modseq} 1:6 (1,2 1,2)))`)
  assert.match(back, /\* 3 EXISTS/)
  assert.match(back, /\* VANISHED \(EARLIER\) 2:3,5\r\n/)
  assert.match(back, /\* 2 FETCH \(UID 4 FLAGS \(\\Answered\) MODSEQ \(\d+\)\)/)
  assert.doesNotMatch(back, /\* 1 FETCH/)
  // Known UIDs narrow it, another UIDVALIDITY makes it an ordinary SELECT.
  assert.match(await c.ask(`d SELECT INBOX (QRESYNC (${validity} ${modseq} 4:6))`), /VANISHED \(EARLIER\) 5\r\n/)
  assert.doesNotMatch(await c.ask(`e SELECT INBOX (QRESYNC (1 ${modseq}))`), /VANISHED|FETCH/)
  assert.match(await c.ask(`f UID FETCH 1:4 (FLAGS) (CHANGEDSINCE ${modseq} VANISHED)`), /VANISHED \(EARLIER\) 2:3\r\n/)

  for (const wrong of ['1:*', '$', '1:6 (1 *)'])
    assert.match(await c.ask(`x SELECT INBOX (QRESYNC (${validity} ${modseq} ${wrong}))`), /^x BAD/, wrong)

  await first.ask('e STORE 1 +FLAGS (\\Deleted)')
  await first.ask('f EXPUNGE')
  const news = await c.ask('g NOOP')
  assert.match(news, /\* VANISHED 1\r\n/)
  assert.doesNotMatch(news, /EXPUNGE/)
  assert.match(await c.ask('h STORE 1 +FLAGS (\\Deleted)'), /\* 1 FETCH \(UID 4 FLAGS .* MODSEQ/)
  assert.match(await c.ask('i EXPUNGE'), /\* VANISHED 4\r\ni OK \[HIGHESTMODSEQ \d+\]/)
})

test('RFC 7162 §3.2.7: MOVE and REPLACE end as EXPUNGE does, with the mod-sequence up to which all is told', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 4)
  const [c, other] = [await wire(), await wire()]
  for (const one of [c, other]) await one.login()
  await other.ask('a SELECT INBOX')
  assert.match(await other.ask('b MOVE 1 box'), /^b OK MOVE/m)
  await c.ask('a ENABLE QRESYNC')
  await c.ask('b SELECT INBOX')
  await other.ask('c STORE 2 +FLAGS.SILENT (\\Flagged)')
  const highest = async (tag: string): Promise<number> =>
    Number(/STATUS INBOX \(HIGHESTMODSEQ (\d+)/.exec(await other.ask(`${tag} STATUS INBOX (HIGHESTMODSEQ)`))?.[1])
  const moved = await c.ask('c UID MOVE 2 box')
  assert.match(moved, /^\* OK \[COPYUID .*\r\n\* VANISHED 2\r\n\* 1 FETCH \(UID 3 FLAGS .*\r\nc OK \[HIGHESTMODSEQ/m)
  assert.equal(modseqOf(moved), await highest('d'))
  assert.match(await c.ask('d UID MOVE 2 box'), /^d OK UID/)
  // Also for a client that wants no news: what it replaced itself is gone.
  await c.ask('e NOTIFY NONE')
  const replaced = await c.ask('f UID REPLACE 3 INBOX {3+}\r\nnew')
  assert.match(replaced, /^\* OK \[APPENDUID .*\r\n\* VANISHED 3\r\n\* 2 EXISTS\r\n[^]*f OK \[HIGHESTMODSEQ/m)
  assert.equal(modseqOf(replaced), await highest('e'))
})

test('14: the mailbox selected before is told to be closed', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.match(await c.ask('b SELECT INBOX'), /^\* OK \[CLOSED\]/)
})

test('QRESYNC: the pairs that still hold are found, however their sets are written', () => {
  const ascending = fc
    .uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 20 })
    .map((all) => all.sort((a, b) => a - b))
  fc.assert(
    fc.property(ascending, ascending, ascending, (there, numbers, uids) => {
      const length = Math.min(numbers.length, uids.length)
      fc.pre(length > 0)
      const [n, u] = [numbers.slice(0, length), uids.slice(0, length)]
      const set = (all: number[]) => parseNumberSet(formatNumbers(all)) ?? []
      const view = { count: there.length, uidAt: (position: number) => there[position] ?? 0 }
      const holds = u.filter((uid, i) => there[(n[i] ?? 0) - 1] === uid)
      assert.equal(knownUpTo(view, { numbers: set(n), uids: set(u) }), holds.at(-1) ?? 0)
    }),
    { numRuns: 2000 },
  )
  const view = { count: 3, uidAt: (position: number) => position + 1 }
  // Sets as no client should send them cost no time, and match nothing that is not so.
  for (const [n, u, found] of [
    ['1:4294967295', '1:4294967295', 3],
    ['3:1', '3:1', 0],
    ['2,1', '2,1', 2],
    ['9', '9', 0],
  ] as const)
    assert.equal(knownUpTo(view, { numbers: parseNumberSet(n) ?? [], uids: parseNumberSet(u) ?? [] }), found, n)
})
