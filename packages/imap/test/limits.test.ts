// What one command may hold, each limit set low: beyond it the command is refused with a code that says so, and the session goes on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fill, world } from './harness.ts'

const message = '{3+}\r\na\r\n'

/** The limits, a command that just keeps to them, one that goes beyond, and the code it is refused with. */
const CASES = [
  [{ listDepth: 3 }, 'SEARCH ((ALL))', 'SEARCH ((((ALL))))', 'LIMIT'],
  [{ searchKeys: 3 }, 'SEARCH SEEN UNSEEN ALL', 'SEARCH SEEN UNSEEN ALL 1', 'LIMIT'],
  [{ sortCriteria: 2 }, 'SORT (DATE REVERSE SIZE) UTF-8 ALL', 'SORT (DATE SIZE SUBJECT) UTF-8 ALL', 'LIMIT'],
  [{ mailboxNames: 2 }, 'ESEARCH IN (mailboxes (a b)) ALL', 'ESEARCH IN (mailboxes (a b c)) ALL', 'LIMIT'],
  [{ mailboxNames: 1 }, 'ESEARCH IN (selected) ALL', 'ESEARCH IN (selected inboxes) ALL', 'LIMIT'],
  [
    { mailboxNames: 2 },
    'NOTIFY SET (mailboxes (a b) (MailboxName))',
    'NOTIFY SET (mailboxes (a b) (MailboxName)) (mailboxes c (MailboxName))',
    'NOTIFICATIONOVERFLOW',
  ],
  [
    { notifyGroups: 1 },
    'NOTIFY SET (personal (MailboxName))',
    'NOTIFY SET (personal (MailboxName)) (inboxes (MailboxName))',
    'NOTIFICATIONOVERFLOW',
  ],
  [{ listPatterns: 2 }, 'LIST "" (a b)', 'LIST "" (a b c)', 'LIMIT'],
  [{ metadataEntries: 1 }, 'GETMETADATA "" (/private/a)', 'GETMETADATA "" (/private/a /private/b)', 'LIMIT'],
  [
    { metadataEntries: 1 },
    'SETMETADATA "" (/private/a "x")',
    'SETMETADATA "" (/private/a "x" /private/b "y")',
    'LIMIT',
  ],
  [
    { appendMessages: 2 },
    `APPEND INBOX ${message} ${message}`,
    `APPEND INBOX ${message} ${message} ${message}`,
    'LIMIT',
  ],
  [
    { appendPieces: 2 },
    `APPEND INBOX CATENATE (TEXT ${message} TEXT ${message})`,
    `APPEND INBOX CATENATE (TEXT ${message} TEXT ${message} TEXT ${message})`,
    'LIMIT',
  ],
] as const

for (const [limits, within, beyond, code] of CASES)
  test(`${JSON.stringify(limits)}: ${beyond.replaceAll(message, '~')}`, async (t) => {
    const { mail, wire } = await world(t, {}, { limits })
    await fill(mail, 2)
    const c = await wire()
    await c.login()
    await c.ask('a SELECT INBOX')
    assert.match(await c.ask(`b ${within}`), /^b OK/m)
    assert.match(await c.ask(`c ${beyond}`), new RegExp(`^c (?:NO|BAD) \\[${code}\\]`, 'm'))
    assert.match(await c.ask(`d ${within}`), /^d OK/m)
  })

test('searchContexts: one too many is told NOUPDATE, and answered all the same', async (t) => {
  const { mail, wire } = await world(t, {}, { limits: { searchContexts: 1 } })
  await fill(mail, 2)
  const c = await wire()
  await c.login()
  await c.ask('a SELECT INBOX')
  assert.doesNotMatch(await c.ask('b SEARCH RETURN (UPDATE ALL) ALL'), /NOUPDATE/)
  assert.match(
    await c.ask('c SEARCH RETURN (UPDATE ALL) ALL'),
    /NOUPDATE "c"(?:.*\r\n)*\* ESEARCH \(TAG "c"\) ALL 1:2|ALL 1:2(?:.*\r\n)*.*NOUPDATE "c"/,
  )
})
