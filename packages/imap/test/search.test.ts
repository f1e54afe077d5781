// SEARCH as a client sees it: keys, charsets, RETURN, what is saved, and searches over many mailboxes. The numbers are those of the cases in the specification.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MailboxEntry } from '../src/index.ts'
import { mailboxesOf } from '../src/search/sources.ts'
import { fill } from './harness.ts'
import { type Mail, put, room } from './searching.ts'

const day = (text: string, zone = 0): { date: number; zone: number } => ({ date: Date.parse(text), zone })
const utf8 = (text: string): string => `{${Buffer.byteLength(text)}+}\r\n${Buffer.from(text).toString('latin1')}`

const MAIL: readonly Mail[] = [
  {
    header: [
      'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus?=',
      ' =?utf-8?q?_K=C3=B6ln?=',
      'From: Anna <anna@example.org>',
      'Date: Tue, 3 Feb 2026 23:30:00 -0500',
    ],
    body: 'asdfghjkl\r\n',
    ...day('2026-02-04T04:30:00Z', -300),
  },
  {
    header: ['Subject: two', 'Content-Type: text/plain; charset=iso-8859-1', 'Content-Transfer-Encoding: base64'],
    body: `${Buffer.from('caf\xe9 noir', 'latin1').toString('base64')}\r\n`,
    flags: ['\\Seen'],
    ...day('2026-02-03T00:00:00Z'),
  },
  {
    header: ['Subject: three', 'X-Long: folded', '  over lines', 'Date: Wed, 1 Jan 2020 00:10:00 +0900'],
    body: 'last\r\n',
    flags: ['\\Flagged', 'work'],
    ...day('2020-01-01T00:00:00Z'),
  },
]

test('41-43: texts are found inside words, decoded, across folded lines, at once, and NOT and OR are exact', async (t) => {
  const { say, mail } = await room(t, MAIL)
  for (const [keys, found] of [
    ['BODY dfghj', '1'],
    [`SUBJECT ${utf8('GRÜßE aus KÖLN')}`, '1'],
    [`TEXT ${utf8('CAFé')}`, '2'],
    ['HEADER X-Long "folded  over"', '3'],
    ['HEADER X-Long ""', '3'],
    ['HEADER X-None ""', ''],
    ['TEXT "x-long: FOLDED"', '3'],
    ['NOT BODY dfghj', '2 3'],
    ['OR BODY dfghj SUBJECT three', '1 3'],
    ['NOT OR BODY dfghj (SUBJECT three NOT BODY last)', '2 3'],
    ['UNSEEN NOT TEXT last', '1'],
    ['FROM anna BODY asdf LARGER 10', '1'],
    ['SUBJECT ""', '1 2 3'],
  ] as const)
    assert.equal(await say(`SEARCH ${keys}`), `* SEARCH ${found}`.trimEnd(), keys)
  await put(mail, [{ header: ['Subject: four'], body: 'one more asdfghjkl\r\n' }])
  await say('NOOP')
  assert.equal(await say('SEARCH BODY dfghj'), '* SEARCH 1 4')
})

test('25, 44: sets intersect, what does not exist is passed over', async (t) => {
  const { say } = await room(t, MAIL)
  for (const [keys, found] of [
    ['(3) UID 1:20', '3'],
    ['1:3 NOT UID 2', '1 3'],
    ['NOT 2,3', '1'],
    ['UID 1 3', ''],
    ['5', ''],
    ['*', '3'],
    ['UID 99:*', '3'],
    ['*:2', '2 3'],
    ['3:1', '1 2 3'],
  ] as const)
    assert.equal(await say(`SEARCH ${keys}`), `* SEARCH ${found}`.trimEnd(), keys)
  const empty = await room(t, [])
  assert.equal(await empty.say('SEARCH 5'), '* SEARCH')
  assert.equal(await empty.say('UID SEARCH RETURN (ALL COUNT) UID 1:*'), '* ESEARCH (TAG "a2") UID COUNT 0')
  assert.equal(await empty.say('SORT (SUBJECT) UTF-8 ALL'), '* SORT')
  assert.equal(await empty.say('THREAD REFERENCES UTF-8 ALL'), '* THREAD')
})

test('45: dates are those that are written: of INTERNALDATE and of the Date field in their own zones', async (t) => {
  const { say } = await room(t, MAIL)
  for (const [keys, found] of [
    // 23:30 on the third, in its zone.
    ['ON 3-Feb-2026', '1 2'],
    ['ON 4-Feb-2026', ''],
    ['SINCE 3-Feb-2026', '1 2'],
    ['BEFORE 3-Feb-2026', '3'],
    ['ON 3-Feb-2026 BEFORE 3-Feb-2026', ''],
    ['SENTON 3-Feb-2026', '1'],
    ['SENTON 4-Feb-2026', ''],
    // The last evening of 2019 in UTC, but the first of January where it was written.
    ['SENTON "1-Jan-2020"', '3'],
    ['SENTBEFORE 1-Jan-2020', ''],
    ['SENTSINCE 1-Jan-2020', '1 3'],
    ['NOT SENTSINCE 1-Jan-2020', '2'],
    ['SENTBEFORE 1-Feb-2026', '3'],
  ] as const)
    assert.equal(await say(`SEARCH ${keys}`), `* SEARCH ${found}`.trimEnd(), keys)
})

test('46: charsets, and RECENT, NEW, OLD', async (t) => {
  const { say, other } = await room(t, MAIL)
  assert.match(await say('SEARCH RETURN (SAVE) 1'), /^$/)
  assert.match(await say('SEARCH RETURN (SAVE) CHARSET X-NOPE ALL'), /NO \[BADCHARSET \(UTF-8 US-ASCII\)\]/)
  assert.equal(await say('SEARCH $'), '* SEARCH')
  assert.match(await say('SORT (SUBJECT) X-NOPE ALL'), /NO \[BADCHARSET/)
  assert.match(await say('THREAD REFS X-NOPE ALL'), /NO \[BADCHARSET/)
  assert.equal(await say('SEARCH CHARSET us-ascii SUBJECT two'), '* SEARCH 2')
  assert.match(await say(`SEARCH BODY {2+}\r\n\xff\xfe`), /NO/)
  assert.equal(await say('SEARCH RECENT'), '* SEARCH 1 2 3')
  assert.equal(await say('SEARCH NEW'), '* SEARCH 1 3')
  assert.equal(await say('SEARCH OLD'), '* SEARCH')
  const second = await other()
  assert.equal(await second('SEARCH OLD'), '* SEARCH 1 2 3')
  assert.match(await say('ENABLE UTF8=ACCEPT'), /ENABLED UTF8=ACCEPT/)
  assert.match(await say('SEARCH CHARSET UTF-8 ALL'), /BAD/)
})

test('47: RETURN', async (t) => {
  const { say } = await room(t, MAIL)
  const returned = async (command: string): Promise<string> =>
    (await say(command)).replace(/^\* ESEARCH \(TAG "a\d+"\) ?/, '')
  assert.equal(await returned('UID SEARCH RETURN (MIN MAX COUNT) UNSEEN'), 'UID MIN 1 MAX 3 COUNT 2')
  assert.equal(await returned('SEARCH RETURN () ALL'), 'ALL 1:3')
  assert.equal(await returned('SEARCH RETURN (CONTEXT) 1,3'), 'ALL 1,3')
  assert.equal(await returned('UID SEARCH RETURN (MIN MAX ALL COUNT) KEYWORD none'), 'UID COUNT 0')
  assert.equal(await returned('UID SEARCH RETURN (ALL) KEYWORD WORK'), 'UID ALL 3')
  assert.equal(await returned('SEARCH RETURN (PARTIAL 2:4) ALL'), 'PARTIAL (2:4 2:3)')
  assert.equal(await returned('SEARCH RETURN (PARTIAL 4:2) ALL'), 'PARTIAL (4:2 2:3)')
  assert.equal(await returned('SEARCH RETURN (PARTIAL -1:-2 COUNT) ALL'), 'PARTIAL (-1:-2 2:3) COUNT 3')
  assert.equal(await returned('UID SEARCH RETURN (PARTIAL -1:-10 MIN) ALL'), 'UID MIN 1 PARTIAL (-1:-10 1:3)')
  assert.equal(await returned('UID SEARCH RETURN (PARTIAL 4:10) ALL'), 'UID PARTIAL (4:10 NIL)')
  assert.equal(await returned('UID SEARCH RETURN (PARTIAL -4:-10) ALL'), 'UID PARTIAL (-4:-10 NIL)')
  assert.equal(await returned('UID SEARCH RETURN (PARTIAL 1:2) KEYWORD none'), 'UID PARTIAL (1:2 NIL)')
  for (const options of [
    'PARTIAL 1:2 ALL',
    'PARTIAL 1:2 PARTIAL 3:4',
    'PARTIAL 1:*',
    'PARTIAL -1:2',
    'PARTIAL 0:1',
    'PARTIAL',
    'BOGUS',
  ])
    assert.match(await say(`SEARCH RETURN (${options}) ALL`), /BAD/, options)
})

test('a tag with quotes in it is told in quotes', async (t) => {
  const { wire } = await room(t, MAIL)
  assert.match(await wire.ask("a'b&c SEARCH RETURN (COUNT) ALL"), /^\* ESEARCH \(TAG "a'b&c"\) COUNT 3\r\n/)
})

test('MODSEQ: the key, its entry, and the mod-sequence of what is returned', async (t) => {
  const { say, mail, session } = await room(t, MAIL)
  const box = await mail.open().open('INBOX')
  await box.store([2], { action: 'add', flags: ['\\Answered'] })
  await box.store([1], { action: 'add', flags: ['\\Answered'] })
  await say('NOOP')
  const { modseqs } = await box.snapshot()
  const [one = 0, two = 0, three = 0] = modseqs
  assert.ok(three < two && two < one)
  assert.match(
    await say(`SEARCH MODSEQ ${two}`),
    new RegExp(`^\\* OK \\[HIGHESTMODSEQ ${one}\\].*\\r\\n\\* SEARCH 1 2 \\(MODSEQ ${one}\\)$`),
  )
  assert.ok(session.condstore)
  assert.equal(await say(`SEARCH MODSEQ "/flags/\\\\Seen" all ${two} NOT 1`), `* SEARCH 2 (MODSEQ ${two})`)
  assert.equal(await say(`SEARCH MODSEQ ${one + 1}`), '* SEARCH')
  assert.match(await say('SEARCH RETURN (ALL) OR MODSEQ 0 ALL'), new RegExp(`ALL 1:3 MODSEQ ${one}$`))
  assert.match(await say('SEARCH RETURN (MIN) MODSEQ 0'), new RegExp(`MIN 1 MODSEQ ${one}$`))
  assert.match(await say('SEARCH RETURN (MAX) MODSEQ 0'), new RegExp(`MAX 3 MODSEQ ${three}$`))
  assert.match(await say('SEARCH RETURN (MAX COUNT) MODSEQ 0'), new RegExp(`MAX 3 COUNT 3 MODSEQ ${one}$`))
  assert.match(
    await say('UID SEARCH RETURN (PARTIAL 2:3) MODSEQ 0'),
    new RegExp(`PARTIAL \\(2:3 2:3\\) MODSEQ ${two}$`),
  )
  assert.match(
    await say(`SORT (REVERSE SUBJECT) UTF-8 MODSEQ ${two}`),
    new RegExp(`^\\* SORT 2 1 \\(MODSEQ ${one}\\)$`),
  )
  for (const key of ['MODSEQ', 'MODSEQ x', 'MODSEQ "/nope" all 1', 'MODSEQ "/flags/\\\\Seen" any 1'])
    assert.match(await say(`SEARCH ${key}`), /BAD/, key)
})

test('OLDER and YOUNGER go by the second, from now', async (t) => {
  const now = Date.UTC(2026, 1, 3, 12)
  const { say } = await room(
    t,
    [100, 60, 10].map((age) => ({ header: [`Subject: ${age}`], date: now - age * 1000 })),
    {},
    { date: () => now },
  )
  assert.equal(await say('SEARCH OLDER 60'), '* SEARCH 1 2')
  assert.equal(await say('SEARCH YOUNGER 60'), '* SEARCH 2 3')
  assert.equal(await say('SEARCH OLDER 61 YOUNGER 100'), '* SEARCH 1')
  assert.match(await say('SEARCH OLDER 0'), /BAD/)
})

test('keys that the store keeps: EMAILID, THREADID, and when a message was saved', async (t) => {
  let now = Date.UTC(2026, 1, 3, 10)
  const { say, mail } = await room(t, MAIL.slice(0, 2), { now: () => now })
  now += 86_400_000
  await put(mail, MAIL.slice(2))
  await say('NOOP')
  const box = await mail.open().open('INBOX')
  const ids: string[] = []
  for await (const metas of box.meta([1, 2, 3], ['emailId', 'threadId']))
    for (const { emailId, threadId } of metas) ids.push(emailId ?? '', threadId ?? '')
  assert.equal(await say(`SEARCH EMAILID ${ids[2]}`), '* SEARCH 2')
  assert.equal(await say(`SEARCH NOT THREADID ${ids[5]} UNSEEN`), '* SEARCH 1')
  assert.equal(await say('SEARCH SAVEDON 3-Feb-2026'), '* SEARCH 1 2')
  assert.equal(await say('SEARCH SAVEDBEFORE 4-Feb-2026 SEEN'), '* SEARCH 2')
  assert.equal(await say('SEARCH SAVEDSINCE 4-Feb-2026'), '* SEARCH 3')
  assert.equal(await say('SEARCH SAVEDATESUPPORTED'), '* SEARCH 1 2 3')
  assert.match(await say('SEARCH EMAILID'), /BAD/)
})

test('FUZZY: words in any order, without diacritics; RELEVANCY tells how well', async (t) => {
  const { say } = await room(t, [
    { header: ['Subject: Notes of the budget meeting'] },
    { header: ['Subject: budget meeting'] },
    { header: ['Subject: meeting about budgets'] },
    { header: ['Subject: a meeting'], body: 'budget\r\n' },
    { header: ['Subject: =?utf-8?q?Pr=C3=A9sident?='], body: 'caf\r\n' },
  ])
  assert.equal(await say('SEARCH SUBJECT "meeting budget"'), '* SEARCH')
  assert.equal(await say('SEARCH FUZZY SUBJECT "Meeting BUDGET"'), '* SEARCH 1 2 3')
  assert.equal(await say('SEARCH FUZZY TEXT "meeting, budget" NOT FUZZY SUBJECT budget'), '* SEARCH 4')
  assert.equal(await say('SEARCH FUZZY SUBJECT president'), '* SEARCH 5')
  assert.equal(await say('SEARCH FUZZY (SUBJECT pres BODY caf)'), '* SEARCH 5')
  assert.equal(await say('SEARCH FUZZY 1:2 FUZZY SUBJECT budget'), '* SEARCH 1 2')
  assert.match(
    await say('SEARCH RETURN (ALL RELEVANCY) FUZZY SUBJECT "budget meeting"'),
    /ALL 1:3 RELEVANCY \(100 100 50\)$/,
  )
  assert.match(
    await say('SEARCH RETURN (PARTIAL -1:-1 RELEVANCY) FUZZY SUBJECT "meeting budget"'),
    /\(-1:-1 3\) RELEVANCY \(50\)$/,
  )
  assert.match(await say('SEARCH RETURN (MIN RELEVANCY) FUZZY SUBJECT none'), /\(TAG "a\d+"\)$/)
  assert.equal(await say('SORT (RELEVANCY) UTF-8 FUZZY SUBJECT "of budget"'), '* SORT 1')
  assert.equal(
    await say('SORT (REVERSE RELEVANCY REVERSE SUBJECT) UTF-8 FUZZY SUBJECT "budget meeting"'),
    '* SORT 3 1 2',
  )
  assert.match(
    await say('SORT RETURN (ALL RELEVANCY) (RELEVANCY SUBJECT) UTF-8 FUZZY SUBJECT "budget meeting"'),
    /ALL 2,1,3 RELEVANCY \(100 100 50\)$/,
  )
  assert.match(await say('SEARCH RETURN (RELEVANCY) SUBJECT budget'), /BAD/)
  assert.match(await say('SORT (RELEVANCY) UTF-8 SUBJECT budget'), /BAD/)
})

test('SAVE: $ stands for messages in every command, through expunges, until another mailbox is selected', async (t) => {
  const { say, mail, wire } = await room(t, MAIL, { mailboxes: { to: undefined } })
  assert.equal(await say('SEARCH $'), '* SEARCH')
  assert.equal(await say('UID SEARCH RETURN (SAVE) UNSEEN'), '')
  assert.equal(await say('SEARCH $'), '* SEARCH 1 3')
  assert.equal(await say('UID SEARCH UID $ FLAGGED'), '* SEARCH 3')
  assert.equal(await say('SEARCH NOT $'), '* SEARCH 2')
  assert.equal(await say('SEARCH RETURN (SAVE) $'), '')
  assert.equal(await say('SORT (SUBJECT) UTF-8 $'), '* SORT 1 3')
  assert.match(await say('FETCH $ (UID)'), /^\* 1 FETCH \(UID 1\)\r\n\* 3 FETCH \(UID 3\)$/)
  assert.match(await say('UID FETCH $ (FLAGS)'), /UID 1 .*\r\n.*UID 3 /)
  assert.match(await say('STORE $ +FLAGS (\\Answered)'), /^\* 1 FETCH .*\r\n\* 3 FETCH/)
  assert.match(await wire.ask('c COPY $ to'), /\[COPYUID \d+ 1,3 1:2\]/)
  // Combined with others, what is saved is what is returned.
  assert.match(await say('SEARCH RETURN (SAVE MIN) 1:3'), /MIN 1$/)
  assert.equal(await say('SEARCH $'), '* SEARCH 1')
  await say('SEARCH RETURN (SAVE MIN MAX) 1:3')
  assert.equal(await say('SEARCH $'), '* SEARCH 1 3')
  await say('SEARCH RETURN (SAVE MAX COUNT) 1:3')
  assert.equal(await say('SEARCH $'), '* SEARCH 1 2 3')
  await say('SEARCH RETURN (SAVE PARTIAL 2:2) 1:3')
  assert.equal(await say('SEARCH $'), '* SEARCH 2')
  await say('SEARCH RETURN (SAVE PARTIAL 2:2 MIN) 1:3')
  assert.equal(await say('SEARCH $'), '* SEARCH 1 2')
  assert.match(await say('SORT RETURN (SAVE) (SUBJECT) UTF-8 2:3'), /^$/)
  assert.equal(await say('SEARCH $'), '* SEARCH 2 3')
  // BAD leaves it as it was.
  assert.match(await say('SEARCH RETURN (SAVE) BOGUS'), /BAD/)
  assert.equal(await say('SEARCH $'), '* SEARCH 2 3')
  await (await mail.open().open('INBOX')).store([2], { action: 'add', flags: ['\\Deleted'] })
  await (await mail.open().open('INBOX')).expunge([2])
  await say('NOOP')
  assert.equal(await say('SEARCH $'), '* SEARCH 2')
  assert.equal(await say('UID SEARCH $'), '* SEARCH 3')
  assert.match(await say('MOVE $ to'), /COPYUID \d+ 3 3\] Moved\r\n\* 2 EXPUNGE/)
  assert.equal(await say('FETCH $ (UID)'), '')
  await say('SEARCH RETURN (SAVE) ALL')
  await say('SELECT INBOX')
  assert.equal(await say('SEARCH $'), '* SEARCH')
})

test('50: UIDONLY refuses sequence numbers in search keys, not $ and UIDs', async (t) => {
  const { say } = await room(t, MAIL)
  await say('UID SEARCH RETURN (SAVE) UID 2')
  await say('ENABLE UIDONLY')
  assert.match(await say('UID SEARCH 1:2'), /BAD \[UIDREQUIRED\]/)
  assert.match(await say('UID SEARCH OR NOT (UNSEEN 5) ALL'), /BAD \[UIDREQUIRED\]/)
  assert.match(await say('UID SORT (SUBJECT) UTF-8 1'), /BAD \[UIDREQUIRED\]/)
  assert.match(await say('UID THREAD REFS UTF-8 1'), /BAD \[UIDREQUIRED\]/)
  assert.equal(await say('UID SEARCH UID 1:2'), '* SEARCH 1 2')
  assert.equal(await say('UID SEARCH $'), '* SEARCH 2')
})

test('IMAP4rev2: plain SEARCH is answered by ESEARCH', async (t) => {
  const { say } = await room(t, MAIL)
  await say('ENABLE IMAP4rev2')
  assert.equal(await say('SEARCH UNSEEN'), '* ESEARCH (TAG "a2") ALL 1,3')
  assert.equal(await say('UID SEARCH KEYWORD none'), '* ESEARCH (TAG "a3") UID')
  assert.equal(await say('SORT (REVERSE SUBJECT) UTF-8 1:2'), '* SORT 2 1')
})

test('MULTISEARCH: mailboxes are named in many ways, looked at without side effects, and answered each for itself', async (t) => {
  const { say, mail, wire } = await room(t, MAIL, {
    mailboxes: { work: undefined, 'work/old': undefined, 'work/old/older': undefined, '\u00e9t\u00e9': undefined },
  })
  const account = mail.open()
  await account.subscribe('work/old', true)
  for (const name of ['work', 'work/old', 'work/old/older', '\u00e9t\u00e9']) await put(mail, MAIL.slice(0, 2), name)
  const found = async (command: string): Promise<string[]> =>
    [...(await say(command)).matchAll(/MAILBOX (\S+) UIDVALIDITY \d+\) UID ([^\r]*)/g)].map(
      ([, name, results]) => `${name} ${results}`,
    )
  assert.match(
    await wire.ask('m ESEARCH IN (mailboxes work) RETURN (ALL COUNT) SEEN'),
    /^\* ESEARCH \(TAG "m" MAILBOX work UIDVALIDITY 100\d\) UID ALL 2 COUNT 1\r\nm OK/,
  )
  assert.deepEqual(await found('ESEARCH UNSEEN'), ['INBOX ALL 1,3'])
  assert.deepEqual(await found('ESEARCH IN (selected) UNSEEN'), ['INBOX ALL 1,3'])
  assert.deepEqual(await found('ESEARCH IN (mailboxes inbox) RETURN (MIN) ALL'), ['INBOX MIN 1'])
  // RFC 5465 §6.3: who cannot tell where mail is delivered to takes all personal mailboxes.
  assert.deepEqual(
    await found('ESEARCH IN (inboxes) RETURN (MIN) ALL'),
    await found('ESEARCH IN (personal) RETURN (MIN) ALL'),
  )
  assert.deepEqual(await found('ESEARCH IN (subtree work) RETURN (COUNT) ALL'), [
    'work COUNT 2',
    'work/old COUNT 2',
    'work/old/older COUNT 2',
  ])
  assert.deepEqual(await found('ESEARCH IN (subtree-one (work none)) BODY dfghj'), ['work ALL 1', 'work/old ALL 1'])
  assert.deepEqual(await found('ESEARCH IN (subscribed mailboxes ("work/old" work)) RECENT 1:* UID 1'), [])
  assert.deepEqual(await found('ESEARCH IN (subscribed mailboxes ("work/old" work)) RECENT UID 1'), [
    'work ALL 1',
    'work/old ALL 1',
  ])
  assert.equal((await found('ESEARCH IN (personal) UID 1')).length, 5)
  assert.deepEqual(await found('ESEARCH IN (mailboxes &AOk-t&AOk-) FROM anna'), ['&AOk-t&AOk- ALL 1'])
  await say('ENABLE UTF8=ACCEPT')
  assert.deepEqual(await found(`ESEARCH IN (mailboxes "${Buffer.from('\u00e9t\u00e9').toString('latin1')}") UID 1`), [
    `"${Buffer.from('\u00e9t\u00e9').toString('latin1')}" ALL 1`,
  ])
  // Nothing found, nothing there: no answer.
  assert.deepEqual(await found('ESEARCH IN (personal mailboxes none) KEYWORD none'), [])
  // Nobody has seen them yet.
  assert.match(await say('STATUS work (RECENT)'), /RECENT 2/)
  for (const command of [
    'ESEARCH IN (mailboxes work) 1:2',
    'ESEARCH IN (personal) $',
    'ESEARCH IN (personal) RETURN (SAVE) ALL',
    'ESEARCH IN () ALL',
    'ESEARCH IN (selected-delayed) ALL',
    'ESEARCH IN (mailboxes) ALL',
  ])
    assert.match(await say(command), /BAD/, command)
  assert.deepEqual(await found('ESEARCH IN (selected) RETURN (SAVE COUNT) 2:3'), ['INBOX COUNT 2'])
  assert.equal(await say('SEARCH $'), '* SEARCH 2 3')
  await say('UNSELECT')
  assert.match(await say('ESEARCH IN (selected) ALL'), /BAD/)
  assert.deepEqual(await found('ESEARCH IN (mailboxes INBOX) RETURN (COUNT) ALL'), ['INBOX COUNT 3'])
})

test('MULTISEARCH: which mailboxes are meant', () => {
  const entry = (name: string, more: Partial<MailboxEntry> = {}): MailboxEntry => ({
    id: name,
    name,
    role: undefined,
    subscribed: false,
    selectable: true,
    ...more,
  })
  const entries = [
    entry('INBOX', { role: 'Inbox' }),
    entry('work', { subscribed: true }),
    entry('work/old'),
    entry('gone', { subscribed: true, selectable: false }),
    entry('Other/bob/plans', { rights: 'lr', subscribed: true }),
    entry('Other/bob/secret', { rights: 'l' }),
    entry('Shared/news'),
  ]
  const named = (...sources: Parameters<typeof mailboxesOf>[0]): string[] =>
    mailboxesOf(sources, entries, { namespaces: { others: 'Other/', shared: 'Shared/' } }).map(({ name }) => name)
  assert.deepEqual(named({ kind: 'personal' }), ['INBOX', 'work', 'work/old'])
  assert.deepEqual(named({ kind: 'subscribed' }), ['work', 'Other/bob/plans'])
  assert.deepEqual(named({ kind: 'subtree', names: new Set(['Other', 'INBOX']) }), ['INBOX', 'Other/bob/plans'])
  assert.deepEqual(named({ kind: 'subtree-one', names: new Set(['Other', 'work']) }), ['work', 'work/old'])
  assert.deepEqual(named({ kind: 'mailboxes', names: new Set(['Other/bob/secret', 'Shared/news']) }), ['Shared/news'])
  assert.deepEqual(named({ kind: 'selected' }), [])
})

test('INPROGRESS: a search that takes long says how far it is, after five seconds and then every ten', async (t) => {
  let now = 0
  // Every look at the clock takes a tenth of a second.
  const { wire, mail } = await room(t, [], {}, { now: () => (now += 100) })
  await fill(mail, 400)
  await wire.ask('n NOOP')
  const said = await wire.ask('long SEARCH BODY nowhere')
  const told = [...said.matchAll(/^\* OK \[INPROGRESS \("long" (\d+) (\d+)\)\]/gm)].map(([, done]) => Number(done))
  assert.ok(told.length >= 3, said)
  assert.ok(told.every((done, i) => done <= 400 && done >= (told[i - 1] ?? 0)))
  assert.match(said, /INPROGRESS \("long" \d+ 400\)/)
  assert.match(said, /\* SEARCH\r\nlong OK/)
  assert.match(await wire.ask('a] SEARCH BODY nowhere'), /\[INPROGRESS \(NIL /)
})

test('a search that nobody waits for ends with its connection', async (t) => {
  const counted: string[] = []
  const { wire, session, mail, log } = await room(t, [], {}, { count: (command) => counted.push(command) })
  await fill(mail, 5000)
  await wire.ask('n NOOP')
  wire.send('a SEARCH TEXT nowhere\r\n')
  wire.socket.destroy()
  await session.closed
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(!counted.includes('SEARCH'))
  assert.deepEqual(
    log.filter(({ event }) => event === 'defect'),
    [],
  )
})

test('large results are whole', async (t) => {
  const { say, mail } = await room(t, [])
  await fill(mail, 6000)
  await say('NOOP')
  const odd = Array.from({ length: 3000 }, (_, i) => 2 * i + 1)
  await (await mail.open().open('INBOX')).store(odd, { action: 'add', flags: ['\\Flagged'] })
  await say('NOOP')
  assert.equal(await say('SEARCH FLAGGED'), `* SEARCH ${odd.join(' ')}`)
  assert.match(await say('UID SEARCH RETURN (ALL) FLAGGED'), new RegExp(`UID ALL ${odd.join(',')}$`))
  assert.equal(await say('SORT (REVERSE ARRIVAL) UTF-8 FLAGGED'), `* SORT ${odd.join(' ')}`)
  assert.match(
    await say('SORT RETURN (ALL) (ARRIVAL) UTF-8 UNFLAGGED'),
    new RegExp(`ALL ${odd.map((n) => n + 1).join(',')}$`),
  )
})
