// RFC 5465 NOTIFY: what a client is told without asking.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { MailAccount } from '../src/index.ts'
import type { MemoryMail } from '../src/testing/index.ts'
import { fill, type Wire, world } from './harness.ts'

interface Watcher {
  readonly c: Wire
  readonly mail: MemoryMail
  /** Another session's way to the same mail. */
  readonly other: MailAccount
  readonly user: () => Promise<Wire>
}

async function watcher(t: TestContext, mailboxes: readonly string[] = []): Promise<Watcher> {
  const { mail, wire } = await world(t, { mailboxes: Object.fromEntries(mailboxes.map((name) => [name, undefined])) })
  const user = async (): Promise<Wire> => {
    const c = await wire()
    await c.login()
    return c
  }
  const other = mail.open()
  t.after(() => other.close())
  return { c: await user(), mail, other, user }
}

/** Asks, and answers the untagged lines. The command must succeed. */
async function lines(c: Wire, command: string): Promise<string[]> {
  const all = (await c.ask(`x ${command}`)).split('\r\n').slice(0, -1)
  assert.match(all.pop() ?? '', /^x OK/)
  return all
}

/** What comes by itself, up to the line that begins with `last`. */
const heard = async (c: Wire, last: string): Promise<string[]> => (await c.until(last)).split('\r\n').slice(0, -1)

/** Proves that nothing was told: only the answer of a command that tells no news of its own. */
async function silence(c: Wire): Promise<void> {
  assert.deepEqual(
    await lines(c, 'CAPABILITY').then((all) => all.filter((line) => !line.startsWith('* CAPABILITY'))),
    [],
  )
}

test('53: STATUS of what is watched at once; then counts of other mailboxes as they change, between commands', async (t) => {
  const { c, mail, other } = await watcher(t, ['Lists/a', 'Lists/b', 'misc'])
  await fill(mail, 2, 'Lists/a')
  const told = await lines(c, 'notify set status (subtree Lists (MessageNew messageexpunge))')
  assert.equal(told.length, 2)
  assert.match(told[0] ?? '', /^\* STATUS Lists\/a \(MESSAGES 2 UIDNEXT 3 UIDVALIDITY \d+\)$/)
  assert.match(told[1] ?? '', /^\* STATUS Lists\/b \(MESSAGES 0 UIDNEXT 1 UIDVALIDITY \d+\)$/)
  await fill(mail, 1, 'Lists/a')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS Lists/a (MESSAGES 3 UIDNEXT 4)'])
  // Not watched, and flags are not asked for.
  await fill(mail, 1, 'misc')
  const box = await other.open('Lists/a')
  await box.store([1], { action: 'add', flags: ['\\Deleted'] })
  await silence(c)
  await box.expunge([1])
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS Lists/a (MESSAGES 2 UIDNEXT 4)'])
  assert.deepEqual(await lines(c, 'NOTIFY NONE'), [])
  await fill(mail, 1, 'Lists/a')
  await silence(c)
})

test('flag changes elsewhere: UNSEEN for all, HIGHESTMODSEQ for those who know it', async (t) => {
  const { mail, other, user } = await watcher(t, ['a'])
  await fill(mail, 1, 'a')
  const plain = await user()
  const modern = await user()
  await modern.ask('e ENABLE CONDSTORE')
  for (const c of [plain, modern]) {
    const [line] = await lines(c, 'NOTIFY SET STATUS (mailboxes a (MessageNew MessageExpunge FlagChange))')
    assert.match(line ?? '', /^\* STATUS a \(MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+ UNSEEN 1 HIGHESTMODSEQ \d+\)$/)
  }
  const box = await other.open('a')
  await box.store([1], { action: 'add', flags: ['\\Flagged'] })
  assert.match((await heard(modern, '* STATUS')).join(), /^\* STATUS a \(HIGHESTMODSEQ \d+ UIDVALIDITY \d+\)$/)
  await silence(plain)
  await box.store([1], { action: 'add', flags: ['\\Seen'] })
  assert.match((await heard(modern, '* STATUS')).join(), /^\* STATUS a \(HIGHESTMODSEQ \d+ UIDVALIDITY \d+ UNSEEN 0\)$/)
  assert.deepEqual(await heard(plain, '* STATUS'), ['* STATUS a (UNSEEN 0)'])
  await fill(mail, 1, 'a')
  assert.match(
    (await heard(modern, '* STATUS')).join(),
    /^\* STATUS a \(MESSAGES 2 UIDNEXT 3 HIGHESTMODSEQ \d+ UIDVALIDITY \d+ UNSEEN 1\)$/,
  )
})

test('the selected mailbox: new messages with what was asked for, expunges at once, flags with UIDs', async (t) => {
  const { c, mail, other } = await watcher(t)
  await fill(mail, 1)
  await c.ask('a SELECT INBOX')
  await fill(mail, 1)
  // NOTIFY SET is a NOOP too.
  assert.deepEqual(
    await lines(
      c,
      'NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))',
    ),
    ['* 2 EXISTS', '* 2 RECENT'],
  )
  await fill(mail, 1)
  assert.deepEqual(await heard(c, ')'), [
    '* 3 EXISTS',
    '* 3 RECENT',
    '* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {14}',
    'Subject: 1',
    '',
    ')',
  ])
  const box = await other.open('INBOX')
  await box.store([2], { action: 'add', flags: ['\\Deleted'] })
  assert.deepEqual(await heard(c, '* 2 FETCH'), ['* 2 FETCH (UID 2 FLAGS (\\Deleted \\Recent))'])
  await box.expunge([2])
  assert.deepEqual(await heard(c, '* 2 EXPUNGE'), ['* 2 EXPUNGE'])
  // What this client puts there itself is announced, but not fetched for it.
  c.send('b APPEND INBOX {8+}\r\nX: y\r\n\r\n\r\n')
  assert.deepEqual((await c.until('b ')).split('\r\n').slice(0, 2), ['* 3 EXISTS', '* 3 RECENT'])
  assert.deepEqual((await lines(c, 'UID COPY 1 INBOX')).slice(0, 2), ['* 4 EXISTS', '* 4 RECENT'])
})

test('selected-delayed: expunges wait for a command that may tell them, or for IDLE; all else is told at once', async (t) => {
  const { c, mail, other } = await watcher(t)
  await fill(mail, 3)
  await c.ask('a SELECT INBOX')
  await lines(c, 'NOTIFY SET (SELECTED-DELAYED (MessageNew (FLAGS) MessageExpunge))')
  const box = await other.open('INBOX')
  await box.store([1, 2], { action: 'add', flags: ['\\Deleted'] })
  await box.expunge([1])
  await fill(mail, 1)
  assert.deepEqual(await heard(c, '* 4 FETCH'), ['* 4 EXISTS', '* 4 RECENT', '* 4 FETCH (FLAGS (\\Recent))'])
  // The numbers still mean what they meant.
  assert.deepEqual(await lines(c, 'FETCH 2 UID'), ['* 2 FETCH (UID 2)'])
  assert.deepEqual(await lines(c, 'NOOP'), ['* 1 EXPUNGE'])
  await box.expunge([2])
  await silence(c)
  c.send('i IDLE\r\n')
  assert.deepEqual(await heard(c, '* 1 EXPUNGE'), ['+ idling', '* 1 EXPUNGE'])
  c.send('DONE\r\n')
  await c.until('i OK')
})

test('without SELECTED, nothing is told of the selected mailbox, except what the client expunges itself', async (t) => {
  const { c, mail } = await watcher(t, ['a'])
  await fill(mail, 2)
  await c.ask('a SELECT INBOX')
  for (const command of [
    'NOTIFY NONE',
    'NOTIFY SET (SELECTED NONE)',
    'NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge))',
  ]) {
    await c.ask(`n ${command}`)
    await fill(mail, 1)
    assert.deepEqual(await lines(c, 'NOOP'), [], command)
  }
  await lines(c, 'STORE 1 +FLAGS (\\Deleted)')
  assert.deepEqual(await lines(c, 'EXPUNGE'), ['* 1 EXPUNGE', '* 4 EXISTS', '* 4 RECENT'])
  // Deselected, it is a mailbox like others.
  await fill(mail, 1)
  await silence(c)
  await c.ask('b UNSELECT')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS INBOX (MESSAGES 5 UIDNEXT 7)'])
  await fill(mail, 1)
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS INBOX (MESSAGES 6 UIDNEXT 8)'])
})

test('names: created, deleted, renamed with what is below, and subscriptions', async (t) => {
  const { c, other } = await watcher(t, ['a/b'])
  await lines(c, 'NOTIFY SET (personal (MailboxName SubscriptionChange))')
  await other.create('a/new')
  assert.deepEqual(await heard(c, '* LIST (\\HasNoChildren) "/" a/new'), [
    '* LIST (\\HasChildren) "/" a',
    '* LIST (\\HasNoChildren) "/" a/new',
  ])
  await other.subscribe('a/new', true)
  assert.deepEqual(await heard(c, '* LIST'), ['* LIST (\\HasNoChildren \\Subscribed) "/" a/new'])
  await other.delete('a/new')
  assert.deepEqual(await heard(c, '* LIST (\\NonExistent \\HasNoChildren'), [
    '* LIST (\\HasChildren) "/" a',
    '* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" a/new',
  ])
  await other.subscribe('a/new', false)
  assert.deepEqual(await heard(c, '* LIST'), ['* LIST (\\NonExistent \\HasNoChildren) "/" a/new'])
  await other.create('x')
  await heard(c, '* LIST')
  await other.create('x/y')
  await heard(c, '* LIST (\\HasNoChildren) "/" x/y')
  await other.rename('x', 'z')
  assert.deepEqual(await heard(c, '* LIST'), ['* LIST (\\HasChildren) "/" z ("OLDNAME" (x))'])
  await silence(c)
  // What the client does itself is no news to it.
  for (const command of ['CREATE own/child', 'SUBSCRIBE own', 'RENAME own mine', 'DELETE mine/child'])
    assert.deepEqual(await lines(c, command), [], command)
  await silence(c)
  await other.create('last')
  assert.deepEqual(await heard(c, '* LIST'), ['* LIST (\\HasNoChildren) "/" last'])
})

test('subscribed: the list of mailboxes follows the subscriptions', async (t) => {
  const { c, mail, other } = await watcher(t, ['a', 'b'])
  await other.subscribe('a', true)
  assert.equal((await lines(c, 'NOTIFY SET STATUS (subscribed (MessageNew MessageExpunge))')).length, 1)
  await fill(mail, 1, 'b')
  await silence(c)
  await other.subscribe('b', true)
  // It has messages, which the client has not heard of.
  assert.match((await heard(c, '* STATUS')).join(), /^\* STATUS b \(MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+\)$/)
  await fill(mail, 1, 'b')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS b (MESSAGES 2 UIDNEXT 3)'])
  await other.subscribe('b', false)
  await silence(c)
  await fill(mail, 1, 'b')
  await silence(c)
})

test('IDLE tells of other mailboxes too, with none selected', async (t) => {
  const { c, mail, other } = await watcher(t, ['a'])
  await lines(c, 'NOTIFY SET (inboxes (MessageNew MessageExpunge MailboxName))')
  c.send('i IDLE\r\n')
  await c.until('+ ')
  await fill(mail, 1, 'a')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS a (MESSAGES 1 UIDNEXT 2)'])
  await other.create('b')
  assert.deepEqual(await heard(c, '* LIST'), ['* LIST (\\HasNoChildren) "/" b'])
  c.send('DONE\r\n')
  assert.match(await c.until('i '), /^i OK/)
})

test('news that come while a command runs follow it; commands that come while news are told follow them', async (t) => {
  const { c, mail } = await watcher(t, ['a'])
  await fill(mail, 200)
  await c.ask('s SELECT INBOX')
  await lines(
    c,
    'NOTIFY SET (SELECTED (MessageNew (UID ENVELOPE BODY.PEEK[]) MessageExpunge)) (mailboxes a (MessageNew MessageExpunge))',
  )
  const rounds: Promise<void>[] = []
  for (let i = 0; i < 20; i++) {
    rounds.push(fill(mail, 3), fill(mail, 1, 'a'))
    c.send(`f${i} UID FETCH 1:* (FLAGS BODY.PEEK[])\r\n`)
  }
  await Promise.all(rounds)
  const text = (await c.until('f19 ')) + (await c.ask('z NOOP'))
  // Take the messages out by their literals: what is left must be whole responses.
  const rest = text.replace(/\{(\d+)\}\r\n/g, '{$1}\0').split('\0')
  let plain = rest[0] ?? ''
  for (let i = 1; i < rest.length; i++)
    plain += (rest[i] ?? '').slice(Number(/\{(\d+)\}$/.exec(rest[i - 1] ?? '')?.[1]))
  for (const line of plain.split('\r\n').slice(0, -1))
    assert.match(line, /^(\* \d+ (EXISTS|RECENT|FETCH \(.*\))|\* STATUS a \(.*\)|(f\d+|z) OK .*)$/)
  let count = 200
  for (const [, number] of text.matchAll(/^\* (\d+) EXISTS/gm)) {
    assert.ok(Number(number) > count)
    count = Number(number)
  }
  assert.equal(count, 260)
})

test('what does not go together is BAD, what is not known is NO with all that is', async (t) => {
  const { c } = await watcher(t)
  for (const command of [
    'NOTIFY',
    'NOTIFY SET',
    'NOTIFY SET STATUS',
    'NOTIFY SOME',
    'NOTIFY NONE x',
    'NOTIFY SET ()',
    'NOTIFY SET (personal)',
    'NOTIFY SET (personal ())',
    'NOTIFY SET (personal (MessageNew))',
    'NOTIFY SET (personal (MessageExpunge))',
    'NOTIFY SET (personal (FlagChange))',
    'NOTIFY SET (personal (MessageNew (UID) MessageExpunge))',
    'NOTIFY SET (selected (MailboxName))',
    'NOTIFY SET (selected NONE) (selected-delayed NONE)',
    'NOTIFY SET (selected (MessageNew () MessageExpunge))',
    'NOTIFY SET (mailboxes () (MailboxName))',
    'NOTIFY SET (elsewhere (MailboxName))',
  ])
    assert.match(await c.ask(`x ${command}`), /^x BAD/, command)
  for (const event of ['AnnotationChange', 'Bogus', 'MailboxMetadataChange', 'ServerMetadataChange'])
    assert.match(
      await c.ask(`x NOTIFY SET (personal (${event}))`),
      /^x NO \[BADEVENT \(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange\)\]/,
    )
  assert.match(await c.ask('x NOTIFY SET (mailboxes nowhere (MailboxName)) (selected NONE)'), /^x OK/)
})

test('too much to watch is refused; what grows too much ends with NOTIFICATIONOVERFLOW', async (t) => {
  const { c, mail, other } = await watcher(
    t,
    Array.from({ length: 4998 }, (_, i) => `m${i}`),
  )
  assert.match(await c.ask('x NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))'), /^x OK/)
  const names = Array.from({ length: 10_000 }, (_, i) => `m${i}`).join(' ')
  assert.match(await c.ask(`x NOTIFY SET (mailboxes (${names}) (MailboxName))`), /^x (NO \[NOTIFICATIONOVERFLOW\]|BAD)/)
  assert.match(
    await c.ask(`x NOTIFY SET ${'(personal (MailboxName)) '.repeat(150).trim()}`),
    /^x NO \[NOTIFICATIONOVERFLOW\]/,
  )
  // The refused ones changed nothing.
  await fill(mail, 1, 'm7')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS m7 (MESSAGES 1 UIDNEXT 2)'])
  await other.create('one')
  await heard(c, '* LIST')
  await other.create('two')
  assert.match((await heard(c, '* OK')).join(), /^\* OK \[NOTIFICATIONOVERFLOW\]/)
  await fill(mail, 1, 'm7')
  await silence(c)
  assert.match(await c.ask('x NOTIFY SET (personal (MailboxName))'), /^x NO \[NOTIFICATIONOVERFLOW\]/)
})

test('a client that does not read is not buried in news', async (t) => {
  const { c, mail, user } = await watcher(t, ['a'])
  const lazy = await user()
  await lines(
    lazy,
    'NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[]) MessageExpunge)) (mailboxes a (MessageNew MessageExpunge))',
  )
  await lazy.ask('s SELECT INBOX')
  lazy.socket.pause()
  const account = mail.open()
  const big = Buffer.alloc(300_000, `${'x'.repeat(70)}\r\n`)
  for (let i = 0; i < 30; i++) {
    await account.append('INBOX', [{ bytes: big, flags: [] }])
    await fill(mail, 1, 'a')
  }
  account.close()
  // Others are served meanwhile.
  assert.match(await c.ask('y STATUS INBOX (MESSAGES)'), /^\* STATUS INBOX \(MESSAGES 30\)/)
  lazy.socket.resume()
  const told = await lazy.ask('z NOOP')
  assert.match(told, /^\* 30 EXISTS/m)
  assert.match(told, /^z OK/m)
})

test('a store that fails ends nothing: the news are told when it works again', async (t) => {
  let broken = false
  const { mail, wire, log } = await world(
    t,
    { mailboxes: { a: undefined } },
    {
      open: async () => {
        const account = mail.open()
        const status = account.status.bind(account)
        return Object.assign(account, {
          status: async (name: string) => {
            if (broken) throw new Error('the disk is on fire')
            return status(name)
          },
        })
      },
    },
  )
  const c = await wire()
  await c.login()
  await lines(c, 'NOTIFY SET (mailboxes a (MessageNew MessageExpunge))')
  broken = true
  await fill(mail, 1, 'a')
  while (log.every(({ event }) => event !== 'defect')) await new Promise((resolve) => setImmediate(resolve))
  await silence(c)
  broken = false
  await fill(mail, 1, 'a')
  assert.deepEqual(await heard(c, '* STATUS'), ['* STATUS a (MESSAGES 2 UIDNEXT 3)'])
})
