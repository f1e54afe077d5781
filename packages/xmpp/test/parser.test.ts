import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { SaxesParser } from 'saxes'
import { StreamParser, type Element, type ParserLimits, type StreamError } from '../src/index.ts'
import { TYPICAL } from './typical.ts'

const HEAD =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>"

interface Outcome {
  header?: Element
  stanzas: Element[]
  error?: StreamError
  ended: boolean
  blanks: number
}

function parse(
  input: string | Uint8Array,
  {
    head = HEAD,
    chunk = Infinity,
    limits = {},
  }: { head?: string; chunk?: number; limits?: Partial<ParserLimits> } = {},
): Outcome {
  const outcome: Outcome = { stanzas: [], ended: false, blanks: 0 }
  const parser = new StreamParser(
    {
      streamStart: (header) => (outcome.header = header),
      element: (stanza) => outcome.stanzas.push(stanza),
      streamEnd: () => (outcome.ended = true),
      error: (error) => (outcome.error = error),
      whitespace: () => outcome.blanks++,
    },
    limits,
  )
  const bytes = Buffer.concat([Buffer.from(head), Buffer.from(input)])
  for (let at = 0; at < bytes.length; at += chunk) parser.write(bytes.subarray(at, Math.min(bytes.length, at + chunk)))
  return outcome
}

const bytes = (...parts: (string | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part))))

describe('what must be refused, and with which stream error', () => {
  const cases: [string, string | Buffer, string][] = [
    ['a document type', '<!DOCTYPE a><a/>', 'restricted-xml'],
    ['a document type within a stanza', '<a><!DOCTYPE a></a>', 'restricted-xml'],
    ['an entity of its own', '<a>&lol;</a>', 'restricted-xml'],
    ['an entity in an attribute', "<a b='&lol;'/>", 'restricted-xml'],
    ['a comment', '<a><!-- c --></a>', 'restricted-xml'],
    ['a comment between stanzas', '<!-- c --><a/>', 'restricted-xml'],
    ['a processing instruction', '<a><?php x?></a>', 'restricted-xml'],
    ['an XML declaration in the middle', "<?xml version='1.0'?><a/>", 'restricted-xml'],
    ['an end tag that does not match', '<a><b></a></b>', 'not-well-formed'],
    ['an end tag with another prefix', "<x:a xmlns:x='u' xmlns:y='u'></y:a>", 'not-well-formed'],
    ['an attribute twice', "<a b='1' b='2'/>", 'not-well-formed'],
    ['an attribute twice by namespace', "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", 'not-well-formed'],
    ['an unbound prefix', '<x:a/>', 'bad-namespace-prefix'],
    ['an unbound attribute prefix', "<a x:b='1'/>", 'bad-namespace-prefix'],
    ['the prefix xml bound elsewhere', "<a xmlns:xml='urn:x'/>", 'bad-namespace-prefix'],
    ['the prefix xmlns bound', "<a xmlns:xmlns='urn:x'/>", 'bad-namespace-prefix'],
    ['a prefix bound to nothing', "<a xmlns:x=''/>", 'bad-namespace-prefix'],
    ['a control character', '<a>\u0001</a>', 'not-well-formed'],
    ['a control character in an attribute', "<a b='\u0000'/>", 'not-well-formed'],
    ['a control character in CDATA', '<a><![CDATA[\u0008]]></a>', 'not-well-formed'],
    ['U+FFFE', '<a>\ufffe</a>', 'not-well-formed'],
    ['a reference to NUL', '<a>&#0;</a>', 'not-well-formed'],
    ['a reference to a surrogate', '<a>&#xD800;</a>', 'not-well-formed'],
    ['a reference beyond Unicode', '<a>&#x110000;</a>', 'not-well-formed'],
    ['a lone ampersand', '<a>a & b</a>', 'not-well-formed'],
    ['an unfinished reference', "<a b='&amp'/>", 'not-well-formed'],
    ["']]>' in text", '<a>]]></a>', 'not-well-formed'],
    ["'<' in an attribute", "<a b='<'/>", 'not-well-formed'],
    ['a name that starts with a digit', '<1a/>', 'not-well-formed'],
    ['a name with two colons', "<a:b:c xmlns:a='u'/>", 'not-well-formed'],
    ['a name that ends with a colon', "<a: xmlns:a='u'/>", 'not-well-formed'],
    ['an attribute without quotes', '<a b=1/>', 'not-well-formed'],
    ['an attribute without a value', '<a b/>', 'not-well-formed'],
    ['attributes without space between', "<a b='1'c='2'/>", 'not-well-formed'],
    ['a space before the name', '< a/>', 'not-well-formed'],
    ['text between stanzas', 'hello<a/>', 'not-well-formed'],
    ['another end of the stream', '</stream>', 'not-well-formed'],
    ['invalid UTF-8', bytes('<a>', 0xff, '</a>'), 'not-well-formed'],
    ['overlong UTF-8', bytes('<a>', 0xc0, 0xbc, '</a>'), 'not-well-formed'],
    ['a surrogate in UTF-8', bytes('<a>', 0xed, 0xa0, 0x80, '</a>'), 'not-well-formed'],
    ['half a character', bytes('<a>', 0xc3, '</a>'), 'not-well-formed'],
  ]
  for (const [name, input, condition] of cases) {
    it(name, () => {
      for (const chunk of [Infinity, 1]) {
        const outcome = parse(input, { chunk })
        assert.equal(outcome.error?.condition, condition)
        assert.equal(outcome.stanzas.length, 0)
      }
    })
  }

  it('UTF-16', () => {
    assert.equal(parse('', { head: '\ufeff<' }).error?.condition, 'not-well-formed')
    assert.ok(parse(Buffer.from(HEAD, 'utf16le'), { head: '' }).error)
  })
  it('another encoding in the XML declaration', () => {
    assert.equal(
      parse('', { head: "<?xml version='1.0' encoding='latin1'?>" }).error?.condition,
      'unsupported-encoding',
    )
  })
  it('a stream that is closed in its header', () => {
    assert.equal(parse('', { head: "<stream:stream xmlns:stream='urn:x'/>" }).error?.condition, 'not-well-formed')
  })
  it('nothing is heard after an error', () => {
    const { stanzas, error } = parse('<a/><b></c><d/>')
    assert.equal(stanzas.length, 1)
    assert.ok(error)
  })
})

describe('what must pass', () => {
  const cases: [string, string | Buffer, (stanza: Element) => unknown, unknown][] = [
    ['the five entities', '<a b="&quot;&apos;">&lt;&gt;&amp;</a>', (a) => [a.get('b'), a.text()], ['"\'', '<>&']],
    ['character references', '<a>&#65;&#x1F600;</a>', (a) => a.text(), 'A😀'],
    ['CDATA', '<a>x<![CDATA[<b>&amp;]]]]>y</a>', (a) => a.children, ['x<b>&amp;]]y']],
    ['line ends', "<a b='1\r\n2\n3\t4'>1\r\n2\r3</a>", (a) => [a.get('b'), a.text()], ['1 2 3 4', '1\n2\n3']],
    ['U+FFFD, BMP and beyond', '<a>\ufffd–😀</a>', (a) => a.text(), '\ufffd–😀'],
    ['names beyond ASCII', '<größe ähm="1"/>', (a) => [a.name, a.get('ähm')], ['größe', '1']],
    [
      '__proto__',
      "<__proto__ __proto__='1' constructor='2'/>",
      (a) => [a.name, a.get('__proto__')],
      ['__proto__', '1'],
    ],
    ['prefixes', "<x:a xmlns:x='u' x:b='1' b='2'/>", (a) => [a.xmlns, a.get('{u}b'), a.get('b')], ['u', '1', '2']],
    ['xml:lang', "<a xml:lang='de'/>", (a) => a.get('xml:lang'), 'de'],
    ['an inherited default namespace', '<a><b/></a>', (a) => a.firstElement?.xmlns, 'jabber:client'],
    ['no default namespace', "<a><b xmlns=''/></a>", (a) => a.firstElement?.xmlns, ''],
    [
      'scopes of prefixes',
      "<a><x:b xmlns:x='1'/><x:b xmlns:x='2'/></a>",
      (a) => a.elements.map((b) => b.xmlns),
      ['1', '2'],
    ],
    ['space in tags', "<a\n b = '1'\t><c\r></c ></a >", (a) => [a.get('b'), a.elements.length], ['1', 1]],
    ["'>' in attributes and text", "<a b='>'>></a>", (a) => [a.get('b'), a.text()], ['>', '>']],
  ]
  for (const [name, input, read, expected] of cases) {
    it(name, () => {
      for (const chunk of [Infinity, 1, 3]) {
        const { stanzas, error } = parse(input, { chunk })
        assert.equal(error, undefined)
        assert.equal(stanzas.length, 1)
        assert.deepEqual(read(stanzas[0] as Element), expected)
      }
    })
  }

  it('the header, keepalives and the end of the stream', () => {
    const { header, stanzas, ended, blanks, error } = parse(' \n<a/> </stream:stream>what follows is <not> read')
    assert.equal(error, undefined)
    assert.equal(header?.get('to'), 'a.example')
    assert.deepEqual([stanzas.length, ended, blanks], [1, true, 2])
  })
  it('the ten typical stanzas, in any pieces', () => {
    const whole = parse(TYPICAL.join('')).stanzas.map(String)
    assert.equal(whole.length, 10)
    for (const chunk of [1, 2, 7, 64, 1448])
      assert.deepEqual(parse(TYPICAL.join(''), { chunk }).stanzas.map(String), whole)
  })
})

describe('limits', () => {
  const nested = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth)
  it('of depth', () => {
    assert.equal(parse(nested(64)).stanzas.length, 1)
    assert.equal(parse(nested(65)).error?.condition, 'policy-violation')
    assert.equal(parse('<a>'.repeat(64) + '<a/>' + '</a>'.repeat(64)).error?.condition, 'policy-violation')
  })
  it('of size, told as soon as it is passed', () => {
    const limits = { stanzaBytes: 1000 }
    assert.equal(parse('<a>' + 'x'.repeat(993) + '</a>', { limits }).stanzas.length, 1)
    assert.equal(parse('<a>' + 'x'.repeat(994) + '</a>', { limits }).error?.condition, 'policy-violation')
    assert.equal(parse('<a>' + 'x'.repeat(2000), { limits, chunk: 10 }).error?.condition, 'policy-violation')
    assert.equal(parse("<a b='" + 'x'.repeat(2000), { limits, chunk: 1 }).error?.condition, 'policy-violation')
    assert.equal(
      parse("<?xml version='1.0' " + ' '.repeat(500), { head: '', chunk: 1 }).error?.condition,
      'not-well-formed',
    )
  })
  it('of attributes and prefixes', () => {
    const attributes = (count: number): string => Array.from({ length: count }, (_, i) => ` a${i}='1'`).join('')
    assert.equal(parse(`<a${attributes(64)}/>`).stanzas.length, 1)
    assert.equal(parse(`<a${attributes(65)}/>`).error?.condition, 'policy-violation')
    const prefixes = Array.from({ length: 40 }, (_, i) => ` xmlns:p${i}='u'`).join('')
    assert.equal(parse(`<a${prefixes}/>`).error?.condition, 'policy-violation')
  })
  it('may be widened on the way', () => {
    const seen: string[] = []
    const parser = new StreamParser(
      {
        streamStart: () => {},
        element: (stanza) => {
          seen.push(stanza.name)
          parser.limits = { ...parser.limits, stanzaBytes: 1000 }
        },
        streamEnd: () => {},
        error: (error) => seen.push(error.condition),
      },
      { stanzaBytes: 200 },
    )
    parser.write(Buffer.from(HEAD + '<a/><b>' + 'x'.repeat(500) + '</b>'))
    assert.deepEqual(seen, ['a', 'b'])
  })
})

describe('time and memory', () => {
  const seconds = (input: string, chunk: number): number => {
    const start = process.cpuUsage()
    assert.equal(parse(input, { chunk, limits: { stanzaBytes: 4_000_000, depth: 100_000 } }).stanzas.length, 1)
    const used = process.cpuUsage(start)
    return (used.user + used.system) / 1e6
  }
  it('a huge attribute, many references, many elements or deep ones, dripped byte by byte, cost no more than their length', () => {
    const inputs = [
      `<a b='${'x'.repeat(500_000)}'/>`,
      `<a>${'&amp;'.repeat(100_000)}</a>`,
      `<a>${'<b/>'.repeat(100_000)}</a>`,
      '<a>'.repeat(50_000) + '</a>'.repeat(50_000),
      `<a>${'<![CDATA[x]]>y'.repeat(40_000)}</a>`,
    ]
    for (const input of inputs) for (const chunk of [1, 64]) assert.ok(seconds(input, chunk) < 1.5)
  })
  it('nothing is kept between stanzas, and never a slice of a read buffer', () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const none = { streamStart() {}, element() {}, streamEnd() {}, error() {} }
    const chunk = Buffer.alloc(65_536, ' ')
    chunk.write(HEAD + '<message><body>hello</body></message>')
    chunk.write('<message', 65_536 - 8)
    collect()
    const before = process.memoryUsage()
    const parsers = Array.from({ length: 2000 }, () => {
      const parser = new StreamParser(none)
      parser.write(chunk)
      parser.write(Buffer.from('/>'))
      return parser
    })
    collect()
    const after = process.memoryUsage()
    const each = (after.heapUsed + after.external - before.heapUsed - before.external) / parsers.length
    assert.ok(each < 1024, `${Math.round(each)} bytes each`)
  })
  it('values cut from a large stanza are copies', () => {
    const { stanzas } = parse(`<message from='anna@example.org/phone'><body>${'x'.repeat(10_000)}</body></message>`)
    assert.equal(stanzas[0]?.get('from'), 'anna@example.org/phone')
  })
})

describe('pausing', () => {
  it('keeps what follows until it is resumed, across a restart, or forgets it', () => {
    const seen: string[] = []
    const parser: StreamParser = new StreamParser({
      streamStart: () => seen.push('stream'),
      element: (stanza) => {
        seen.push(stanza.name)
        parser.pause()
      },
      streamEnd: () => seen.push('end'),
      error: (error) => seen.push(error.condition),
    })
    parser.write(Buffer.from(HEAD + '<auth/>' + HEAD + '<a/>'))
    parser.write(Buffer.from('<b/>'))
    assert.deepEqual(seen, ['stream', 'auth'])
    assert.ok(parser.waitingBytes > 8)
    parser.reset()
    parser.resume()
    assert.deepEqual(seen, ['stream', 'auth', 'stream', 'a'])
    parser.discard()
    parser.resume()
    parser.write(Buffer.from('<c/>'))
    assert.deepEqual(seen, ['stream', 'auth', 'stream', 'a', 'c'])
  })
})

// The same text, by saxes: a canonical form of what it made of it, or undefined where it refused.
function bySaxes(input: Uint8Array): string | undefined {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input)
  } catch {
    return undefined
  }
  if (text.startsWith('\ufeff')) return undefined
  const parser = new SaxesParser({ xmlns: true })
  let out = ''
  let refused = false
  let written = ''
  const put = (more: string): void => {
    out += JSON.stringify(written) === '""' ? more : JSON.stringify(written) + more
    written = ''
  }
  const refuse = (): void => {
    refused = true
  }
  parser.on('error', refuse)
  parser.on('comment', refuse)
  parser.on('doctype', refuse)
  parser.on('processinginstruction', refuse)
  parser.on('text', (piece) => {
    if (out !== '') written += piece
  })
  parser.on('cdata', (piece) => (written += piece))
  parser.on('opentag', (tag) => {
    const attributes = Object.values(tag.attributes)
      .filter((attribute) => attribute.prefix !== 'xmlns' && attribute.name !== 'xmlns')
      .map((attribute) => `{${attribute.uri}}${attribute.local}=${JSON.stringify(attribute.value)}`)
    put(`<{${tag.uri}}${tag.local} ${attributes.toSorted().join(' ')}>`)
  })
  parser.on('closetag', () => put('</>'))
  try {
    parser.write(text).close()
  } catch {
    return undefined
  }
  return refused ? undefined : out
}

function canonical(element: Element): string {
  const attributes = [...element.attrs].map(([name, value]) => {
    const expanded = name.startsWith('xml:')
      ? `{http://www.w3.org/XML/1998/namespace}${name.slice(4)}`
      : name.startsWith('{')
        ? name
        : `{}${name}`
    return `${expanded}=${JSON.stringify(value)}`
  })
  const content = element.children.map((child) =>
    typeof child === 'string' ? JSON.stringify(child) : canonical(child),
  )
  return `<{${element.xmlns}}${element.name} ${attributes.toSorted().join(' ')}>${content.join('')}</>`
}

describe('beside saxes', () => {
  const OPEN = "<s xmlns='jabber:client' xmlns:p='urn:p'>"
  const compare = (raw: Uint8Array, chunk: number): void => {
    const input = Buffer.from(raw)
    // saxes trims namespace names, which nothing asks for.
    if (/xmlns[^='"]*=\s*(?:"\s|'\s|"[^"]*\s"|'[^']*\s')/.test(input.toString('latin1'))) return
    const whole = Buffer.concat([Buffer.from(OPEN), input, Buffer.from('</s>')])
    const theirs = bySaxes(whole)
    const ours = parse(Buffer.concat([input, Buffer.from('</s>')]), { head: OPEN, chunk })
    const accepted = ours.error === undefined && ours.ended
    if (theirs === undefined) return assert.equal(accepted, false, `accepted: ${whole}`)
    if (!accepted) {
      // What XMPP restricts, and text between stanzas, are refused by us alone.
      const stricter = ['restricted-xml', 'policy-violation'].includes(ours.error?.condition ?? '')
      assert.ok(
        stricter || ours.error?.text === 'text between stanzas' || input.includes('</s>'),
        `refused (${ours.error?.message}): ${whole}`,
      )
      return
    }
    if (input.includes('</s>')) return
    const flat = theirs.replace(/"(?:[ \n]|\\n|\\t)+"(?=<\{)/g, '"_"').replace(/"(?:[ \n]|\\n|\\t)+"<\/>$/, '"_"</>')
    const mine = `<{jabber:client}s >${ours.stanzas.map(canonical).join('')}</>`
    if (!flat.includes('"_"')) assert.equal(mine, theirs)
  }
  const piece = fc.constantFrom(
    '<a>',
    '</a>',
    '<b>',
    '</b>',
    '<b/>',
    "<a x='1'>",
    '<p:a>',
    '</p:a>',
    "<q:a xmlns:q='urn:q'>",
    '</q:a>',
    "<a xmlns='urn:z'>",
    "<a xmlns=''>",
    '&amp;',
    '&#65;',
    '&#x0;',
    '&bad;',
    '&',
    ';',
    ']]>',
    '<![CDATA[',
    ']]',
    '>',
    '<',
    '"',
    "'",
    ' ',
    '\n',
    '\r',
    '\t',
    'x',
    'é',
    '😀',
    '\u0001',
    '\ufffe',
    '<!-- ',
    '-->',
    '<?',
    '?>',
    "<a p:y='2' xml:lang='de'>",
    "<a x='1' x='2'>",
    "<a x='&lt;\n'/>",
    '<a ',
    'x="y"',
    '/>',
    ':',
    '=',
    '</',
    '__proto__',
  )
  const wellFormed = fc.letrec<{ node: string }>((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('text', '&lt;', '<![CDATA[<]]>', '&#x41;', ' ', 'é', '<b/>', "<c xml:lang='x'/>"),
      fc
        .tuple(
          fc.constantFrom('a', 'p:a', 'q:b'),
          fc.constantFrom('', " x='1'", " p:x='1' x='2'", " xmlns='urn:z'"),
          fc.array(tie('node'), { maxLength: 4 }),
        )
        .map(([name, attributes, content]) => `<${name}${attributes} xmlns:q='urn:q'>${content.join('')}</${name}>`),
    ),
  })).node

  it('soup of markup is accepted and refused alike, with the same tree', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.constantFrom(1, 5, Infinity), (pieces, chunk) =>
        compare(Buffer.from(pieces.join('')), chunk),
      ),
      { numRuns: 6000 },
    )
  })
  it('well-formed elements', () => {
    fc.assert(
      fc.property(fc.array(wellFormed, { maxLength: 4 }), fc.constantFrom(1, 5, Infinity), (nodes, chunk) =>
        compare(Buffer.from(`<a>${nodes.join('')}</a>`), chunk),
      ),
      { numRuns: 3000 },
    )
  })
  it('typical stanzas with bytes changed', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...TYPICAL),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        (stanza, changes) => {
          const input = Buffer.from(stanza)
          for (const [at, byte] of changes) input[at % input.length] = byte
          compare(input, Infinity)
        },
      ),
      { numRuns: 3000 },
    )
  })
  it('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (input) => compare(input, 3)),
      { numRuns: 2000 },
    )
  })
})
