// COPY, MOVE and EXPUNGE between sessions (spec/imap.md §5.4 cases 21-24, 28, 32, 51) and their limits (RFC 9738).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fill, world } from './harness.ts'

test('32: COPYUID pairs stand in the order of the messages, whatever the order asked for; all of a message is kept', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 5)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  await c.ask('a STORE 3 +FLAGS (\\Deleted \\Answered $Work)')
  assert.match(
    await c.ask(`b APPEND INBOX (\\Draft) " 1-Apr-2026 01:02:03 -0730" {3+}\r\nabc`),
    /b OK \[APPENDUID 1001 6\]/,
  )
  assert.equal(await c.ask('c COPY 6,5,3,1 box'), 'c OK [COPYUID 1002 1,3,5:6 1:4] COPY completed\r\n')
  assert.equal(await c.ask('d UID COPY 5,3,99 box'), 'd OK [COPYUID 1002 3,5 5:6] UID COPY completed\r\n')
  assert.equal(await c.ask('e UID COPY 99 box'), 'e OK UID COPY completed\r\n')
  assert.match(await c.ask('f COPY 7 box'), /^f BAD/)
  await c.ask('g SELECT box')
  const heard = await c.ask('h FETCH 1:* (FLAGS INTERNALDATE)')
  assert.match(
    heard,
    /\* 2 FETCH \(FLAGS \(\\Answered \\Deleted \$Work \\Recent\)|\* 2 FETCH \(FLAGS \(\\Deleted \\Answered \$Work \\Recent\)/,
  )
  assert.match(heard, /\* 4 FETCH \(FLAGS \(\\Draft \\Recent\) INTERNALDATE " 1-Apr-2026 01:02:03 -0730"\)/)
})

test('51: MOVE says where everything went, then what is gone', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 5)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(
    await c.ask('b MOVE 4,2 box'),
    /^\* OK \[COPYUID 1002 2,4 1:2\] .*\r\n\* 4 EXPUNGE\r\n\* 2 EXPUNGE\r\nb OK/,
  )
  // Into the mailbox itself: new UIDs, and the count is right at every line.
  assert.match(
    await c.ask('c UID MOVE 1,5 INBOX'),
    /^\* OK \[COPYUID 1001 1,5 6:7\] .*\r\n\* 3 EXPUNGE\r\n\* 1 EXPUNGE\r\n\* 3 EXISTS\r\n\* \d RECENT\r\nc OK/,
  )
  assert.match(
    await c.ask('d FETCH 1:* UID'),
    /\* 1 FETCH \(UID 3\)\r\n\* 2 FETCH \(UID 6\)\r\n\* 3 FETCH \(UID 7\)\r\nd OK/,
  )
  for (const command of ['MOVE 1 missing', 'UID MOVE 3 missing', 'COPY 1 missing', 'UID COPY 3 missing'])
    assert.equal((await c.ask(`e ${command}`)).replace(/\] .*/, ']'), 'e NO [TRYCREATE]\r\n', command)
  assert.match(await c.ask('f STATUS INBOX (MESSAGES UIDNEXT)'), /MESSAGES 3 UIDNEXT 8\)/)
  assert.equal(await c.ask('g UID MOVE 99 box'), 'g OK UID MOVE completed\r\n')
  await c.ask('h EXAMINE INBOX')
  assert.match(await c.ask('i MOVE 1 box'), /^i NO \[READ-ONLY\]/)
  assert.match(await c.ask('j COPY 1 box'), /^j OK \[COPYUID/)
})

test('21, 22, 23, 24: what others expunge is told when it may be, in numbers that are true when they are read', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 6)
  const [c, other] = [await wire(), await wire()]
  await c.login()
  await other.login()
  await c.ask('s SELECT INBOX')
  await other.ask('s SELECT INBOX')
  await other.ask('a STORE 1,3 +FLAGS.SILENT \\Deleted')
  await other.ask('b EXPUNGE')
  // The old numbers still name the old messages, gone ones too.
  assert.match(await c.ask('a FETCH 2,4 UID'), /^\* 2 FETCH \(UID 2\)\r\n\* 4 FETCH \(UID 4\)\r\na OK/)
  assert.match(await c.ask('b FETCH 3 BODY.PEEK[TEXT]'), /body 3/)
  assert.doesNotMatch(await c.ask('c STORE 4 +FLAGS \\Seen'), / EXPUNGE\r/)
  assert.doesNotMatch(await c.ask('d SEARCH ALL'), / EXPUNGE\r/)
  // COPY of a gone and a live one takes the live one; of gone ones only, it says so.
  assert.match(await c.ask('e UID COPY 3,4 box'), /\* 3 EXPUNGE\r\n\* 1 EXPUNGE\r\ne OK \[COPYUID 1002 4 1\]/)
  await other.ask('c UID STORE 2 +FLAGS.SILENT \\Deleted')
  await other.ask('d UID EXPUNGE 2')
  assert.match(await c.ask('f COPY 1 box'), /f NO \[EXPUNGEISSUED\]/)
  assert.match(await c.ask('g NOOP'), /^(\* 1 EXPUNGE\r\n)?g OK/)
  // Came and went between two looks, with one that stays: one EXISTS with the true count.
  await other.ask('e APPEND INBOX {3+}\r\nabc')
  await other.ask('f APPEND INBOX {3+}\r\ndef')
  await other.ask('g UID STORE 7,6 +FLAGS.SILENT \\Deleted')
  await other.ask('h UID EXPUNGE 6:7')
  const heard = await c.ask('h NOOP')
  assert.match(heard, /^\* 3 EXPUNGE\r\n\* 3 EXISTS\r\n\* \d RECENT\r\nh OK/)
  assert.match(await c.ask('i FETCH 1:* UID'), /\(UID 4\)\r\n\* 2 FETCH \(UID 5\)\r\n\* 3 FETCH \(UID 8\)\r\ni OK/)
})

test('28: pipelined commands with an EXPUNGE among them mean the numbers that the client could know', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } })
  await fill(mail, 3)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  await c.ask('t STORE 1 +FLAGS.SILENT \\Deleted')
  c.send('a FETCH 1 UID\r\nb EXPUNGE\r\nc FETCH 1 UID\r\nd MOVE 1 box\r\ne FETCH 1 UID\r\n')
  assert.match(
    await c.until('e '),
    /^\* 1 FETCH \(UID 1\)\r\na OK .*\r\n\* 1 EXPUNGE\r\nb OK .*\r\n\* 1 FETCH \(UID 2\)\r\nc OK .*\r\n\* OK \[COPYUID 1002 2 1\] .*\r\n\* 1 EXPUNGE\r\nd OK .*\r\n\* 1 FETCH \(UID 3\)\r\ne OK/,
  )
})

test('RFC 9738: MESSAGELIMIT is announced and kept: the newest first, COPY all or nothing', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } }, { limits: { messageLimit: 3 } })
  await fill(mail, 8)
  const c = await wire()
  await c.login()
  assert.match(await c.ask('a CAPABILITY'), / MESSAGELIMIT=3(?= |\r)/)
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('b COPY 1:4 box'), /^b NO \[MESSAGELIMIT 3 2\]/)
  assert.match(await c.ask('c COPY 1:3 box'), /^c OK \[COPYUID/)
  assert.match(await c.ask('d UID MOVE 1,4:6,8 box'), /^\* OK \[COPYUID 1002 5:6,8 4:6\][^]*d OK \[MESSAGELIMIT 3 5\]/)
  assert.match(await c.ask('e STORE 1:* +FLAGS.SILENT \\Deleted'), /^e OK \[MESSAGELIMIT 3 3\]/)
  assert.match(await c.ask('e UID STORE 1:2 +FLAGS.SILENT \\Deleted'), /^e OK UID STORE/)
  assert.match(
    await c.ask('f UID EXPUNGE 1:*'),
    /^\* 5 EXPUNGE\r\n\* 4 EXPUNGE\r\n\* 3 EXPUNGE\r\nf OK \[MESSAGELIMIT 3 3\]/,
  )
  assert.match(await c.ask('g UID EXPUNGE 1:2'), /\* 2 EXPUNGE\r\n\* 1 EXPUNGE\r\ng OK UID/)
  const [four, three] = [4, 3].map((count) => Array(count).fill('{1+}\r\nx').join(' '))
  assert.match(await c.ask(`h APPEND box ${four}`), /^h NO \[MESSAGELIMIT 3\]/)
  assert.match(await c.ask(`i APPEND box ${three}`), /^i OK/)
})

test('RFC 9738 §3.1: SEARCH looks at the newest messages that its numbers allow, and says how far down it went', async (t) => {
  const { mail, wire } = await world(t, {}, { limits: { messageLimit: 3 } })
  await fill(mail, 8)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('a SEARCH ALL'), /^\* SEARCH 6 7 8\r\na OK \[MESSAGELIMIT 3 6\]/)
  assert.match(await c.ask('b UID SEARCH UIDBEFORE 6 UNSEEN'), /^\* SEARCH 3 4 5\r\nb OK \[MESSAGELIMIT 3 3\]/)
  assert.match(await c.ask('c UID SEARCH (UIDBEFORE 3)'), /^\* SEARCH 1 2\r\nc OK UID SEARCH/)
  assert.match(await c.ask('d UID SEARCH UIDAFTER 5'), /^\* SEARCH 6 7 8\r\nd OK UID SEARCH/)
  assert.match(await c.ask('e UID SEARCH UIDAFTER 8'), /^\* SEARCH\r\ne OK UID SEARCH/)
  // What is looked at counts, not what is found; a set under OR narrows nothing down.
  assert.match(await c.ask('f SEARCH SEEN'), /^\* SEARCH\r\nf OK \[MESSAGELIMIT 3 6\]/)
  assert.match(await c.ask('g SEARCH OR 1:2 SEEN'), /^\* SEARCH\r\ng OK \[MESSAGELIMIT 3 6\]/)
  assert.match(await c.ask('h SEARCH UIDBEFORE 0'), /^h BAD/)
  // What is saved is what was found.
  assert.match(await c.ask('i SEARCH RETURN (SAVE COUNT) ALL'), /COUNT 3\r\ni OK \[MESSAGELIMIT 3 6\]/)
  assert.match(await c.ask('j UID FETCH $ UID'), /^(\* [678] FETCH .*\r\n){3}j OK UID/)
  assert.match(
    await c.ask('k UID SEARCH RETURN (UPDATE ALL) ALL'),
    /\* NO \[NOUPDATE "k"\].*\r\nk OK \[MESSAGELIMIT 3 6\]/,
  )
  assert.match(await c.ask('l UID FETCH 1:* UID (PARTIAL 1:4)'), /^l NO \[MESSAGELIMIT 3\]/)
  assert.match(await c.ask('m UID FETCH 1:* UID (PARTIAL 1:3)'), /^(\* [123] FETCH .*\r\n){3}m OK UID/)
})

test('RFC 9738 §3.1: where the tagged response has a code of its own, the limit is told in an untagged NO', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } }, { limits: { messageLimit: 2 } })
  await fill(mail, 6)
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX (CONDSTORE)')
  assert.match(
    await c.ask('a UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (\\Deleted)'),
    /^\* NO \[MESSAGELIMIT 2 5\].*\r\na OK \[MODIFIED 5:6\]/m,
  )
  assert.match(
    await c.ask('b UID MOVE 1:* box'),
    /^\* NO \[MESSAGELIMIT 2 5\].*\r\n(\* \d+ EXPUNGE\r\n){2}b OK \[HIGHESTMODSEQ \d+\]/m,
  )
  // Only what is \\Deleted counts for UID EXPUNGE.
  await c.ask('c UID STORE 1,3 +FLAGS.SILENT (\\Deleted)')
  assert.match(await c.ask('d UID EXPUNGE 1:*'), /^\* 3 EXPUNGE\r\n\* 1 EXPUNGE\r\nd OK \[HIGHESTMODSEQ/)
})

test('RFC 9738 §3.3: SORT and THREAD of more than the limit are refused, as is a search that goes through too many mailboxes', async (t) => {
  const { mail, wire } = await world(
    t,
    { mailboxes: { box: undefined, small: undefined } },
    { limits: { messageLimit: 3 } },
  )
  await fill(mail, 5)
  await fill(mail, 2, 'box')
  await fill(mail, 3, 'small')
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('a SORT (SUBJECT) UTF-8 ALL'), /^a NO \[MESSAGELIMIT 3\]/)
  assert.match(await c.ask('b UID SORT RETURN (PARTIAL 1:2) (SUBJECT) UTF-8 UNSEEN'), /^b NO \[MESSAGELIMIT 3\]/)
  // What its numbers allow is little enough.
  assert.match(await c.ask('c UID SORT (REVERSE SUBJECT) UTF-8 UIDAFTER 2 UNSEEN'), /^\* SORT 5 4 3\r\nc OK/)
  assert.match(await c.ask('d SORT (SUBJECT) UTF-8 1:3'), /^\* SORT 1 2 3\r\nd OK/)
  assert.match(await c.ask('e UID THREAD REFERENCES UTF-8 UID 1:2'), /^e NO \[MESSAGELIMIT 3\]/)
  // A refused search leaves nothing saved (RFC 5182 §2.1).
  await c.ask('f SEARCH RETURN (SAVE) 5')
  assert.match(await c.ask('g SORT RETURN (SAVE) (SUBJECT) UTF-8 ALL'), /^g NO \[MESSAGELIMIT 3\]/)
  assert.match(await c.ask('h UID FETCH $ UID'), /^h OK/)
  const esearch = (sources: string, keys: string): Promise<string> => c.ask(`i ESEARCH IN (${sources}) ${keys}`)
  assert.match(await esearch('mailboxes small', 'ALL'), /^\* ESEARCH .*MAILBOX small .*ALL 1:3\r\ni OK/)
  assert.match(await esearch('mailboxes (box small)', 'ALL'), /^i NO \[MESSAGELIMIT 3\]/m)
  assert.match(await esearch('mailboxes (box small)', 'UIDAFTER 2'), /^\* ESEARCH .*MAILBOX small .*ALL 3\r\ni OK/)
  assert.match(await esearch('selected', 'ALL'), /^i NO \[MESSAGELIMIT 3\]/)
  assert.match(await esearch('selected', 'UID 4:5'), /MAILBOX INBOX .*ALL 4:5\r\ni OK/)
  await c.ask('j SELECT small')
  assert.match(await c.ask('k THREAD REFERENCES UTF-8 ALL'), /^\* THREAD .*\r\nk OK/)
  assert.match(await c.ask('l SORT (SUBJECT) UTF-8 ALL'), /^\* SORT 1 2 3\r\nl OK/)
})

test('RFC 9738 §3.1: EXPUNGE and CLOSE do all there is to do', async (t) => {
  const { mail, wire } = await world(t, {}, { limits: { messageLimit: 2 } })
  await fill(mail, 8, 'INBOX', ['\\Deleted'])
  const c = await wire()
  await c.login()
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('a STATUS INBOX (UNSEEN DELETED)'), /UNSEEN 8 DELETED 8/)
  assert.match(await c.ask('b EXPUNGE'), /^(\* \d EXPUNGE\r\n){8}b OK EXPUNGE/)
  await fill(mail, 5, 'INBOX', ['\\Deleted'])
  await c.ask('c NOOP')
  assert.match(await c.ask('d CLOSE'), /^d OK/)
  assert.match(await c.ask('e STATUS INBOX (MESSAGES)'), /MESSAGES 0/)
})

test('RFC 9738: SAVELIMIT limits COPY and APPEND only', async (t) => {
  const { mail, wire } = await world(t, { mailboxes: { box: undefined } }, { limits: { saveLimit: 2 } })
  await fill(mail, 4)
  const c = await wire()
  await c.login()
  const capabilities = await c.ask('a CAPABILITY')
  assert.match(capabilities, / SAVELIMIT=2(?= |\r)/)
  assert.doesNotMatch(capabilities, /MESSAGELIMIT/)
  await c.ask('s SELECT INBOX')
  assert.match(await c.ask('b COPY 1:3 box'), /^b NO \[MESSAGELIMIT 2 2\]/)
  assert.match(await c.ask('c MOVE 1:3 box'), /c OK MOVE/)
  assert.match(await c.ask('d APPEND box {1+}\r\na {1+}\r\na {1+}\r\na'), /^d NO \[MESSAGELIMIT 2\]/)
})
