// HTML as text: what a person sees of it, in linear time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeText, parseStructure, visibleText } from '@aviso/mime'
import { assert as check, property, string } from 'fast-check'

const cases: readonly (readonly [story: string, html: string, text: string])[] = [
  ['inline elements do not part words', 'So<b>me</b><span class="x">thing</span>', 'Something'],
  ['block elements do', '<p>one</p><p>two</p><div>three<br>four</div>', 'one\ntwo\nthree\nfour'],
  ['cells are words of one line', '<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>', 'a b\nc'],
  ['unknown elements are inline', 'a<x-y>b</x-y><o:p></o:p>c', 'abc'],
  ['white space is one space', ' a\r\n\t b&nbsp;&nbsp;c <i> d</i>', 'a b c d'],
  ['comments go, odd ones too', 'a<!-- b > c -->d<!-->e<!--->f<!-- --', 'adef'],
  ['declarations go', '<!DOCTYPE html><?xml version="1.0"?><![if !mso]>a<![endif]>', 'a'],
  [
    'scripts, styles and titles go',
    '<head><title>t</title><style>p > a{}</style></head>a<SCRIPT>"</p>"</script >b',
    'ab',
  ],
  ['a title that does not end takes the rest', '<title>a<p>b', ''],
  ['values of attributes go', '<a href="x>y" title=\'p>q\'>z</a>', 'z'],
  ['a quote inside a name is none', '<a b"c>d', 'd'],
  ['a tag that never ends hides the rest', 'a<b c="', 'a'],
  ['what begins no tag is text', '1 < 2 <3 a<', '1 < 2 <3 a<'],
  ['entities by name', '&lt;&auml;&Scaron;&euro;&hellip;&hearts;&apos;&alefsym;&Lstrok;', "<äŠ€…♥'ℵŁ"],
  ['entities without semicolon, where browsers read them', '&copy 2024 &nbspx &hellip x', '© 2024 &nbspx &hellip x'],
  ['entities by number', '&#65;&#x42;&#0067;&#146;&#x1F600;', 'ABC’😀'],
  ['numbers of no character', '&#0;&#xD800;&#x110000;', '\ufffd\ufffd\ufffd'],
  ['unknown entities stay', '&nope; & &;&#; &#x;', '&nope; & &;&#; &#x;'],
]

for (const [story, html, text] of cases) test(`html: ${story}`, () => assert.equal(visibleText(html), text))

test('html: a document in a charset that only it tells of', () => {
  const message = (head: string): Buffer =>
    Buffer.from(
      `Content-Type: text/html${head}\r\n\r\n<html><meta http-equiv="Content-Type" content="text/html; charset=iso-8859-2">\xb1`,
      'latin1',
    )
  const read = (bytes: Buffer): string => visibleText(decodeText(parseStructure(bytes), bytes))
  assert.equal(read(message('')), 'ą')
  assert.equal(read(message('; charset=iso-8859-1')), '±')
})

test('property: any html is survived', () => {
  check(
    property(string({ unit: 'grapheme', maxLength: 200 }), (text) => {
      assert.ok(visibleText(text.replace(/[a-f]/g, '<').replace(/[g-k]/g, '>').replace(/[l-o]/g, '&')).isWellFormed())
    }),
  )
})

test('hostile html takes linear time', () => {
  const attacks: readonly (readonly [string, string])[] = [
    ['tags that begin', '<'],
    ['comments that begin', '<!--'],
    ['quotes that begin', '<a b="'],
    ['scripts that begin', '<script>'],
    ['scripts one after the other', '<script></script>'],
    ['ends of scripts', '<script></scrip'],
    ['ampersands', '&'],
    ['zeros', '&#0'],
    ['spaces', ' '],
    ['spaces and lines', ' <br> '],
    ['bogus comments', '</ '],
  ]
  const cost = (html: string): number => {
    const begun = process.cpuUsage()
    visibleText(html)
    const { user, system } = process.cpuUsage(begun)
    return user + system
  }
  for (const [story, piece] of attacks) {
    // Four times the input: four times the work where it is linear, sixteen times where it is quadratic. The rest is for the noise of a busy machine.
    const part = cost(piece.repeat(500_000 / piece.length))
    const whole = cost(piece.repeat(2_000_000 / piece.length))
    // What else the process did meanwhile counts too: a compiler, a collector. It does not do so each time.
    const fair = (): boolean => cost(piece.repeat(2_000_000 / piece.length)) < 8 * part + 200_000
    assert.ok(
      whole < 8 * part + 200_000 || fair() || fair(),
      `${story}: ${part} µs, and ${whole} µs for four times as much`,
    )
  }
})
