import assert from 'node:assert/strict'
import { isAscii } from 'node:buffer'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeBody, decodeText, parseStructure, toSevenBit, type Part } from '../src/index.ts'

const octets = (...lines: string[]): Buffer => Buffer.from(lines.join('\r\n'), 'utf8')

const mixed = octets(
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary=out',
  'Content-Transfer-Encoding: 8bit',
  '',
  '--out',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Transfer-Encoding: 8bit',
  '',
  'Grüße =und ',
  'mehr',
  '--out',
  'Content-Type: text/plain',
  '',
  'plain',
  '--out',
  'Content-Type: message/rfc822',
  'Content-Transfer-Encoding: 8BIT',
  '',
  'Subject: inner',
  'MIME-Version: 1.0',
  'Content-Type: application/x-thing',
  'Content-Transfer-Encoding: binary',
  '',
  'ä',
  '--out--',
  '',
)

test('each part with 8-bit octets is encoded as it should be, and the labels around it say 7bit', () => {
  const seven = Buffer.from(toSevenBit(mixed) ?? assert.fail())
  assert.ok(isAscii(seven))
  const root = parseStructure(seven)
  const [text, plain, message] = root.children
  assert.equal(root.encoding, '7BIT')
  assert.equal(text?.encoding, 'QUOTED-PRINTABLE')
  assert.equal(decodeText(text, seven), 'Grüße =und \r\nmehr')
  assert.equal(decodeText(plain ?? assert.fail(), seven), 'plain')
  assert.equal(message?.encoding, '7BIT')
  assert.equal(message.message?.encoding, 'BASE64')
  assert.equal(Buffer.from(decodeBody(message.message, seven)).toString(), 'ä')
})

test('what is ASCII stays the very same', () => {
  const plain = octets('Subject: x', '', 'hi', '')
  assert.equal(toSevenBit(plain), plain)
})

test('a message of the time before MIME gets a label', () => {
  const seven = Buffer.from(toSevenBit(Buffer.from('Subject: x\r\n\r\n\xe4\r\n', 'latin1')) ?? assert.fail()).toString()
  assert.equal(
    seven,
    'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: quoted-printable\r\nSubject: x\r\n\r\n=E4\r\n',
  )
})

test('nothing is done to what must not be touched', () => {
  const cases: Record<string, Buffer> = {
    'a header': octets('Subject: ä', '', 'hi', ''),
    signed: octets(
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary=o',
      '',
      '--o',
      'Content-Type: multipart/signed; boundary=s',
      '',
      '--s',
      'Content-Transfer-Encoding: 8bit',
      '',
      'ä',
      '--s--',
      '--o--',
      '',
    ),
    'a preamble': octets(
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary=o',
      '',
      'ä',
      '--o',
      '',
      'a',
      '--o--',
      '',
    ),
    'a multipart without parts': octets('MIME-Version: 1.0', 'Content-Type: multipart/mixed', '', 'ä', ''),
    'base64 that is none': octets('MIME-Version: 1.0', 'Content-Transfer-Encoding: base64', '', 'ä', ''),
    'a status report': octets('MIME-Version: 1.0', 'Content-Type: message/delivery-status', '', 'ä', ''),
  }
  for (const [name, message] of Object.entries(cases)) assert.equal(toSevenBit(message), undefined, name)
})

test('whatever goes in, what comes out is ASCII with the same content', () => {
  const line = fc.string({
    unit: fc.constantFrom('a', '=', ' ', 'é', '\t', '.', '--b', '-', '\0', '😀'),
    maxLength: 90,
  })
  const body = fc.array(line, { maxLength: 6 }).map((lines) => lines.join('\r\n'))
  const part = fc.tuple(
    fc.constantFrom('text/plain', 'application/x', 'text/html'),
    fc.constantFrom('', '8bit', 'binary', '7bit'),
    body,
  )
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const message = Buffer.from(
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bound\r\n\r\n' +
          parts
            .map(
              ([type, encoding, text]) =>
                `--bound\r\nContent-Type: ${type}\r\n${encoding === '' ? '' : `Content-Transfer-Encoding: ${encoding}\r\n`}\r\n${text}\r\n`,
            )
            .join('') +
          '--bound--\r\n',
      )
      const seven = toSevenBit(message) ?? assert.fail()
      assert.ok(isAscii(seven) && !seven.includes(0))
      const content = (root: Part, of: Uint8Array) =>
        root.children.map((one) => Buffer.from(decodeBody(one, of)).toString())
      assert.deepEqual(content(parseStructure(seven), seven), content(parseStructure(message), message))
    }),
  )
})

test('random octets throw nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const seven = toSevenBit(bytes)
      assert.ok(seven === undefined || (isAscii(seven) && !seven.includes(0)))
    }),
  )
})
