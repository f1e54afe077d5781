import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { simpleParser } from 'mailparser'
import {
  compose,
  decodeBase64,
  decodeBody,
  decodeCharset,
  decodeQuotedPrintable,
  decodeText,
  decodeWords,
  encodeBase64,
  encodeQuotedPrintable,
  encodeWords,
  field,
  Headers,
  normaliseNewlines,
  parseStructure,
  previewText,
} from '../src/index.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')
const latin1 = (octets: Uint8Array) => Buffer.from(octets).toString('latin1')

// RFC 2047 §8, and what real mail has.
const words: [string, string][] = [
  ['(=?ISO-8859-1?Q?a?=)', '(a)'],
  ['=?ISO-8859-1?Q?a?= b', 'a b'],
  ['=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=', 'ab'],
  ['=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=', 'ab'],
  ['=?ISO-8859-1?Q?a_b?=', 'a b'],
  ['=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=', 'a b'],
  ['=?US-ASCII*EN?Q?Keith_Moore?=', 'Keith Moore'],
  ['=?utf-8?B?w4Q=?=', 'Ä'],
  ['=?utf-8?Q?=C3?= =?utf-8?Q?=84?=', 'Ä'],
  ['=?utf-8?q?two words?=', 'two words'],
  ['=?x-unknown?Q?=E4?=', 'ä'],
  ['=?windows-1251?B?z/Do4uXy?=', 'Привет'],
  ['=?iso-2022-jp?B?GyRCJDMbKEI=?=', 'こ'],
  ['=?utf-8?X?a?=', '=?utf-8?X?a?='],
  ['=?utf-8?Q?a', '=?utf-8?Q?a'],
  ['a=?utf-8?Q?b?=c', 'abc'],
  ['plain', 'plain'],
]
for (const [text, expected] of words) {
  test(`encoded word ${JSON.stringify(text)}`, () => assert.equal(decodeWords(text), expected))
}

test('property: encoded words are ASCII, short, and read back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (text) => {
      const clean = text.replace(/[\r\n\0]+/g, ' ')
      const encoded = encodeWords(clean)
      assert.match(encoded, /^[\t -~]*$/)
      for (const word of encoded.split(' ')) if (word.startsWith('=?')) assert.ok(word.length <= 75, word)
      assert.equal(decodeWords(encoded), clean)
    }),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('=?', '?=', '?Q?', '?B?', 'utf-8', '=C3', ' ', 'x')),
      (pieces) => void decodeWords(pieces.join('')),
    ),
  )
})

test('base64 is read with noise, inner padding and a missing end', () => {
  const read = (text: string) => latin1(decodeBase64(bytes(text)))
  assert.equal(read('aGVs\r\nbG8='), 'hello')
  assert.equal(read('a*G V\0s bG8'), 'hello')
  assert.equal(read('aGVsbG8=aGVsbG8='), 'hellohello')
  assert.equal(read('===='), '')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) =>
      assert.deepEqual(new Uint8Array(decodeBase64(bytes(encodeBase64(octets)))), octets),
    ),
  )
})

test('quoted-printable is read with its usual defects', () => {
  const read = (text: string) => latin1(decodeQuotedPrintable(bytes(text)))
  assert.equal(read('a=3Db=3db'), 'a=b=b')
  assert.equal(read('soft =\r\nbreak=  \nend='), 'soft breakend')
  assert.equal(read('blanks  \t\r\nx '), 'blanks\r\nx')
  assert.equal(read('kept=20\r\n'), 'kept \r\n')
  assert.equal(read('=zz=4'), '=zz=4')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const lines = text.toWellFormed().replace(/\r\n|\r|\n/g, '\r\n')
      const encoded = encodeQuotedPrintable(lines)
      for (const line of encoded.split('\r\n')) assert.match(line, /^[\t -~]{0,76}$/)
      assert.equal(decodeQuotedPrintable(bytes(encoded)).toString(), lines)
    }),
  )
  fc.assert(fc.property(fc.uint8Array(), (octets) => void decodeQuotedPrintable(octets)))
})

test('charsets: labels that lie do not harm', () => {
  assert.equal(decodeCharset(bytes('\xe4\x80'), 'iso-8859-1'), 'ä€')
  assert.equal(decodeCharset(bytes('\xc3\xa4'), 'us-ascii'), 'ä')
  assert.equal(decodeCharset(bytes('\xe4'), 'us-ascii'), 'ä')
  assert.equal(decodeCharset(bytes('\xe4'), 'nonsense'), 'ä')
  assert.equal(decodeCharset(bytes('a\xe4b'), 'utf-8'), 'a\ufffdb')
  assert.equal(decodeCharset(bytes('\xc0\xc1'), 'KOI8-R'), 'юа')
  assert.equal(decodeCharset(Buffer.from('あ'), 'utf-8'), 'あ')
})

test('newlines: the same object back when nothing is to do', () => {
  const fine = bytes('a\r\nb\r\n')
  assert.equal(normaliseNewlines(fine), fine)
  assert.equal(latin1(normaliseNewlines(bytes('a\nb\rc\r\n\r\r\n\n'))), 'a\r\nb\r\nc\r\n\r\n\r\n\r\n')
  fc.assert(
    fc.property(fc.array(fc.constantFrom('\r', '\n', 'x')), (pieces) => {
      const text = pieces.join('')
      assert.equal(latin1(normaliseNewlines(bytes(text))), text.replace(/\r\n|\r|\n/g, '\r\n'))
    }),
  )
})

test('a field cannot bring in another one', () => {
  assert.equal(field('Subject', 'a\r\nBcc: b'), 'Subject: a Bcc: b\r\n')
  for (const name of ['', 'A B', 'A:', 'Ä', 'A\r\n']) assert.throws(() => field(name, 'x'), RangeError)
  assert.throws(() => compose({ headers: [['Bad Name', 'x']] }), RangeError)
})

test('differential: mailparser reads what we compose, and we read it the same', async () => {
  const text = 'Grüße,\n\nFrom the sea\n.\n> quoted\n' + 'a long line of words '.repeat(20) + '\nlast '
  const picture = Buffer.from([0, 255, 13, 10, 1])
  const message = compose({
    headers: [
      ['From', '"Anna, A." <anna@example.org>'],
      ['Subject', `Grüße ${'und mehr '.repeat(20)}`],
    ],
    text,
    html: '<p>Grüße</p>',
    attachments: [
      { filename: 'Übersicht "1".png', contentType: 'image/png', content: picture },
      { contentType: 'message/rfc822', content: 'Subject: inner\r\n\r\nx' },
    ],
  })
  assert.doesNotMatch(latin1(message), /[^\r]\n|[^\n]{999}/)
  const peer = await simpleParser(Buffer.from(message))
  const root = parseStructure(message)
  const [alternative, attachment, forwarded] = root.children
  const [plain, html] = alternative?.children ?? []
  assert.ok(plain && html && attachment && forwarded?.message)
  assert.equal(decodeText(plain, message), text.replaceAll('\n', '\r\n'))
  assert.equal(peer.text, text)
  assert.equal(decodeText(html, message), '<p>Grüße</p>')
  assert.equal(peer.html, '<p>Grüße</p>')
  assert.deepEqual(Buffer.from(decodeBody(attachment, message)), picture)
  assert.deepEqual(peer.attachments[0]?.content, picture)
  assert.equal(peer.attachments[0]?.filename, 'Übersicht "1".png')
  assert.deepEqual(attachment.disposition?.parameters, [['filename', 'Übersicht "1".png']])
  assert.equal(decodeWords(Headers.parse(message).get('subject') ?? ''), peer.subject)
  assert.equal(Headers.parse(message, forwarded.message.headerStart).get('Subject'), 'inner')
})

test('property: composed text comes back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const message = compose({ headers: [['Subject', 'x']], text: text.toWellFormed() })
      assert.equal(
        decodeText(parseStructure(message), message),
        text
          .toWellFormed()
          .replace(/\r\n|\r|\n/g, '\r\n')
          .replace(/^\ufeff/, ''),
      )
    }),
  )
})

const previews: [string, { text?: string; html?: string }, string][] = [
  ['plain text in one line', { text: 'Hello,\n\n  world\n' }, 'Hello, world'],
  ['no quotes and no signature', { text: '> old\nnew\n-- \nAnna' }, 'new'],
  [
    'html without tags',
    { html: '<style>x{}</style><p>Fish &amp; <b>ch</b>ips&#33;</p><!-- no -->ok' },
    'Fish & chips! ok',
  ],
  ['plain before html', { text: 'plain', html: 'html' }, 'plain'],
  ['html where the plain is empty', { text: ' \n', html: 'html' }, 'html'],
  ['tags that do not end', { html: 'a<script>b' }, 'a'],
]
for (const [story, parts, expected] of previews) {
  test(`preview: ${story}`, () => {
    const message = compose({ headers: [['Subject', 'x']], ...parts })
    assert.equal(previewText(parseStructure(message), message), expected)
  })
}

test('preview: own words are found behind long quotations, a signature ends them', () => {
  const preview = (text: string) => {
    const message = bytes(`Subject: x\r\n\r\n${text}`)
    return previewText(parseStructure(message), message)
  }
  const quotation = `> ${'what you wrote '.repeat(4)}\r\n`.repeat(60)
  assert.equal(preview(`${quotation}my  \t answer\r\n\x01\r\nin two lines\r\n-- \r\nAnna`), 'my answer in two lines')
  assert.equal(preview('-- \r\nonly a signature\r\n-- \r\nand more'), '-- only a signature -- and more')
  assert.equal(preview(`${' \r\n'.repeat(2000)}words after much white space`), 'words after much white space')
  assert.equal(preview('a\r\n'.repeat(900)).length, 199)
})

test('preview: cut by characters, never inside one', () => {
  const message = compose({ headers: [], text: '😀'.repeat(10_000) })
  assert.equal(previewText(parseStructure(message), message, 3), '😀😀😀')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (any) => {
      assert.ok([...previewText(parseStructure(any), any, 10)].length <= 10)
    }),
  )
})
