import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BodyCollector, MemoryBudget, type CollectorRules } from '../src/body/collector.ts'
import { TextReader } from '../src/body/text-reader.ts'
import { TextWriter } from '../src/body/text-writer.ts'
import { MemorySpool, whole } from './support.ts'

const text = fc.string({
  unit: fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', '\r\n.\r\n', '\0', 'a', 'bc'),
  maxLength: 60,
})
const cuts = fc.array(fc.nat(80), { maxLength: 8 })

function pieces(octets: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.filter((place) => place < octets.length).sort((a, b) => a - b), octets.length]
  return places.slice(1).map((end, i) => octets.subarray(places[i], end))
}

function read(data: string, at: readonly number[], rules: Partial<ConstructorParameters<typeof TextReader>[0]>) {
  const reader = new TextReader({ dots: true, bareLineEndings: 'reject', maxLine: 1000, ...rules })
  const out: Buffer[] = []
  let passed = 0
  let end = -1
  for (const piece of pieces(Buffer.from(data, 'latin1'), at)) {
    const found = reader.push(piece, (octets) => void out.push(octets))
    if (found >= 0) {
      end = passed + found
      break
    }
    passed += piece.length
  }
  if (rules.dots === false) reader.end((octets) => void out.push(octets))
  return { end, text: Buffer.concat(out).toString('latin1'), fault: reader.fault }
}

/** The first thing that is wrong, by looking at one octet after the other. */
function firstFault(data: string, maxLine: number): string | undefined {
  let line = 0
  for (let i = 0; i < data.length; i++) {
    if (data.startsWith('\r\n', i)) {
      line = 0
      i++
    } else if (data[i] === '\r' || data[i] === '\n') {
      return 'bare'
    } else if (data[i] === '\0') {
      return 'nul'
    } else if (++line > maxLine) {
      return 'long'
    }
  }
  return undefined
}

test('DATA is read as the plain rules say, however the octets arrive', () => {
  fc.assert(
    fc.property(text, cuts, (data, at) => {
      const first = ('\r\n' + data).indexOf('\r\n.\r\n')
      const end = first < 0 ? -1 : first + 3
      const raw = end < 0 ? data + '!' : data.slice(0, end - 3)
      const plain = ('\r\n' + raw).replace(/\r\n\./g, '\r\n').slice(2)
      const got = read(end < 0 ? data + '!' : data, at, {})
      assert.equal(got.end, end)
      // A dot that comes off hides nothing: the CR behind it is as bare as before.
      assert.equal(got.fault, firstFault(plain, 1000))
      if (got.fault === undefined) assert.equal(got.text, plain)
      const mended = read(end < 0 ? data + '!' : data, at, { bareLineEndings: 'normalise' })
      assert.equal(mended.text, plain.replace(/\r\n|\r|\n/g, '\r\n'))
      assert.equal(mended.end, end)
    }),
    { numRuns: 5000 },
  )
})

test('a chunk of BDAT keeps its dots, and its last CR may be the end', () => {
  fc.assert(
    fc.property(text, cuts, (data, at) => {
      const got = read(data, at, { dots: false })
      assert.equal(got.end, -1)
      assert.equal(got.fault, firstFault(data, 1000))
      if (got.fault === undefined) assert.equal(got.text, data)
      const mended = read(data, at, { dots: false, bareLineEndings: 'normalise' })
      assert.equal(mended.text, data.replace(/\r\n|\r|\n/g, '\r\n'))
    }),
    { numRuns: 2000 },
  )
})

test('a line is too long at the same octet, however it arrives', () => {
  const lines = fc.string({
    unit: fc.constantFrom('a', 'a', 'a', 'a', '\r\n', '.', '\r', '\0', '\r\n.'),
    maxLength: 40,
  })
  fc.assert(
    fc.property(lines, cuts, (data, at) => {
      const got = read(data, at, { dots: false, maxLine: 5 })
      assert.equal(got.fault, firstFault(data, 5))
      assert.deepEqual(read(data, at, { maxLine: 5 }), read(data, [], { maxLine: 5 }))
    }),
    { numRuns: 5000 },
  )
})

test('what is written comes off the wire as it was, its lines mended, however it is cut', () => {
  fc.assert(
    fc.property(text, cuts, (data, at) => {
      const mended = data.replace(/\r\n|\r|\n/g, '\r\n')
      const ended = mended === '' || mended.endsWith('\r\n') ? mended : mended + '\r\n'
      for (const dots of [true, false]) {
        const writer = new TextWriter(dots)
        const out: Buffer[] = []
        for (const piece of pieces(Buffer.from(data, 'latin1'), at))
          writer.push(piece, (octets) => void out.push(octets))
        writer.end((octets) => void out.push(octets))
        const wire = Buffer.concat(out).toString('latin1')
        if (dots)
          assert.deepEqual(read(wire, [], { bareLineEndings: 'normalise' }), {
            end: wire.length,
            text: ended,
            fault: firstNul(ended),
          })
        else assert.equal(wire, ended)
      }
    }),
    { numRuns: 3000 },
  )
})

const firstNul = (data: string): 'nul' | undefined => (data.includes('\0') ? 'nul' : undefined)

const rules = (more: Partial<CollectorRules> = {}): CollectorRules => ({
  max: 500_000,
  maxHeader: 100_000,
  budget: new MemoryBudget(1_000_000),
  spool: undefined,
  threshold: 20_000,
  ...more,
})

test('what is collected comes out whole, from memory or from the spool, and all of it is given back', async () => {
  const sizes = fc.array(fc.oneof(fc.nat(100), fc.integer({ min: 3000, max: 9000 })), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(sizes, fc.boolean(), fc.nat(10), fc.nat(30_000), async (lengths, spooled, headerPlace, from) => {
      const budget = new MemoryBudget(1_000_000)
      const spool = new MemorySpool()
      const collector = new BodyCollector(rules({ budget, ...(spooled ? { spool } : {}) }))
      const parts = lengths.map((length, i) => Buffer.alloc(length, i + 32))
      parts.splice(Math.min(headerPlace, parts.length), 0, Buffer.from('\r\n\r\n'))
      for (const part of parts) {
        collector.push(part)
        if (collector.pressing) await collector.spill()
      }
      const all = Buffer.concat(parts)
      assert.ok(budget.used <= (spooled && all.indexOf('\r\n\r\n') < 20_000 ? 160_000 : all.length))
      const body = (await collector.finish('8BITMIME')) ?? assert.fail()
      assert.equal(body.size, all.length)
      const end = all.subarray(0, 2).equals(Buffer.from('\r\n')) ? 2 : all.indexOf('\r\n\r\n') + 4
      assert.ok(Buffer.from(body.header).equals(all.subarray(0, end)))
      assert.ok((await whole(body)).equals(all))
      assert.ok((await whole(body, from)).equals(all.subarray(from)))
      assert.equal(body.bytes === undefined, spool.files > 0)
      await body.dispose()
      await body.dispose()
      assert.equal(budget.used, 0)
      assert.equal(spool.files, 0)
    }),
    { numRuns: 200 },
  )
})

test('a large message leaves memory for the spool; where memory is short, a small one does too', async () => {
  const spool = new MemorySpool()
  const budget = new MemoryBudget(30_000)
  const collector = new BodyCollector(rules({ spool, budget, threshold: 1_000_000 }))
  collector.push(Buffer.from('Subject: x\r\n\r\n'))
  for (let i = 0; i < 40; i++) {
    collector.push(Buffer.alloc(10_000, 65))
    if (collector.pressing) await collector.spill()
    assert.ok(budget.used <= 30_000)
  }
  const body = (await collector.finish('7BIT')) ?? assert.fail()
  assert.equal(body.size, 400_014)
  assert.equal(Buffer.from(body.header).toString(), 'Subject: x\r\n\r\n')
  assert.equal((await whole(body)).length, 400_014)
})

test('a header without end is no header', async () => {
  for (const spool of [undefined, new MemorySpool()]) {
    const collector = new BodyCollector(rules({ spool, maxHeader: 50_000 }))
    for (let i = 0; i < 60; i++) {
      collector.push(Buffer.from('X-Padding: ' + 'x'.repeat(1000) + '\r\n'))
      if (collector.pressing) await collector.spill()
    }
    assert.equal(await collector.finish('7BIT'), undefined)
    assert.equal(collector.overflow, 'header')
    assert.equal(spool?.files ?? 0, 0)
  }
})

test('a message that drips in octet by octet costs about its size', async () => {
  const collector = new BodyCollector(rules({ threshold: 1_000_000, maxHeader: 400_000 }))
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 300_000; i++) collector.push(Buffer.from([i & 255]))
  const body = (await collector.finish('BINARYMIME')) ?? assert.fail()
  assert.equal(body.size, 300_000)
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000)
})
