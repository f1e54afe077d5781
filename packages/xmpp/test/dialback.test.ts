// XEP-0220, XEP-0185: dialback elements and keys

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  dialbackKey,
  dialbackXml,
  el,
  type Element,
  NS,
  readDialback,
  StanzaError,
  StreamParser,
} from '../src/index.ts'

/** As it comes over a stream whose header declares the prefix. */
function overTheWire(xml: string): Element | undefined {
  let found: Element | undefined
  const parser = new StreamParser({
    streamStart: () => {},
    element: (element) => (found = element),
    streamEnd: () => {},
    error: (error) => assert.fail(error),
  })
  const header = `<stream:stream xmlns='${NS.server}' xmlns:stream='${NS.streams}' xmlns:db='${NS.dialback}'>`
  parser.write(Buffer.from(header + xml))
  return found
}

test('the key of the example in XEP-0185 §3', () => {
  assert.equal(
    dialbackKey(Buffer.from('s3cr3tf0rd14lb4ck'), 'xmpp.example.com', 'example.org', 'D60000229F'),
    '37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643',
  )
})

test('keys differ by domain, direction, stream and secret', () => {
  const secret = Buffer.alloc(32, 7)
  const keys = [
    dialbackKey(secret, 'a.example', 'b.example', 'id'),
    dialbackKey(secret, 'b.example', 'a.example', 'id'),
    dialbackKey(secret, 'a.example', 'b.example', 'other'),
    dialbackKey(Buffer.alloc(32, 8), 'a.example', 'b.example', 'id'),
  ]
  assert.equal(new Set(keys).size, keys.length)
})

test('what is written is read again', () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,20}$/)
  const text = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter((id) => !/[\p{Cc}\ufffe\uffff]/u.test(id))
  fc.assert(
    fc.property(word, word, text, word, fc.constantFrom('result', 'verify'), (a, b, id, key, name) => {
      const from = `${a}.example`
      const to = `${b}.example`
      const question = overTheWire(dialbackXml({ name, from, to, id, key }))
      assert.deepEqual(question && readDialback(question), {
        name,
        from,
        to,
        id,
        type: undefined,
        key,
        error: undefined,
      })
      const error = StanzaError.of('item-not-found', 'not here')
      const answer = overTheWire(dialbackXml({ name, from, to, id, type: 'error', error }))
      const read = answer && readDialback(answer)
      assert.equal(read?.type, 'error')
      assert.equal(read.error?.condition, 'item-not-found')
    }),
  )
})

test('what has no proper addresses, no id or no key is none', () => {
  const ok = { xmlns: NS.dialback, from: 'a.example', to: 'b.example', id: 'i' }
  assert.ok(readDialback(el('verify', ok, 'key')))
  for (const bad of [
    el('verify', { ...ok, id: undefined }, 'key'),
    el('verify', { ...ok, id: '' }, 'key'),
    el('result', { ...ok, from: undefined }, 'key'),
    el('result', { ...ok, from: 'x@a.example' }, 'key'),
    el('result', { ...ok, to: 'b.example/r' }, 'key'),
    el('result', { ...ok, to: 'b..example' }, 'key'),
    el('result', { ...ok, type: 'perhaps' }),
    el('result', ok),
    el('result', ok, 'k'.repeat(1025)),
    el('other', ok, 'key'),
    el('result', { ...ok, xmlns: NS.server }, 'key'),
  ])
    assert.equal(readDialback(bad), undefined, bad.toString())
})
