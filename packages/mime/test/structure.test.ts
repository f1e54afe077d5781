import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Part, parseStructure } from '../src/index.ts'

const lines = (...text: string[]) => Buffer.from(text.join('\r\n'))
const body = (part: Part | undefined, bytes: Buffer) =>
  part === undefined ? undefined : bytes.toString('utf8', part.bodyStart, part.bodyEnd)
const type = (part: Part | undefined) => `${part?.type}/${part?.subtype}`

/** The tree in brackets: `multipart/mixed(text/plain message/rfc822[text/plain])`. */
function shape(part: Part): string {
  const children = part.children.length > 0 ? `(${part.children.map(shape).join(' ')})` : ''
  return type(part) + children + (part.message ? `[${shape(part.message)}]` : '')
}

test('a simple message is one part', () => {
  const bytes = lines('Subject: x', 'Content-Type: text/html; charset=utf-8', '', '<p>', 'y', '')
  const root = parseStructure(bytes)
  assert.equal(type(root), 'text/html')
  assert.deepEqual(root.parameters, [['charset', 'utf-8']])
  assert.equal(root.headerStart, 0)
  assert.equal(body(root, bytes), '<p>\r\ny\r\n')
  assert.equal(root.lines, 2)
  assert.equal(root.encoding, '7BIT')
})

test('a message with attachment and a forwarded message', () => {
  const bytes = lines(
    'Content-Type: multipart/mixed; boundary="outer"',
    '',
    'preamble',
    '--outer',
    'Content-Type: text/plain; charset="utf-8"',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'hello',
    '',
    '--outer  ',
    'Content-Type: image/png; name="a b.png"',
    'Content-Transfer-Encoding: Base64 (binary)',
    'Content-Disposition: attachment; filename="a b.png"; size=3',
    'Content-ID: <pic@x>',
    'Content-Description: a',
    ' picture',
    'Content-MD5: abc==',
    'Content-Language: de, en-GB (British)',
    'Content-Location: http://example.org/',
    '  a.png',
    '',
    'AAAA',
    '--outer',
    'Content-Type: message/rfc822',
    '',
    'Subject: inner',
    'Content-Type: multipart/alternative; boundary=outer2',
    '',
    '--outer2',
    '',
    'one',
    '--outer2',
    'Content-Type: text/html',
    '',
    'two',
    '--outer2--',
    '--outer--',
    'epilogue --outer',
    '',
  )
  const root = parseStructure(bytes)
  assert.equal(
    shape(root),
    'multipart/mixed(text/plain image/png message/rfc822[multipart/alternative(text/plain text/html)])',
  )
  const [text, image, forwarded] = root.children
  assert.equal(body(text, bytes), 'hello\r\n')
  assert.equal(text?.lines, 1)
  assert.equal(text?.encoding, 'QUOTED-PRINTABLE')
  assert.equal(body(image, bytes), 'AAAA')
  assert.equal(image?.encoding, 'BASE64')
  assert.deepEqual(image?.disposition, {
    type: 'attachment',
    parameters: [
      ['filename', 'a b.png'],
      ['size', '3'],
    ],
  })
  assert.equal(image?.id, '<pic@x>')
  assert.equal(image?.description, 'a picture')
  assert.equal(image?.md5, 'abc==')
  assert.deepEqual(image?.languages, ['de', 'en-GB'])
  assert.equal(image?.location, 'http://example.org/a.png')
  const inner = forwarded?.message
  assert.equal(inner?.headerStart, forwarded?.bodyStart)
  assert.equal(body(inner?.children[0], bytes), 'one')
  assert.equal(body(inner?.children[1], bytes), 'two')
  assert.equal(body(forwarded, bytes)?.endsWith('--outer2--'), true)
  // Line ends in the body, as in the example of RFC 3501 §7.4.2: the last one belongs to the boundary.
  assert.equal(forwarded?.lines, 10)
  assert.equal(root.bodyEnd, bytes.length)
})

const tolerated: [string, Buffer, string][] = [
  ['an empty message', lines(''), 'text/plain'],
  ['only an empty line', lines('', ''), 'text/plain'],
  ['a header without end', lines('Content-Type: text/html'), 'text/html'],
  ['a broken type', lines('Content-Type: text', '', 'x'), 'text/plain'],
  ['a multipart without boundary', lines('Content-Type: multipart/mixed', '', '--x', '', 'y'), 'multipart/mixed'],
  ['a multipart without parts', lines('Content-Type: multipart/mixed; boundary=x', '', 'y'), 'multipart/mixed'],
  [
    'a missing end boundary',
    lines('Content-Type: multipart/mixed; boundary=x', '', '--x', '', 'y'),
    'multipart/mixed(text/plain)',
  ],
  [
    'an inner multipart ended by the outer boundary',
    lines(
      'Content-Type: multipart/mixed; boundary=a',
      '',
      '--a',
      'Content-Type: multipart/related; boundary=b',
      '',
      '--b',
      '',
      'x',
      '--a',
      '',
      'y',
      '--a--',
    ),
    'multipart/mixed(multipart/related(text/plain) text/plain)',
  ],
  [
    'an outer boundary that begins like the inner one',
    lines(
      'Content-Type: multipart/mixed; boundary=ab',
      '',
      '--ab',
      'Content-Type: multipart/related; boundary=a',
      '',
      '--a',
      '',
      'x',
      '--a--',
      '--ab',
      '',
      'y',
      '--ab--',
    ),
    'multipart/mixed(multipart/related(text/plain) text/plain)',
  ],
  [
    'bare line feeds',
    Buffer.from('Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n\nx\n--a--\n'),
    'multipart/mixed(text/html)',
  ],
  [
    'a digest',
    lines(
      'Content-Type: multipart/digest; boundary=a',
      '',
      '--a',
      '',
      'Subject: x',
      '',
      'y',
      '--a',
      'Content-Type: text/plain',
      '',
      'z',
      '--a--',
    ),
    'multipart/digest(message/rfc822[text/plain] text/plain)',
  ],
  [
    'a part whose header is ended by the boundary',
    lines('Content-Type: multipart/mixed; boundary=a', '', '--a', 'Content-Type: text/html', '--a', '--a--'),
    'multipart/mixed(text/html text/plain)',
  ],
  [
    'an encoded message is not looked into',
    lines('Content-Type: message/rfc822', 'Content-Transfer-Encoding: base64', '', 'U3ViamVjdDogeA=='),
    'message/rfc822',
  ],
  [
    'an international message',
    lines('Content-Type: message/global', '', 'Subject: ü', '', 'x'),
    'message/global[text/plain]',
  ],
  ['an empty embedded message', lines('Content-Type: message/rfc822', '', ''), 'message/rfc822[text/plain]'],
  ['the first Content-Type counts', lines('Content-Type: text/html', 'Content-Type: text/css', '', ''), 'text/html'],
  [
    'a folded type in odd spelling',
    lines('CONTENT-TYPE :', ' Text/HTML (web);', '\tCharset = "x"', '', ''),
    'Text/HTML',
  ],
]
for (const [story, bytes, expected] of tolerated) {
  test(`tolerates ${story}`, () => {
    const root = parseStructure(bytes)
    assert.equal(shape(root), expected)
    assertSound(root, bytes)
  })
}

test('a missing type is plain ASCII text', () => {
  assert.deepEqual(parseStructure(lines('', 'x')).parameters, [['charset', 'us-ascii']])
})

const parameters: [string, string, [string, string][]][] = [
  ['quoted pairs', 'text/plain; name="a\\"b\\\\c"', [['name', 'a"b\\c']]],
  [
    'no quotes around spaces',
    'text/plain; name=annual report.txt; x=1',
    [
      ['name', 'annual report.txt'],
      ['x', '1'],
    ],
  ],
  ['comments', 'text/plain (a;b) ; (c) charset=us-ascii (Plain (nested) text)', [['charset', 'us-ascii']]],
  ['tspecials unquoted', 'multipart/x; boundary=a=b/c?d:e', [['boundary', 'a=b/c?d:e']]],
  [
    'semicolons in quotes',
    'text/plain; a="x;y"; b=z',
    [
      ['a', 'x;y'],
      ['b', 'z'],
    ],
  ],
  ['a quote that is not closed', 'text/plain; a="x; b=y', [['a', 'x; b=y']]],
  ['stray semicolons', 'text/plain;; ; a=b;', [['a', 'b']]],
  [
    'RFC 2231 continuations',
    `message/external-body; url*0="ftp://"; url*1="cs.utk.edu"`,
    [['url', 'ftp://cs.utk.edu']],
  ],
  [
    'RFC 2231 charset',
    `a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A`,
    [['title', 'This is ***fun***']],
  ],
  [
    'RFC 2231 both',
    `a/b; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*0*=us-ascii'en'This%20is%20even%20more%20; title*2="isn't it!"`,
    [['title', "This is even more ***fun*** isn't it!"]],
  ],
  ['RFC 2231 a character split between pieces', `a/b; n*0*=utf-8''%C3; n*1*=%A4`, [['n', 'ä']]],
  ['the extended form wins', `a/b; filename="a.txt"; filename*=utf-8''%C3%A4.txt`, [['filename', 'ä.txt']]],
  ['latin1', `a/b; n*=iso-8859-1''%E4`, [['n', 'ä']]],
  ['broken escapes stay', `a/b; n*=utf-8''%zz%4`, [['n', '%zz%4']]],
  ['a gap ends the continuation', `a/b; n*0=a; n*2=c`, [['n', 'a']]],
  ['no segment zero', `a/b; n*1=a`, [['n', '']]],
  ['raw UTF-8', 'a/b; n="ä"', [['n', 'ä']]],
]
for (const [story, field, expected] of parameters) {
  test(`parameters: ${story}`, () => {
    assert.deepEqual(parseStructure(lines(`Content-Type: ${field}`, '', '')).parameters, expected)
  })
}

test('limits: parts, depth and parameters', () => {
  const many = lines(
    'Content-Type: multipart/mixed; boundary=a',
    '',
    ...Array.from({ length: 3000 }, () => '--a\r\n\r\nx'),
    '--a--',
  )
  const root = parseStructure(many)
  assert.equal(root.children.length, 999)
  assert.equal(root.children.at(-1)?.bodyEnd, many.length - '\r\n--a--'.length)

  const deep = Array.from(
    { length: 500 },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}x\r\n\r\n--b${i}x\r\n`,
  )
  let depth = 0
  for (let part: Part | undefined = parseStructure(Buffer.from(deep.join(''))); part; part = part.children[0]) depth++
  assert.equal(depth, 101)

  const messages = 'Content-Type: message/rfc822\r\n\r\n'.repeat(5000)
  depth = 0
  for (let part: Part | undefined = parseStructure(Buffer.from(messages)); part; part = part.message) depth++
  assert.ok(depth <= 101, String(depth))

  const names = Array.from({ length: 1000 }, (_, i) => `p${i}=v`).join('; ')
  assert.equal(parseStructure(lines(`Content-Type: a/b; ${names}`, '', '')).parameters.length, 100)
})

/** Offsets are in range, in order, and those of a child within its parent's body. */
function assertSound(part: Part, bytes: Uint8Array, from = 0, to = bytes.length): void {
  assert.ok(from <= part.headerStart && part.headerStart <= part.bodyStart, 'header')
  assert.ok(part.bodyStart <= part.bodyEnd && part.bodyEnd <= to, 'body')
  let newlines = 0
  for (let i = part.bodyStart; i < part.bodyEnd; i++) if (bytes[i] === 10) newlines++
  assert.equal(part.lines, newlines, 'lines')
  let at = part.bodyStart
  for (const child of part.children) {
    assertSound(child, bytes, at, part.bodyEnd)
    at = child.bodyEnd
  }
  if (part.message) {
    assert.equal(part.message.headerStart, part.bodyStart)
    assertSound(part.message, bytes, part.bodyStart, part.bodyEnd)
    assert.equal(part.message.bodyEnd, part.bodyEnd)
  }
}

/** Pieces that mean something to the scanner, so that random messages are close to real ones. */
const piece = fc.constantFrom(
  'Content-Type: multipart/mixed; boundary=a',
  'Content-Type: multipart/digest; boundary=ab',
  'Content-Type: multipart/x; boundary="a--"',
  'Content-Type: message/rfc822',
  'Content-Type: text/plain',
  'Content-Disposition: attachment; x*0=a; x*1*=b',
  '--a',
  '--ab',
  '--a--',
  '--ab--',
  '--a----',
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  ' folded',
  'text',
  '\0\xff',
)

test('property: any octets give a sound tree', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => assertSound(parseStructure(bytes), bytes)),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (pieces, parts) => {
      const bytes = Buffer.from(pieces.map((text) => (text.includes('\n') ? text : `${text}\r\n`)).join(''), 'latin1')
      assertSound(parseStructure(bytes), bytes)
      assertSound(parseStructure(bytes, { parts, depth: 3 }), bytes)
    }),
    { numRuns: 3000 },
  )
})

const arbitraryTree = fc.letrec<{ entity: { shape: string; text: (path: string) => string } }>((tie) => ({
  entity: fc.oneof(
    { depthSize: 'small' },
    fc.constant({ shape: 'text/plain', text: () => 'Content-Type: text/plain\r\n\r\nbody\r\n-- \r\n--not a boundary' }),
    tie('entity').map((inner) => ({
      shape: `message/rfc822[${inner.shape}]`,
      text: (path: string) => `Content-Type: message/rfc822\r\n\r\n${inner.text(`${path}m`)}`,
    })),
    fc.array(tie('entity'), { minLength: 1, maxLength: 4 }).map((parts) => ({
      shape: `multipart/mixed(${parts.map((part) => part.shape).join(' ')})`,
      text: (path: string) => {
        const inner = parts.map((part, i) => `--B${path}\r\n${part.text(`${path}.${i}`)}\r\n`).join('')
        return `Content-Type: multipart/mixed; boundary="B${path}"\r\n\r\npreamble\r\n${inner}--B${path}--`
      },
    })),
  ),
}))

test('property: what was composed is found again, though boundaries begin alike', () => {
  fc.assert(
    fc.property(arbitraryTree.entity, (entity) => {
      const bytes = Buffer.from(entity.text('x'))
      const root = parseStructure(bytes)
      assert.equal(shape(root), entity.shape)
      assertSound(root, bytes)
    }),
    { numRuns: 500 },
  )
})

test('hostile input takes linear time', () => {
  const long = 'q'.repeat(240)
  const nest = Array.from(
    { length: 99 },
    (_, i) =>
      `Content-Type: multipart/mixed; boundary=${long}${String(i).padStart(2, '0')}\r\n\r\n--${long}${String(i).padStart(2, '0')}\r\n`,
  ).join('')
  const attacks: [string, (size: number) => string][] = [
    ['a hundred long open boundaries', (size) => `${nest}\r\n${`--${long}zz\r\n`.repeat(size / 250)}`],
    [
      'nothing but boundaries',
      (size) => `Content-Type: multipart/mixed; boundary=a\r\n\r\n${'--a\r\n'.repeat(size / 5)}`,
    ],
    ['dashes', (size) => `Content-Type: multipart/mixed; boundary=-\r\n\r\n${'-'.repeat(size)}`],
    ['one long header', (size) => `Content-Type: text/plain${'; a=b\r\n '.repeat(size / 8)}`],
    ['many headers', (size) => 'Content-Type: ((((\r\n'.repeat(size / 20)],
    ['nested comments', (size) => `Content-Type: ${'('.repeat(size)}`],
    ['quotes', (size) => `Content-Disposition: a; b="${'\\"'.repeat(size / 2)}`],
    ['empty lines', (size) => '\r\n'.repeat(size / 2)],
    ['messages in messages', (size) => 'Content-Type: message/rfc822\r\n\r\n'.repeat(size / 32)],
  ]
  /** Microseconds of CPU for an input of that size. */
  const cost = (attack: (size: number) => string, size: number): number => {
    const bytes = Buffer.from(attack(size))
    const begun = process.cpuUsage()
    assertSound(parseStructure(bytes), bytes)
    const { user, system } = process.cpuUsage(begun)
    return user + system
  }
  for (const [story, attack] of attacks) {
    // Four times the input: four times the work where it is linear, sixteen times where it is quadratic. The rest is for the noise of a busy machine.
    const part = cost(attack, 500_000)
    const whole = cost(attack, 2_000_000)
    assert.ok(whole < 8 * part + 200_000, `${story}: ${part} µs, and ${whole} µs for four times as much`)
  }
})
