// The canonical forms of RFC 6376 §3.4, against their definition written down plainly, with the body cut anywhere.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { Headers } from '@aviso/mime'
import * as fc from 'fast-check'
import { bodyHasher, type Canonicalization } from '../../../src/mail/authentication/dkim/body.ts'
import { Message, relaxedField } from '../../../src/mail/authentication/message.ts'

/** RFC 6376 §3.4.3 and §3.4.4, as they are written. */
function canonical(body: string, form: Canonicalization): string {
  let text = body
  if (form === 'relaxed')
    text = text
      .split('\r\n')
      .map((line) => line.replace(/[ \t]+/g, ' ').replace(/ $/, ''))
      .join('\r\n')
  while (text.endsWith('\r\n')) text = text.slice(0, -2)
  if (text === '') return form === 'simple' ? '\r\n' : ''
  return `${text}\r\n`
}

function hashed(body: Buffer, form: Canonicalization, cuts: readonly number[]) {
  const hasher = bodyHasher(form)
  let from = 0
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    const at = Math.min(cut, body.length)
    hasher.update(body.subarray(from, at))
    from = at
  }
  hasher.update(body.subarray(from))
  return hasher.finish()
}

function agrees(text: string, cuts: readonly number[] = []): void {
  const body = Buffer.from(text, 'latin1')
  for (const form of ['simple', 'relaxed'] as const) {
    const wanted = Buffer.from(canonical(text, form), 'latin1')
    const { digest, length } = hashed(body, form, cuts)
    assert.equal(length, wanted.length, `${form} of ${JSON.stringify(text.slice(0, 200))} cut at ${cuts.join()}`)
    assert.equal(digest.toString('hex'), createHash('sha256').update(wanted).digest('hex'))
  }
}

describe('bodies', () => {
  test('the examples of RFC 6376 §3.4.5 and §3.4.6', () => {
    const body = ' C \r\nD \t E\r\n\r\n\r\n'
    assert.equal(canonical(body, 'relaxed'), ' C\r\nD E\r\n')
    assert.equal(canonical(body, 'simple'), ' C \r\nD \t E\r\n')
    agrees(body)
    // §3.4.3 and §3.4.4 tell the hashes of an empty body.
    assert.equal(
      hashed(Buffer.of(), 'simple', []).digest.toString('base64'),
      'frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=',
    )
    assert.equal(
      hashed(Buffer.of(), 'relaxed', []).digest.toString('base64'),
      '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
    )
  })

  const pieces = fc.array(
    fc.constantFrom('\r', '\n', '\r\n', '\r\n\r\n', ' ', '\t', 'a', '.', '\u00ff', 'words and more', '  '),
    { maxLength: 40 },
  )
  test('cut anywhere, octet by octet too', () => {
    fc.assert(
      fc.property(pieces, fc.array(fc.nat(80), { maxLength: 8 }), (parts, cuts) => {
        const text = parts.join('')
        agrees(text, cuts)
        agrees(
          text,
          Array.from({ length: text.length }, (_, i) => i),
        )
      }),
      { numRuns: 400 },
    )
  })

  test('long ones, whose blanks lie at the edges of blocks', () => {
    const block = 64 * 1024
    for (const odd of [' \r\n', '\t', '  ', '\r\n\r\n', '\r', ' \r', '\r\n \r\n', ' '])
      for (const at of [-3, -2, -1, 0, 1, 2]) {
        const before = 'x'.repeat(block + at)
        agrees(`${before}${odd}${'y\r\n'.repeat(40_000)}`)
        agrees(`${before}${odd}`)
        agrees(`${before}${odd}z\r\n`, [block, 2 * block])
      }
  })

  test('a run of empty lines is no work until something follows, and then little', () => {
    agrees('\r\n'.repeat(300_000))
    agrees(`a${'\r\n'.repeat(300_000)}b`)
    agrees(' \r\n'.repeat(100_000))
  })
})

describe('fields', () => {
  test('the example of RFC 6376 §3.4.5', () => {
    assert.equal(relaxedField('A: X'), 'a:X')
    assert.equal(relaxedField('B : Y\t\r\n\tZ  '), 'b:Y Z')
  })

  test('a no-break space is no white space, in UTF-8 neither', () => {
    const raw = Buffer.from('Subject: \u00a0à\u00a0', 'utf8').toString('latin1')
    assert.equal(relaxedField(raw), `subject:${raw.slice(9)}`)
  })
})

const HEADER = Headers.parse(Buffer.from('A: b\r\n\r\n'))

describe('a message', () => {
  test('its body is read once for both forms', async () => {
    let read = 0
    const message = Message.parts(Buffer.from('A: b\r\n\r\n'), HEADER, async function* () {
      read++
      yield Buffer.from('one  ')
      yield Buffer.from('two\r\n')
    })
    const both = await message.bodyHashes(['simple', 'relaxed'])
    await message.bodyHashes(['relaxed'])
    assert.equal(read, 1)
    assert.equal(both.get('simple')?.length, 10)
    assert.equal(both.get('relaxed')?.length, 9)
  })

  test('a body that breaks off is told to whoever asks', async () => {
    // eslint-disable-next-line require-yield
    const message = Message.parts(Buffer.from('A: b\r\n\r\n'), HEADER, async function* () {
      throw new Error('disk gone')
    })
    await assert.rejects(message.bodyHashes(['simple']), /disk gone/)
  })

  test('a large one lets others have their turn', async () => {
    const message = Message.of(Buffer.concat([Buffer.from('A: b\r\n\r\n'), Buffer.alloc(8 * 2 ** 20, 'words \r\n')]))
    let turns = 0
    let done = false
    const count = (): void => {
      turns++
      if (!done) setImmediate(count)
    }
    setImmediate(count)
    await message.bodyHashes(['relaxed'])
    done = true
    assert.ok(turns >= 10, `${turns} turns`)
  })
})
