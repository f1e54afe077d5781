import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BodyCollector, MemoryBudget } from '../src/body/collector.ts'
import { lineFault, normaliseLines, unstuffDots } from '../src/body/lines.ts'
import { TerminatorScanner } from '../src/body/terminator.ts'

const text = fc.string({ unit: fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', 'a'), maxLength: 60 })
const cuts = fc.array(fc.nat(80), { maxLength: 8 })

function pieces(octets: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.filter((place) => place < octets.length).sort((a, b) => a - b), octets.length]
  return places.slice(1).map((end, i) => octets.subarray(places[i], end))
}

test('the end of DATA is found at the same place however the octets arrive', () => {
  fc.assert(
    fc.property(text, cuts, (data, at) => {
      const scanner = new TerminatorScanner()
      let passed = 0
      let found = -1
      for (const piece of pieces(Buffer.from(data), at)) {
        const end = scanner.scan(piece)
        if (end >= 0) {
          found = passed + end
          break
        }
        passed += piece.length
      }
      // The CRLF of the DATA command stands before the message.
      const expected = ('\r\n' + data).indexOf('\r\n.\r\n')
      assert.equal(found, expected < 0 ? -1 : expected + 3)
    }),
    { numRuns: 2000 },
  )
})

test('lines are judged, mended and unstuffed as the plain rules say', () => {
  fc.assert(
    fc.property(text, (data) => {
      const bare = /\r(?!\n)|(?<!\r)\n/.test(data)
      assert.equal(lineFault(Buffer.from(data), 1000), bare ? 'bare' : undefined)
      assert.equal(normaliseLines(Buffer.from(data)).toString(), data.replace(/\r\n|\r|\n/g, '\r\n'))
      const before = Buffer.from(data)
      assert.equal(unstuffDots(before).toString(), data.replace(/(^|\r\n)\./g, '$1'))
      assert.equal(before.toString(), data)
    }),
    { numRuns: 2000 },
  )
})

test('what is collected comes out whole, and its memory is given back', () => {
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.integer({ min: 3000, max: 9000 })), { maxLength: 20 })
  fc.assert(
    fc.property(sizes, fc.nat(3), (lengths, cut) => {
      const budget = new MemoryBudget(1_000_000)
      const collector = new BodyCollector(500_000, budget)
      const parts = lengths.map((length, i) => Buffer.alloc(length, i + 1))
      for (const part of parts) collector.push(part)
      const whole = Buffer.concat(parts)
      assert.equal(budget.used, whole.length)
      if (whole.length >= cut) assert.ok(collector.take(cut).equals(whole.subarray(0, whole.length - cut)))
      collector.release()
      collector.release()
      assert.equal(budget.used, 0)
    }),
  )
})

test('a message that drips in octet by octet costs about its size', () => {
  const collector = new BodyCollector(1_000_000, new MemoryBudget(1_000_000))
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 300_000; i++) collector.push(Buffer.from([i & 255]))
  const whole = collector.take(0)
  assert.equal(whole.length, 300_000)
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000)
})
