// LIST and its kin, STATUS, CREATE, RENAME: what a client sees of the names. The examples of RFC 5258 §5 are here.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { MemoryMail } from '../src/testing/index.ts'
import { fill, type Wire, world } from './harness.ts'

async function session(
  t: TestContext,
  mailboxes: readonly string[] = [],
): Promise<{ c: Wire; mail: MemoryMail; user: () => Promise<Wire> }> {
  const { mail, wire } = await world(t, { mailboxes: Object.fromEntries(mailboxes.map((name) => [name, undefined])) })
  const user = async (): Promise<Wire> => {
    const c = await wire()
    await c.login()
    return c
  }
  return { c: await user(), mail, user }
}

/** The untagged lines of an answer, which must be OK. */
async function lines(c: Wire, command: string): Promise<string[]> {
  const all = (await c.ask(`x ${command}`)).split('\r\n').slice(0, -1)
  assert.match(all.pop() ?? '', /^x OK/)
  return all
}

test('RFC 5258 example 9: CHILDINFO, where something below is selected; redundant parents are left out', async (t) => {
  const { c } = await session(t, [
    'foo2/bar1',
    'foo2/bar2',
    'baz2/bar2',
    'baz2/bar22',
    'baz2/bar222',
    'eps2/mamba',
    'qux2/bar2',
  ])
  for (const name of ['foo2', 'baz2', 'eps2']) await c.ask(`a CREATE ${name}`)
  for (const name of [
    'foo2/bar1',
    'foo2/bar2',
    'baz2/bar2',
    'baz2/bar22',
    'baz2/bar222',
    'eps2',
    'eps2/mamba',
    'qux2/bar2',
  ])
    await c.ask(`a SUBSCRIBE ${name}`)
  assert.deepEqual(await lines(c, 'LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"'), [
    '* LIST (\\HasNoChildren \\Subscribed) "/" baz2/bar2',
    '* LIST (\\HasNoChildren \\Subscribed) "/" baz2/bar22',
    '* LIST (\\HasNoChildren \\Subscribed) "/" baz2/bar222',
    '* LIST (\\HasChildren \\Subscribed) "/" eps2 ("CHILDINFO" ("SUBSCRIBED"))',
    '* LIST (\\HasChildren) "/" foo2 ("CHILDINFO" ("SUBSCRIBED"))',
    '* LIST (\\HasNoChildren \\Subscribed) "/" foo2/bar2',
    '* LIST (\\HasNoChildren \\Subscribed) "/" qux2/bar2',
  ])
})

test('RFC 5258 examples 7, 8, 10: several patterns, a parent that does not exist, a child that does not exist', async (t) => {
  const { c } = await session(t, ['Foo/Bar', 'Moo', 'foo', 'Sent/a', 'Sent/b'])
  await c.ask('a SUBSCRIBE Foo/Bar')
  await c.ask('a SUBSCRIBE foo/gone')
  assert.deepEqual(await lines(c, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" %'), [
    '* LIST (\\NonExistent \\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))',
    '* LIST (\\HasNoChildren) "/" foo ("CHILDINFO" ("SUBSCRIBED"))',
  ])
  assert.deepEqual(await lines(c, 'LIST (SUBSCRIBED) "" "foo/*"'), [
    '* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" foo/gone',
  ])
  // Each name once, however many patterns it matches.
  assert.deepEqual(await lines(c, 'LIST "" (INBOX "M*" Moo "Sent/%")'), [
    '* LIST (\\HasNoChildren) "/" INBOX',
    '* LIST (\\HasNoChildren) "/" Moo',
    '* LIST (\\HasNoChildren) "/" Sent/a',
    '* LIST (\\HasNoChildren) "/" Sent/b',
  ])
})

test('an empty pattern asks for the separator in the basic form only', async (t) => {
  const { c } = await session(t)
  assert.deepEqual(await lines(c, 'LIST "" ""'), ['* LIST (\\Noselect) "/" ""'])
  assert.deepEqual(await lines(c, 'LIST "a/" ""'), ['* LIST (\\Noselect) "/" ""'])
  assert.deepEqual(await lines(c, 'LIST () "" ""'), [])
  assert.deepEqual(await lines(c, 'LIST "" ("" inbox)'), ['* LIST (\\HasNoChildren) "/" INBOX'])
  assert.deepEqual(await lines(c, 'LIST "" "" RETURN (CHILDREN)'), [])
})

test('options: in any order, twice, unknown ones, and the ones this account has not', async (t) => {
  const { c } = await session(t, ['Sent'])
  await c.ask('a CREATE Weg (USE (\\Trash))')
  await c.ask('a SUBSCRIBE Weg')
  assert.deepEqual(
    await lines(c, 'LIST (SPECIAL-USE REMOTE SPECIAL-USE SUBSCRIBED) "" * RETURN (SUBSCRIBED SUBSCRIBED CHILDREN)'),
    ['* LIST (\\HasNoChildren \\Subscribed \\Trash) "/" Weg'],
  )
  assert.deepEqual(await lines(c, 'list (special-use recursivematch) "" * return (special-use)'), [
    '* LIST (\\HasNoChildren \\Trash) "/" Weg',
  ])
  for (const command of [
    'LIST (BOGUS) "" *',
    'LIST (RECURSIVEMATCH REMOTE) "" *',
    'LIST "" * RETURN (BOGUS)',
    'LIST "" * RETURN (STATUS)',
    'LIST "" * RETURN (STATUS ())',
    'LIST "" * RETURN (STATUS (BOGUS))',
    'LIST "" * BOGUS ()',
    'LIST "" *  RETURN ()',
  ])
    assert.match(await c.ask(`x ${command}`), /^x BAD/, command)
})

test('STATUS: all its items, of one mailbox and of many in one LIST', async (t) => {
  const { c, mail } = await session(t, ['a', 'b/c'])
  await fill(mail, 2, 'a', ['\\Deleted'])
  await fill(mail, 1, 'a', ['\\Seen'])
  const [status] = await lines(
    c,
    'STATUS a (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MAILBOXID APPENDLIMIT DELETED-STORAGE)',
  )
  assert.match(
    status ?? '',
    /^\* STATUS a \(MESSAGES 3 RECENT 3 UIDNEXT 4 UIDVALIDITY \d+ UNSEEN 2 DELETED 2 SIZE 123 HIGHESTMODSEQ \d+ MAILBOXID \([A-Za-z0-9_-]+\) APPENDLIMIT 1048576 DELETED-STORAGE 82\)$/,
  )
  assert.deepEqual(await lines(c, 'LIST "" * RETURN (STATUS (MESSAGES MESSAGES))'), [
    '* LIST (\\HasNoChildren) "/" INBOX',
    '* STATUS INBOX (MESSAGES 0)',
    '* LIST (\\HasNoChildren) "/" a',
    '* STATUS a (MESSAGES 3)',
    '* LIST (\\NonExistent \\HasChildren) "/" b',
    '* LIST (\\HasNoChildren) "/" b/c',
    '* STATUS b/c (MESSAGES 0)',
  ])
  assert.match(await c.ask('x STATUS nowhere (MESSAGES)'), /^x NO \[NONEXISTENT\]/)
})

test('LIST asks for the counts of many mailboxes side by side, and tells them in order', async (t) => {
  const names = Array.from({ length: 500 }, (_, i) => `box${String(i).padStart(3, '0')}`)
  let running = 0
  let most = 0
  const { mail, wire } = await world(
    t,
    { mailboxes: Object.fromEntries(names.map((name) => [name, undefined])) },
    {
      open: async () => {
        const account = mail.open()
        return Object.assign(account, {
          status: async (name: string) => {
            most = Math.max(most, ++running)
            await new Promise((resolve) => setImmediate(resolve))
            running--
            return { ...(await mail.open().status(name)), messages: Number(name.slice(3)) || 0 }
          },
        })
      },
    },
  )
  const c = await wire()
  await c.login()
  const heard = await lines(c, 'LIST "" box* RETURN (STATUS (MESSAGES))')
  assert.deepEqual(
    heard,
    names.flatMap((name, i) => [`* LIST (\\HasNoChildren) "/" ${name}`, `* STATUS ${name} (MESSAGES ${i})`]),
  )
  assert.ok(most > 8 && most <= 64, `${most} at once`)
})

test('a mailbox deleted while LIST asks for its counts is told as one that cannot be selected', async (t) => {
  const { mail, wire } = await world(
    t,
    { mailboxes: { a: undefined, b: undefined } },
    {
      open: async () => {
        const account = mail.open()
        const status = account.status.bind(account)
        return Object.assign(account, {
          status: async (name: string) => {
            if (name === 'a') await account.delete('a')
            return status(name)
          },
        })
      },
    },
  )
  const c = await wire()
  await c.login()
  assert.deepEqual(await lines(c, 'LIST "" ? RETURN (STATUS (MESSAGES))'), [])
  assert.deepEqual(await lines(c, 'LIST "" (a b) RETURN (STATUS (MESSAGES))'), [
    '* LIST (\\Noselect \\HasNoChildren) "/" a',
    '* LIST (\\HasNoChildren) "/" b',
    '* STATUS b (MESSAGES 0)',
  ])
})

test('names are UTF-8 for clients that enabled it, and a name of another spelling is told by its own', async (t) => {
  const { c, user } = await session(t)
  assert.match(await c.ask('a CREATE Entw&APw-rfe'), /^a OK \[MAILBOXID \([A-Za-z0-9_-]+\)\]/)
  for (const capability of ['UTF8=ACCEPT', 'IMAP4rev2']) {
    const modern = await user()
    await modern.ask(`e ENABLE ${capability}`)
    const utf8 = (text: string): string => Buffer.from(text).toString('latin1')
    assert.deepEqual(await lines(modern, 'LIST "" E* RETURN (STATUS (MESSAGES))'), [
      utf8('* LIST (\\HasNoChildren) "/" "Entwürfe"'),
      utf8('* STATUS "Entwürfe" (MESSAGES 0)'),
    ])
    assert.deepEqual(await lines(modern, utf8('STATUS "Entwürfe" (UNSEEN)')), [utf8('* STATUS "Entwürfe" (UNSEEN 0)')])
    // Decomposed: the same name, spelt otherwise.
    const created = await modern.ask(utf8('f CREATE "O\u0308fen"'))
    if (capability === 'IMAP4rev2')
      assert.match(
        created,
        new RegExp(utf8('^\\* LIST \\(\\\\HasNoChildren\\) "/" "Öfen" \\("OLDNAME" \\("O\u0308fen"\\)\\)\r\nf OK')),
      )
    else assert.match(created, /^f OK/)
    const renamed = await modern.ask(utf8('g RENAME "O\u0308fen" A'))
    if (capability === 'IMAP4rev2')
      assert.match(renamed, new RegExp(utf8('"/" A \\("OLDNAME" \\("O\u0308fen"\\)\\)\r\ng OK')))
    else assert.match(renamed, /^g OK/)
    await modern.ask('h DELETE A')
  }
  assert.match(await c.ask('b LIST "" E*'), /"\/" Entw&APw-rfe\r\n/)
})

test('many patterns, long patterns, deep names: refused or answered, in bounded time', async (t) => {
  const { c } = await session(t, ['a/b/c'])
  const many = `(${Array.from({ length: 10_000 }, (_, i) => `p${i}*`).join(' ')})`
  assert.match(await c.ask(`x LIST "" ${many}`), /^x (NO \[LIMIT\]|BAD)/)
  assert.match(
    await c.ask(
      `x LIST "" (${Array.from({ length: 90 }, () => `${'*x'.repeat(80)}`)
        .map((p, i) => `${p}${i}`)
        .join(' ')})`,
    ),
    /^x NO \[LIMIT\]/,
  )
  assert.match(await c.ask(`x LIST "" ${'%'.repeat(5000)}`), /^x OK/)
  assert.match(await c.ask(`x CREATE ${'d/'.repeat(2000)}`), /^x NO \[CANNOT\]/)
  const deep = Array.from({ length: 400 }, () => 'd').join('/')
  assert.match(await c.ask(`x CREATE ${deep}`), /^x OK/)
  const listed = await c.ask('x LIST (SUBSCRIBED RECURSIVEMATCH) "" *')
  assert.match(listed, /^x OK/)
  await c.ask(`x SUBSCRIBE ${deep}`)
  assert.deepEqual(await lines(c, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" d'), [
    '* LIST (\\HasChildren) "/" d ("CHILDINFO" ("SUBSCRIBED"))',
  ])
  assert.equal((await lines(c, 'LIST "" d*')).length, 400)
})

test('LSUB tells what is subscribed, and with % the levels above it', async (t) => {
  const { c } = await session(t, ['a/b/c', 'x'])
  for (const name of ['a/b/c', 'x', 'x/gone', 'iNbOx']) await c.ask(`a SUBSCRIBE ${name}`)
  assert.deepEqual(await lines(c, 'LSUB "" *'), [
    '* LSUB () "/" INBOX',
    '* LSUB () "/" a/b/c',
    '* LSUB () "/" x',
    '* LSUB () "/" x/gone',
  ])
  assert.deepEqual(await lines(c, 'LSUB "" %'), ['* LSUB () "/" INBOX', '* LSUB (\\Noselect) "/" a', '* LSUB () "/" x'])
  assert.deepEqual(await lines(c, 'LSUB a/ %'), ['* LSUB (\\Noselect) "/" a/b'])
  assert.deepEqual(await lines(c, 'LSUB "" inbox'), ['* LSUB () "/" INBOX'])
})
