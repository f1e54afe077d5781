// ACL (RFC 4314), METADATA (RFC 5464), QUOTA (RFC 9208) and NAMESPACE: what two users see who share mailboxes.

import assert from 'node:assert/strict'
import { createServer, type AddressInfo, connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { ImapServerSession } from '../src/index.ts'
import { MemoryMail } from '../src/testing/index.ts'
import { fill, Wire } from './harness.ts'

interface Village {
  readonly anna: MemoryMail
  readonly bob: MemoryMail
  as(name: string): Promise<Wire>
}

async function village(t: TestContext): Promise<Village> {
  const users = new Map<string, MemoryMail>()
  const user = (name: string): MemoryMail =>
    users.get(name) ?? new MemoryMail({ name, users, mailboxes: { Plans: undefined, Sent: 'Sent' } })
  const [anna, bob] = [user('anna'), user('bob')]
  const sessions: ImapServerSession[] = []
  const server = createServer((socket) => {
    const session = new ImapServerSession(socket, {
      hostname: 'mail.example.org',
      login: async (user) => ({ authcid: user, authzid: user }),
      open: async ({ authcid }) => users.get(authcid)?.open() ?? Promise.reject(new Error('nobody')),
    })
    sessions.push(session)
    session.start()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const wires: Wire[] = []
  t.after(async () => {
    for (const { socket } of wires) socket.destroy()
    await Promise.all(sessions.map(({ closed }) => closed))
    server.close()
  })
  return {
    anna,
    bob,
    async as(name) {
      const c = new Wire(connect((server.address() as AddressInfo).port, '127.0.0.1'))
      wires.push(c)
      await c.until('* OK')
      assert.match(await c.ask(`l LOGIN ${name} x`), /^l OK/)
      return c
    },
  }
}

async function lines(c: Wire, command: string): Promise<string[]> {
  const all = (await c.ask(`x ${command}`)).split('\r\n').slice(0, -1)
  assert.match(all.pop() ?? '', /^x OK/, command)
  return all
}

test('what the account offers is announced, and NAMESPACE tells where others are', async (t) => {
  const { as } = await village(t)
  const c = await as('anna')
  const [capability = ''] = await lines(c, 'CAPABILITY')
  for (const name of [
    'QUOTA',
    'QUOTA=RES-STORAGE',
    'QUOTA=RES-MESSAGE',
    'QUOTA=RES-MAILBOX',
    'METADATA',
    'LIST-METADATA',
    'ACL',
    'RIGHTS=kxte',
    'LIST-MYRIGHTS',
    'NOTIFY',
  ])
    assert.ok(` ${capability} `.includes(` ${name} `), name)
  assert.deepEqual(await lines(c, 'NAMESPACE'), ['* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL'])
})

test('SETACL: rights set, added, removed, the old letters, and what is no right', async (t) => {
  const { as } = await village(t)
  const c = await as('anna')
  const list = async (): Promise<string> => (await lines(c, 'GETACL Plans')).join()
  assert.equal(await list(), '* ACL Plans anna lrswipkxteacd')
  await lines(c, 'SETACL Plans bob lrswida')
  assert.equal(await list(), '* ACL Plans anna lrswipkxteacd bob lrswitead')
  await lines(c, 'SETACL Plans bob -rd')
  assert.equal(await list(), '* ACL Plans anna lrswipkxteacd bob lswia')
  await lines(c, 'SETACL Plans "bob" +rck')
  assert.equal(await list(), '* ACL Plans anna lrswipkxteacd bob lrswikxac')
  for (const rights of ['lrQ', 'lrq', '+0', '"l r"'])
    assert.match(await c.ask(`x SETACL Plans bob ${rights}`), /^x BAD/)
  assert.match(await c.ask('x SETACL Plans -bob w'), /^x NO \[CANNOT\]/)
  assert.match(await c.ask('x SETACL Plans nobody lr'), /^x NO \[CANNOT\]/)
  assert.match(await c.ask('x SETACL Plans anna lr'), /^x NO \[CANNOT\]/)
  assert.match(await c.ask('x SETACL Plans "" lr'), /^x BAD/)
  assert.match(await c.ask('x SETACL nowhere bob lr'), /^x NO \[NONEXISTENT\]/)
  assert.deepEqual(await lines(c, 'LISTRIGHTS Plans BoB'), ['* LISTRIGHTS Plans BoB "" l r s w i p k x t e a c d'])
  assert.deepEqual(await lines(c, 'LISTRIGHTS Plans anna'), ['* LISTRIGHTS Plans anna lrswipkxteacd'])
  assert.deepEqual(await lines(c, 'MYRIGHTS Plans'), ['* MYRIGHTS Plans lrswipkxteacd'])
  await lines(c, 'DELETEACL Plans bob')
  assert.equal(await list(), '* ACL Plans anna lrswipkxteacd')
})

test('who may not look a mailbox up learns nothing of it', async (t) => {
  const { as } = await village(t)
  const anna = await as('anna')
  const bob = await as('bob')
  const name = '"Other Users/anna/Plans"'
  for (const command of [
    `GETACL ${name}`,
    `MYRIGHTS ${name}`,
    `SETACL ${name} bob lra`,
    `GETMETADATA ${name} /shared/comment`,
    `STATUS ${name} (MESSAGES)`,
    `SELECT ${name}`,
    `DELETE ${name}`,
  ])
    assert.match(await bob.ask(`x ${command}`), /^x NO \[NONEXISTENT\]/, command)
  await lines(anna, 'SETACL Plans bob l')
  assert.deepEqual(await lines(bob, `MYRIGHTS ${name}`), [`* MYRIGHTS ${name} l`])
  assert.match(await bob.ask(`x GETACL ${name}`), /^x NO \[NOPERM\]/)
  assert.match(await bob.ask(`x SELECT ${name}`), /NO \[NOPERM\]/)
  assert.match(await bob.ask(`x GETMETADATA ${name} /shared/comment`), /^x NO \[NOPERM\]/)
  // It cannot be selected, and LIST says so.
  assert.deepEqual(await lines(bob, 'LIST "" "Other*" RETURN (STATUS (MESSAGES) MYRIGHTS)'), [
    '* LIST (\\NonExistent \\HasChildren) "/" "Other Users"',
    '* LIST (\\NonExistent \\HasChildren) "/" "Other Users/anna"',
    `* LIST (\\Noselect \\HasNoChildren) "/" ${name}`,
    `* MYRIGHTS ${name} l`,
  ])
  await lines(anna, 'SETACL Plans bob r')
  assert.deepEqual(await lines(bob, 'LIST "" "Other*"'), [])
})

test('a level of the hierarchy that may not be looked up is one that does not exist', async (t) => {
  const { anna, as } = await village(t)
  await anna.open().create('Plans/2026')
  const a = await as('anna')
  const b = await as('bob')
  await lines(a, 'SETACL Plans/2026 bob lr')
  assert.deepEqual(await lines(b, 'LIST "Other Users/anna/" * RETURN (STATUS (MESSAGES))'), [
    '* LIST (\\NonExistent \\HasChildren) "/" "Other Users/anna/Plans"',
    '* LIST (\\HasNoChildren) "/" "Other Users/anna/Plans/2026"',
    '* STATUS "Other Users/anna/Plans/2026" (MESSAGES 0)',
  ])
  // Its role is its owner's.
  await lines(a, 'SETACL Sent bob lr')
  assert.deepEqual(await lines(b, 'LIST (SPECIAL-USE) "" *'), ['* LIST (\\HasNoChildren \\Sent) "/" Sent'])
})

test('a selected mailbox does what the rights allow: flags by kind, CLOSE without expunging, READ-ONLY', async (t) => {
  const { anna, as } = await village(t)
  await fill(anna, 1, 'Plans', ['\\Deleted', 'Work'])
  const owner = await as('anna')
  const c = await as('bob')
  const select = async (rights: string): Promise<string> => {
    await lines(owner, `SETACL Plans bob ${rights}`)
    return c.ask('s SELECT "Other Users/anna/Plans"')
  }
  let opened = await select('lr')
  assert.match(opened, /PERMANENTFLAGS \(\)\]/)
  assert.match(opened, /s OK \[READ-ONLY\]/)
  assert.match(await c.ask('x STORE 1 +FLAGS (\\Seen)'), /^x NO \[READ-ONLY\]/)
  await lines(c, 'FETCH 1 BODY[]')
  opened = await select('lrs')
  assert.match(opened, /PERMANENTFLAGS \(\\Seen\)\]/)
  assert.match(opened, /s OK \[READ-WRITE\]/)
  assert.match(await c.ask('x STORE 1 +FLAGS (\\Flagged)'), /^x NO \[NOPERM\]/)
  assert.match(await c.ask('x STORE 1 -FLAGS (\\Deleted)'), /^x NO \[NOPERM\]/)
  // One of the flags may be changed: it is, and the others stay (RFC 4314 §4).
  assert.match((await lines(c, 'STORE 1 +FLAGS (\\Flagged \\Seen)')).join(), /FLAGS \(\\Deleted Work \\Seen/)
  assert.match((await lines(c, 'STORE 1 FLAGS (\\Flagged)')).join(), /FLAGS \(\\Deleted Work[^S]*\)/)
  assert.match(await c.ask('x EXPUNGE'), /^x NO \[NOPERM\]/)
  assert.match(await c.ask('x MOVE 1 INBOX'), /^x NO \[NOPERM\]/)
  assert.match(await c.ask('x CLOSE'), /^x OK/)
  opened = await select('lrw')
  assert.match(opened, /PERMANENTFLAGS \(\\Answered \\Flagged \\Draft Work \\\*\)\]/)
  assert.match((await lines(c, 'STORE 1 FLAGS (\\Answered)')).join(), /FLAGS \([^)]*\\Answered[^)]*\)/)
  assert.equal((await anna.open().status('Plans')).messages, 1)
  opened = await select('lrte')
  assert.match((await lines(c, 'EXPUNGE')).join(), /\* 1 EXPUNGE/)
})

test('a mailbox that is not shared any more ends the session that has it selected', async (t) => {
  const { anna, as } = await village(t)
  await fill(anna, 1, 'Plans')
  const owner = await as('anna')
  const c = await as('bob')
  await lines(owner, 'SETACL Plans bob lrs')
  await c.ask('s SELECT "Other Users/anna/Plans"')
  await lines(owner, 'DELETEACL Plans bob')
  c.send('x FETCH 1 BODY[]\r\n')
  const said = await c.rest()
  assert.doesNotMatch(said, /body 1/)
  assert.match(said, /\* BYE/)
})

test('GETMETADATA: options on either side, sizes, depths, what is not there', async (t) => {
  const { as } = await village(t)
  const c = await as('anna')
  await lines(
    c,
    'SETMETADATA INBOX (/private/comment "mine" /SHARED/Comment {5+}\r\n\xe4\r\nxy /private/vendor/a/b/c "c" /private/vendor/a/b "b" /private/vendor/a/bc "no")',
  )
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX /private/comment'), [
    '* METADATA INBOX (/private/comment mine)'.replace('mine', '"mine"'),
  ])
  assert.deepEqual(await lines(c, 'GETMETADATA "inbox" (/private/Comment /private/none)'), [
    '* METADATA INBOX (/private/Comment "mine" /private/none NIL)',
  ])
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX /shared/comment'), [
    '* METADATA INBOX (/shared/comment {5}',
    '\xe4',
    'xy)',
  ])
  assert.deepEqual(await lines(c, 'GETMETADATA (DEPTH 1) INBOX /private/vendor/a/b'), [
    '* METADATA INBOX (/private/vendor/a/b "b" /private/vendor/a/b/c "c")',
  ])
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX (DEPTH 1) /private/vendor/a'), [
    '* METADATA INBOX (/private/vendor/a/b "b" /private/vendor/a/bc "no")',
  ])
  assert.match(
    (await lines(c, 'GETMETADATA INBOX (DEPTH infinity MAXSIZE 100) (/private /shared)')).join(),
    /comment.*comment/,
  )
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX (DEPTH infinity) /private/none'), [])
  assert.match(
    await c.ask('x GETMETADATA (MAXSIZE 3) INBOX (/private/comment /private/vendor/a/b)'),
    /^\* METADATA INBOX \(\/private\/vendor\/a\/b "b"\)\r\nx OK \[METADATA LONGENTRIES 4\]/,
  )
  // Octets that no string can hold.
  await lines(c, 'SETMETADATA INBOX (/private/bin ~{3+}\r\na\0b)')
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX /private/bin'), ['* METADATA INBOX (/private/bin ~{3}', 'a\0b)'])
  await lines(c, 'SETMETADATA INBOX (/private/bin NIL /private/comment NIL)')
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX (/private/bin /private/comment)'), [
    '* METADATA INBOX (/private/bin NIL /private/comment NIL)',
  ])
  // The special use is an entry, made by the server (RFC 6154 §4).
  assert.deepEqual(await lines(c, 'GETMETADATA Sent /private/specialuse'), [
    '* METADATA Sent (/private/specialuse "\\\\Sent")',
  ])
  assert.match(await c.ask('x SETMETADATA Sent (/private/specialuse "\\\\Junk")'), /^x NO \[CANNOT\]/)
  assert.match(await c.ask('x SETMETADATA "" (/shared/admin "mailto:me")'), /^x NO \[NOPERM\]/)
  await lines(c, 'SETMETADATA "" (/private/vendor/x/y "server")')
  assert.deepEqual(await lines(c, 'GETMETADATA "" (DEPTH infinity) /private'), [
    '* METADATA "" (/private/vendor/x/y "server")',
  ])
  assert.match(await c.ask('x GETMETADATA nowhere /private/comment'), /^x NO \[NONEXISTENT\]/)
  for (const command of [
    'GETMETADATA INBOX',
    'GETMETADATA INBOX ()',
    'GETMETADATA INBOX /other/x',
    'GETMETADATA INBOX comment',
    'GETMETADATA INBOX /private//x',
    'GETMETADATA INBOX /private/x/',
    'GETMETADATA INBOX "/private/*"',
    'GETMETADATA (DEPTH 2) INBOX /private/x',
    'GETMETADATA (BOGUS 2) INBOX /private/x',
    'GETMETADATA (MAXSIZE) INBOX /private/x',
    'GETMETADATA (MAXSIZE 1) INBOX (DEPTH 1) /private/x',
    'SETMETADATA INBOX ()',
    'SETMETADATA INBOX (/private "x")',
    'SETMETADATA INBOX (/private/vendor/x "x")',
    'SETMETADATA INBOX (/private/x)',
    'SETMETADATA INBOX (/private/x word)',
    'SETMETADATA INBOX /private/x "x"',
    `GETMETADATA INBOX /private/${'x'.repeat(300)}`,
  ])
    assert.match(await c.ask(`x ${command}`), /^x BAD/, command)
})

test('too large, too many: refused whole, with the limit; LIST tells the notes of many mailboxes', async (t) => {
  const { as } = await village(t)
  const c = await as('anna')
  assert.match(
    await c.ask(`x SETMETADATA INBOX (/private/a "1" /private/big {70000+}\r\n${'x'.repeat(70_000)})`),
    /^x NO \[METADATA MAXSIZE \d+\]/,
  )
  const many = Array.from({ length: 999 }, (_, i) => `/private/n${i} "x"`).join(' ')
  await lines(c, `SETMETADATA INBOX (${many})`)
  assert.match(await c.ask('x SETMETADATA INBOX (/private/a "1" /private/b "2")'), /^x NO \[METADATA TOOMANY\]/)
  assert.deepEqual(await lines(c, 'GETMETADATA INBOX /private/a'), ['* METADATA INBOX (/private/a NIL)'])
  await lines(c, 'SETMETADATA Plans (/shared/vendor/x/colour "red")')
  assert.deepEqual(await lines(c, 'LIST "" % RETURN (METADATA ("/shared/vendor/x/colour" /private/specialuse))'), [
    '* LIST (\\HasNoChildren) "/" INBOX',
    '* METADATA INBOX (/shared/vendor/x/colour NIL /private/specialuse NIL)',
    '* LIST (\\HasNoChildren) "/" Plans',
    '* METADATA Plans (/shared/vendor/x/colour "red" /private/specialuse NIL)',
    '* LIST (\\HasNoChildren \\Sent) "/" Sent',
    '* METADATA Sent (/shared/vendor/x/colour NIL /private/specialuse "\\\\Sent")',
  ])
})

test('changed notes are told to who asked by ENABLE or NOTIFY, of others’ doing only', async (t) => {
  const { as } = await village(t)
  const [c, d, e, bob] = [await as('anna'), await as('anna'), await as('anna'), await as('bob')]
  assert.deepEqual(await lines(c, 'ENABLE METADATA'), ['* ENABLED METADATA'])
  await lines(d, 'NOTIFY SET (mailboxes Plans (MailboxMetadataChange)) (personal (ServerMetadataChange))')
  assert.deepEqual(await lines(c, 'SETMETADATA Plans (/shared/comment "x" /private/comment "y")'), [])
  assert.deepEqual(await lines(c, 'NOOP'), [])
  assert.deepEqual((await d.until('* METADATA')).split('\r\n').slice(0, -1), [
    '* METADATA Plans /private/comment /shared/comment',
  ])
  await lines(c, 'SETMETADATA INBOX (/private/comment "y")')
  assert.deepEqual(await lines(d, 'SETMETADATA "" (/private/vendor/x/y "z")'), [])
  assert.deepEqual(await lines(d, 'NOOP'), [], 'neither watched, nor another’s doing')
  assert.deepEqual(await lines(c, 'NOOP'), ['* METADATA "" /private/vendor/x/y'])
  assert.deepEqual(await lines(e, 'NOOP'), [])
  // What is another user's own is told to that user only.
  await lines(c, 'SETACL Plans bob lrw')
  await lines(bob, 'SETMETADATA "Other Users/anna/Plans" (/private/comment "mine")')
  assert.deepEqual(await lines(c, 'NOOP'), [])
  await lines(bob, 'SETMETADATA "Other Users/anna/Plans" (/shared/comment NIL)')
  assert.deepEqual(await lines(c, 'NOOP'), ['* METADATA Plans /shared/comment'])
})

test('NOTIFY hears of rights that come and go, and of mail in others’ mailboxes', async (t) => {
  const { anna, as } = await village(t)
  const owner = await as('anna')
  const c = await as('bob')
  const name = '"Other Users/anna/Plans"'
  await lines(c, `NOTIFY SET (mailboxes ${name} (MailboxName MessageNew MessageExpunge))`)
  await lines(owner, 'SETACL Plans bob lr')
  assert.deepEqual((await c.until('* LIST')).split('\r\n').slice(0, -1), [`* LIST (\\HasNoChildren) "/" ${name}`])
  await fill(anna, 1, 'Plans')
  assert.match(await c.until('* STATUS'), /STATUS "Other Users\/anna\/Plans" \(MESSAGES 1 UIDNEXT 2/)
  await lines(owner, 'SETACL Plans bob l')
  assert.match(await c.until('* LIST'), /^\* LIST \(\\NoAccess \\Noselect \\HasNoChildren\)/)
  assert.deepEqual(await lines(c, `NOTIFY SET STATUS (mailboxes ${name} (MessageNew MessageExpunge))`), [
    `* LIST (\\NoAccess \\Noselect \\HasNoChildren) "/" ${name}`,
  ])
  await lines(owner, 'SETACL Plans bob lr')
  await c.until('* LIST (\\HasNoChildren)')
  await lines(c, `NOTIFY SET (subtree "Other Users" (MailboxName))`)
  await lines(owner, 'DELETEACL Plans bob')
  assert.match(
    await c.until('* LIST (\\NonExistent'),
    /\* LIST \(\\NonExistent \\HasNoChildren\) "\/" "Other Users\/anna\/Plans"/,
  )
})

test('RFC 5465 §5: names and subscriptions of a mailbox that may be looked up and not read are no news; the right to read it is', async (t) => {
  const { as } = await village(t)
  const owner = await as('anna')
  const c = await as('bob')
  const other = await as('bob')
  const name = '"Other Users/anna/Plans"'
  const noAccess = `* LIST (\\NoAccess \\Noselect \\HasNoChildren) "/" ${name}`
  const heard = async (line: string): Promise<string[]> => (await c.until(line)).split('\r\n').slice(0, -1)
  const names = ['Plans', 'Plans/Secret', 'Schemes', 'Sent'].map((one) => `"Other Users/anna/${one}"`).join(' ')
  await lines(c, `NOTIFY SET (mailboxes (${names}) (MailboxName SubscriptionChange))`)
  await lines(owner, 'SETACL Plans bob l')
  await lines(owner, 'CREATE Plans/Secret')
  await lines(other, `SUBSCRIBE ${name}`)
  await lines(other, `UNSUBSCRIBE ${name}`)
  await lines(owner, 'DELETE Plans/Secret')
  await lines(owner, 'SETACL Sent bob lr')
  assert.deepEqual(await heard('* LIST'), ['* LIST (\\HasNoChildren) "/" "Other Users/anna/Sent"'])
  // Who asks now is told that there is one they will hear nothing of.
  assert.deepEqual(await lines(other, 'NOTIFY SET (subtree "Other Users" (MailboxName))'), [noAccess])
  await lines(owner, 'SETACL Plans bob lr')
  assert.deepEqual(await heard('* LIST'), [`* LIST (\\HasNoChildren) "/" ${name}`])
  await lines(owner, 'SETACL Plans bob l')
  assert.deepEqual(await heard('* LIST'), [noAccess])
  await lines(owner, 'RENAME Plans Schemes')
  await lines(owner, 'DELETE Schemes')
  await lines(owner, 'DELETEACL Sent bob')
  assert.deepEqual(await heard('* LIST'), ['* LIST (\\NonExistent \\HasNoChildren) "/" "Other Users/anna/Sent"'])
})

test('quota: one root for one’s own mail, limits only where there are, none for others’ mailboxes', async (t) => {
  const { anna, as } = await village(t)
  const c = await as('anna')
  assert.deepEqual(await lines(c, 'GETQUOTA ""'), ['* QUOTA "" ()'])
  anna.limit('STORAGE', 10)
  anna.limit('MESSAGE', 5)
  await fill(anna, 3)
  assert.deepEqual(await lines(c, 'GETQUOTAROOT inbox'), [
    '* QUOTAROOT INBOX ""',
    '* QUOTA "" (STORAGE 1 10 MESSAGE 3 5)',
  ])
  assert.deepEqual(await lines(c, 'GETQUOTAROOT "not made yet"'), [
    '* QUOTAROOT "not made yet" ""',
    '* QUOTA "" (STORAGE 1 10 MESSAGE 3 5)',
  ])
  assert.deepEqual(await lines(c, 'GETQUOTAROOT "Other Users/bob/Plans"'), ['* QUOTAROOT "Other Users/bob/Plans"'])
  assert.match(await c.ask('x GETQUOTA other'), /^x NO/)
  assert.match(await c.ask('x SETQUOTA "" (STORAGE 100)'), /^x NO \[NOPERM\]/)
  assert.match(await c.ask('x SETQUOTA "" STORAGE'), /^x BAD/)
  assert.match(await c.ask('x APPEND INBOX {20000+}\r\n' + 'x'.repeat(20_000)), /^x NO \[OVERQUOTA\]/)
})
