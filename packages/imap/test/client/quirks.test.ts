// What servers get wrong and the client reads all the same: one case for each quirk.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseResponse } from '../../src/client/response/parse.ts'
import { ResponseReader } from '../../src/client/response/reader.ts'
import type { ImapResponse } from '../../src/client/response/types.ts'
import { type Quirk, QUIRKS } from '../../src/index.ts'
import { scripted } from './script.ts'

interface Read {
  readonly response: ImapResponse
  readonly quirks: Quirk[]
}

/** One response from its octets. */
function read(text: string): Read {
  const reader = new ResponseReader(1_000_000)
  reader.push(Buffer.from(text, 'latin1'))
  for (;;) {
    const event = reader.next()
    assert.ok(event !== undefined, 'the response is whole')
    if (event.kind === 'literal') reader.keep()
    else {
      assert.ok(event.kind === 'response')
      const quirks = [...event.quirks]
      const response = parseResponse(event.segments, { utf8: false, note: (quirk) => quirks.push(quirk) })
      return { response, quirks: [...new Set(quirks)] }
    }
  }
}

/** Something of the value, by a path of names and numbers. */
function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((one, key) => {
    if (one instanceof Map) return one.get(key)
    return (one as Record<string, unknown> | undefined)?.[key]
  }, value)
}

const part = (text: string): string => `* 1 FETCH (UID 5 BODYSTRUCTURE ${text})\r\n`
const TEXT = '"TEXT" "PLAIN" ("CHARSET" "UTF-8") NIL NIL "7BIT" 12 3'

/** Octets, where to look, what is found there. The only quirk is that of the row. */
const CASES: readonly (readonly [Quirk, string, string, unknown])[] = [
  [
    'address-list-empty',
    '* 1 FETCH (ENVELOPE (NIL "s" () NIL NIL NIL NIL NIL NIL NIL))\r\n',
    'message.envelope.from',
    [],
  ],
  [
    'address-list-empty',
    '* 1 FETCH (ENVELOPE (NIL "s" NIL NIL NIL "" NIL NIL NIL NIL))\r\n',
    'message.envelope.to',
    [],
  ],
  ['bare-lf', '* 3 EXISTS\n', 'number', 3],
  ['body-fields-missing', part('("TEXT" "PLAIN" NIL)'), 'message.bodyStructure.type', 'text/plain'],
  [
    'disposition-string',
    part(`(${TEXT} NIL "ATTACHMENT" NIL NIL)`),
    'message.bodyStructure.disposition.type',
    'attachment',
  ],
  ['double-space', '* 1 FETCH (FLAGS (\\Seen)  UID 5)\r\n', 'message.uid', 5],
  [
    'double-space',
    part(`(("TEXT"  "PLAIN" NIL NIL NIL "7BIT" 1 1) "MIXED")`),
    'message.bodyStructure.children.0.type',
    'text/plain',
  ],
  ['empty-copyuid', 'A1 OK [COPYUID 7 () ()] Nothing moved\r\n', 'code.kind', 'plain'],
  ['empty-copyuid', 'A1 OK [COPYUID 7] Nothing moved\r\n', 'text', 'Nothing moved'],
  ['envelope-short', '* 1 FETCH (ENVELOPE (NIL "s" NIL))\r\n', 'message.envelope.subject', 's'],
  ['huge-number', '* 1 FETCH (UID 5 MODSEQ (18446744073709551615))\r\n', 'message.modseq', undefined],
  ['list-as-nil', '* 1 FETCH (UID 5 FLAGS NIL)\r\n', 'message.flags', []],
  ['list-as-nil', '* LIST NIL "/" INBOX\r\n', 'name', 'INBOX'],
  ['literal-mark-in-text', '* OK I have seen {5}\r\n', 'text', 'I have seen {5}'],
  ['missing-space', '* STATUS INBOX(MESSAGES 3)\r\n', 'numbers.MESSAGES', 3],
  ['missing-space', '* 1 FETCH (FLAGS(\\Seen) UID 5)\r\n', 'message.flags', ['\\Seen']],
  ['missing-text', 'A1 OK\r\n', 'status', 'OK'],
  [
    'multipart-without-parts',
    part('("ALTERNATIVE" ("BOUNDARY" "x") NIL NIL)'),
    'message.bodyStructure.type',
    'multipart/alternative',
  ],
  ['name-not-utf7', '* LIST () "/" "Entw&APw-rfe & mehr"\r\n', 'name', 'Entw&APw-rfe & mehr'],
  ['name-not-utf7', '* LIST () "/" "Entw\xc3\xbcrfe"\r\n', 'name', 'Entwürfe'],
  ['negative-number', part('("APPLICATION" "PDF" NIL NIL NIL "BASE64" -1)'), 'message.bodyStructure.size', 0],
  ['number-as-nil', part('("APPLICATION" "PDF" NIL NIL NIL "BASE64" NIL)'), 'message.bodyStructure.size', 0],
  ['number-as-string', part('("APPLICATION" "PDF" NIL NIL NIL "BASE64" "12")'), 'message.bodyStructure.size', 12],
  [
    'parameters-odd',
    part('("TEXT" "PLAIN" ("CHARSET" "UTF-8" "FORMAT") NIL NIL "7BIT" 1 1)'),
    'message.bodyStructure.parameters.charset',
    'UTF-8',
  ],
  [
    'rfc822-without-envelope',
    part('("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 90 NIL ("ATTACHMENT" NIL) NIL)'),
    'message.bodyStructure.disposition.type',
    'attachment',
  ],
  ['space-before-crlf', '* SEARCH 2 4 \r\n', 'numbers', [2, 4]],
  ['space-before-crlf', '* 1 FETCH (UID 5) \r\n', 'message.uid', 5],
  ['space-before-crlf', '* LIST () "/" INBOX \r\n', 'name', 'INBOX'],
  ['space-in-list', '* 1 FETCH ( UID 5 FLAGS (\\Seen ) )\r\n', 'message.flags', ['\\Seen']],
  ['string-as-atom', part('(TEXT PLAIN NIL NIL NIL 7BIT 1 1)'), 'message.bodyStructure.encoding', '7bit'],
  ['string-as-atom', '* LIST () "/" Sent Items\r\n', 'name', 'Sent Items'],
  [
    'text-without-lines',
    part('("TEXT" "PLAIN" NIL NIL NIL "7BIT" 12 NIL ("INLINE" NIL) NIL)'),
    'message.bodyStructure.disposition.type',
    'inline',
  ],
  ['unclosed-code', '* OK [UIDVALIDITY 7\r\n', 'code.number', 7],
  ['unreadable-date', '* 1 FETCH (UID 5 INTERNALDATE "yesterday")\r\n', 'message.internalDate', undefined],
  ['unreadable-item', '* 1 FETCH (BODYSTRUCTURE ("TEXT" "PLAIN" "x" NIL NIL "7BIT" 1 1) UID 5)\r\n', 'message.uid', 5],
  ['unreadable-response', '* 1 FETCH (UID\r\n', 'kind', 'unknown'],
  ['unreadable-response', '* VANISHED nothing\r\n', 'kind', 'unknown'],
]

for (const [quirk, octets, path, expected] of CASES) {
  test(`${quirk}: ${octets.trimEnd()}`, () => {
    const { response, quirks } = read(octets)
    assert.deepEqual(quirks, [quirk])
    assert.deepEqual(at(response, path), expected)
  })
}

test('a stray tag and a continuation that nobody waits for are passed over and reported', async (t) => {
  const { server, session } = await scripted(t)
  const noop = session.noop()
  const tag = await server.command('NOOP')
  server.send('Z99 OK Whose?', '+ go ahead', `${tag} OK Done`)
  await noop
  assert.deepEqual([...session.quirks].sort(), ['stray-tag', 'unasked-continuation'])
})

test('every quirk has a case here', () => {
  const covered = new Set<string>([...CASES.map(([quirk]) => quirk), 'stray-tag', 'unasked-continuation'])
  assert.deepEqual(
    Object.keys(QUIRKS).filter((quirk) => !covered.has(quirk)),
    [],
  )
})

test('a name that is not spelt as it should be is sent back as it came', async (t) => {
  const { server, session } = await scripted(t)
  const listing = session.list()
  await server.answer('LIST "" "*"', [
    '* LIST () "/" "A & B"',
    '* LIST () "/" "Entw\xc3\xbcrfe"',
    '* LIST () "/" "&AOQ-"',
  ])
  assert.deepEqual(
    (await listing).map(({ name }) => name),
    ['A & B', 'Entwürfe', 'ä'],
  )
  const removing = session.delete('A & B')
  await server.answer('DELETE "A & B"')
  await removing
  const other = session.delete('Entwürfe')
  await server.command('DELETE {9}')
  server.send('+ go')
  assert.equal(await server.octets(11), 'Entw\xc3\xbcrfe\r\n')
  server.send('A3 OK Done')
  await other
  const right = session.delete('ä')
  await server.answer('DELETE &AOQ-')
  await right
})
