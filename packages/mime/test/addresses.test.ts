import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { simpleParser } from 'mailparser'
import {
  type AddressOrGroup,
  decodeWords,
  formatAddress,
  MailAddress,
  parseAddressList,
  parseMailAddress,
} from '../src/index.ts'

/** `name|local|domain|route`, groups with braces. */
function brief(entry: AddressOrGroup): string {
  if (entry.kind === 'group') return `${entry.name}{${entry.members.map(brief).join(' ; ')}}`
  return [entry.name ?? '', entry.local, entry.domain, entry.route].filter((field) => field !== undefined).join('|')
}

// RFC 5322 appendix A, and what real mail has.
const lists: [string, string[]][] = [
  ['John Doe <jdoe@machine.example>', ['John Doe|jdoe|machine.example']],
  [
    'Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>',
    ['Mary Smith|mary|x.test', '|jdoe|example.org', 'Who?|one|y.test'],
  ],
  [
    '<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
    ['|boss|nil.test', 'Giant; "Big" Box|sysservices|example.net'],
  ],
  [
    'A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;',
    ['A Group{Ed Jones|c|a.test ; |joe|where.test ; John|jdoe|one.test}'],
  ],
  ['Undisclosed recipients:;', ['Undisclosed recipients{}']],
  ['Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>', ['Pete|pete|silly.test']],
  [
    "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org;",
    ['A Group{Chris Jones|c|public.example ; |joe|example.org}'],
  ],
  ['(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;', ['Hidden recipients{}']],
  ['Joe Q. Public <john.q.public@example.com>', ['Joe Q. Public|john.q.public|example.com']],
  [
    'Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test  . example',
    ['Mary Smith|mary|example.net|@node.test,@b.test', '|jdoe|test.example'],
  ],
  ['joe@where.test (Joe Doe)', ['Joe Doe|joe|where.test']],
  ['"a b"@x.test', ['|a b|x.test']],
  ['a@[192.0.2.1], b@[IPv6:2001:db8::1]', ['|a|[192.0.2.1]', '|b|[IPv6:2001:db8::1]']],
  ['=?utf-8?Q?Zo=C3=AB?= <zoe@x.test>', ['=?utf-8?Q?Zo=C3=AB?=|zoe|x.test']],
  ['Zoë <zoë@exämple.test>', ['Zoë|zoë|exämple.test']],
  ['MAILER-DAEMON', ['|MAILER-DAEMON|']],
  ['a@b.test c@d.test', ['|a|b.test']],
  ['A <a@b.test> B <c@d.test>', ['A|a|b.test', 'B|c|d.test']],
  ['Broken <a@b.test, c@d.test', ['Broken|a|b.test', '|c|d.test']],
  ['Doe, John <j@x.test>', ['|Doe|', 'John|j|x.test']],
  ['a . b @ x.test', ['|a.b|x.test']],
  ['Name <>', ['Name||']],
  ['<>', []],
  [', ,;', []],
  ['', []],
]
for (const [text, expected] of lists) {
  test(`address list ${JSON.stringify(text)}`, () => assert.deepEqual(parseAddressList(text).map(brief), expected))
}

test('property: any text is survived, in linear time', () => {
  const pieces = fc.array(
    fc.constantFrom('a', '"', '\\', '(', ')', '<', '>', ',', ';', ':', '@', '.', '[', ']', ' ', '\r\n ', 'ü'),
    { maxLength: 50 },
  )
  fc.assert(
    fc.property(pieces, (words) => void parseAddressList(words.join(''))),
    { numRuns: 3000 },
  )
  for (const piece of ['(', '<', '"', 'a:', ',', '@', '<@', '[', 'a ', '"a" ', '.', '\\', '(a)', 'a@b<']) {
    const begun = process.cpuUsage()
    parseAddressList(piece.repeat(300_000))
    assert.ok(process.cpuUsage(begun).user < 2_000_000, piece)
  }
})

test('property: a formatted address is read back', () => {
  const name = fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => text.replace(/[\p{Cc}\s]+/gu, ' ').trim())
  fc.assert(
    fc.property(name, (name) => {
      const [read, ...more] = parseAddressList(formatAddress(name, 'a.b@x.test'))
      assert.ok(read?.kind === 'mailbox' && more.length === 0)
      // In a quoted name single blanks are kept, outside they are all the same.
      assert.equal(decodeWords(read.name ?? '').replace(/ +/g, ' '), name.replace(/ +/g, ' '))
      assert.equal(`${read.local}@${read.domain}`, 'a.b@x.test')
    }),
    { numRuns: 500 },
  )
})

test('differential: mailparser reads ordinary lists the same way', async () => {
  const ordinary = [
    'John Doe <jdoe@machine.example>',
    'Mary Smith <mary@x.test>, jdoe@example.org, "Who, me" <one@y.test>',
    'joe@where.test (Joe Doe)',
    'A Group: Ed Jones <c@a.test>, joe@where.test;, last@x.test',
    '=?utf-8?Q?Zo=C3=AB?= =?utf-8?B?IMOfIQ==?= <zoe@x.test>',
  ]
  for (const list of ordinary) {
    const peer = await simpleParser(`To: ${list}\r\n\r\n`)
    const entries = peer.to === undefined ? [] : [peer.to].flat().flatMap(({ value }) => value)
    const flat = (address?: string, name?: string) => `${name ?? ''}|${address ?? ''}`
    const theirs = entries.flatMap((entry) =>
      entry.group ? entry.group.map(({ address, name }) => flat(address, name)) : [flat(entry.address, entry.name)],
    )
    const ours = parseAddressList(list)
      .flatMap((entry) => (entry.kind === 'group' ? entry.members : [entry]))
      .map((entry) => flat(`${entry.local}@${entry.domain}`, decodeWords(entry.name ?? '')))
    assert.deepEqual(ours, theirs, list)
  }
})

const mailboxes: [string, string | undefined][] = [
  ['anna@example.org', 'anna@example.org'],
  ['Anna@EXAMPLE.Org.', 'Anna@example.org'],
  ['a+b.c@x.test', 'a+b.c@x.test'],
  ['"a b"@x.test', '"a b"@x.test'],
  ['"a"@x.test', 'a@x.test'],
  ['"a\\"b\\\\c"@x.test', '"a\\"b\\\\c"@x.test'],
  ['"a@b"@x.test', '"a@b"@x.test'],
  ['jürgen@bücher.test', 'jürgen@xn--bcher-kva.test'],
  ['ju\u0308rgen@BU\u0308CHER.test', 'jürgen@xn--bcher-kva.test'],
  ['a@[192.0.2.1]', 'a@[192.0.2.1]'],
  ['a@[IPv6:2001:DB8:0:0::1]', 'a@[IPv6:2001:db8::1]'],
  ['a@localhost', 'a@localhost'],
  [`${'l'.repeat(64)}@x.test`, `${'l'.repeat(64)}@x.test`],
  [`${'l'.repeat(65)}@x.test`, undefined],
  [`${'ü'.repeat(33)}@x.test`, undefined],
  [`a@${'d'.repeat(64)}.test`, undefined],
  [`a@${'d.'.repeat(127)}test`, undefined],
  ['', undefined],
  ['a', undefined],
  ['@x.test', undefined],
  ['a@', undefined],
  ['a@@x.test', undefined],
  ['.a@x.test', undefined],
  ['a..b@x.test', undefined],
  ['a b@x.test', undefined],
  ['<a@x.test>', undefined],
  ['"a@x.test', undefined],
  ['"a\u0000"@x.test', undefined],
  ['a\r\nb@x.test', undefined],
  ['a@x..test', undefined],
  ['a@-x.test', undefined],
  ['a@x_y.test', undefined],
  ['a@x.test:25', undefined],
  ['a@x%2etest', undefined],
  ['a@x.test/y', undefined],
  ['a@192.0.2.1', undefined],
  ['a@0x7f.1', undefined],
  ['a@[300.0.0.1]', undefined],
  ['a@[IPv6:fe80::1%eth0]', undefined],
  ['a@[x]', undefined],
  ['a@x.test\u0000', undefined],
  ['\ud800@x.test', undefined],
]
for (const [text, expected] of mailboxes) {
  test(`mail address ${JSON.stringify(text.slice(0, 40))}`, () =>
    assert.equal(parseMailAddress(text)?.toString(), expected))
}

test('property: an accepted address is its own spelling', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 70 }), fc.domain(), (local, domain) => {
      const address = MailAddress.of(local, domain)
      if (address) assert.deepEqual(parseMailAddress(address.toString()), address)
    }),
    { numRuns: 1000 },
  )
  fc.assert(fc.property(fc.emailAddress(), (text) => assert.ok(parseMailAddress(text), text)))
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseMailAddress(text)))
})
