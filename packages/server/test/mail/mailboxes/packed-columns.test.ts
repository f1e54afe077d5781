import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Columns, ColumnsBuilder, ColumnsWhenAsked, mergeColumns } from '../../../src/mail/mailboxes/columns.ts'
import { packColumns, unpackColumns } from '../../../src/mail/mailboxes/packed-columns.ts'

type Row = [uid: number, flagset: number, modseq: number, size: number, date: number, zone: number]

const either = (few: number, many: number): fc.Arbitrary<number> => fc.oneof(fc.nat(few), fc.nat(many))
const wholeSeconds = (least: number, most: number): fc.Arbitrary<number> =>
  fc.integer({ min: least, max: most }).map((seconds) => seconds * 1000)

/** Rows of a mailbox: small numbers in one, large ones in others, some of them one after the other. */
const rows = fc
  .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 }))
  .chain(([size, runs]) =>
    fc
      .array(
        fc.tuple(
          fc.integer({ min: 1, max: 0xffffffff }),
          size === 0 ? fc.nat(255) : either(9, size === 1 ? 0xffff : 0xffffffff),
          size === 0 ? fc.nat(0xffffffff) : either(9, Number.MAX_SAFE_INTEGER),
          size === 0 ? fc.nat(0xffffffff) : either(9, 2 ** 40),
          size === 0
            ? wholeSeconds(1.7e9, 1.8e9)
            : size === 1
              ? wholeSeconds(-1e9, 8e9)
              : fc.integer({ min: -1e12, max: 1e13 }),
          size === 0 ? fc.constant(60) : fc.integer({ min: -1439, max: 1439 }),
        ),
        { maxLength: 40 },
      )
      .map((list) =>
        list.map((row, i): Row => (runs === 0 ? row : [i + runs, row[1], i + 2 ** 40, row[3], row[4], row[5]])),
      ),
  )

function columns(list: readonly Row[]): Columns {
  const builder = new ColumnsBuilder(1)
  for (const one of list) builder.push(...one)
  return builder.finish()
}
const asRows = (c: Columns): number[][] =>
  Array.from(c.uids, (uid, i) =>
    [c.flagsets, c.modseqs, c.sizes, c.internalDates, c.zones].reduce(
      (row, column) => [...row, column[i] ?? NaN],
      [uid],
    ),
  )

test('packed columns come back as they were, wherever they lie in memory, one part after the other; anything else is refused', () => {
  fc.assert(
    fc.property(rows, rows, fc.nat(7), (list, later, offset) => {
      const packed = packColumns(columns(list))
      const moved = new Uint8Array(packed.length + offset)
      moved.set(packed, offset)
      const unpacked = unpackColumns([moved.subarray(offset), packColumns(columns(later))])
      assert.deepEqual(asRows(unpacked?.columns() ?? columns([])), [...list, ...later])
      assert.deepEqual(new Set(unpacked?.sets), new Set([...list, ...later].map(([, flagset]) => flagset)))
      assert.deepEqual(unpacked?.rows, [list.length, later.length])
      assert.deepEqual(unpacked?.lastUids, [list.at(-1)?.[0] ?? 0, later.at(-1)?.[0] ?? 0])
      assert.equal(unpackColumns([packed.subarray(0, packed.length - 1)]), undefined)
      assert.equal(unpackColumns([packed, packed.subarray(1)]), undefined)
    }),
  )
  fc.assert(
    fc.property(rows, fc.nat(159), fc.nat(255), (list, at, octet) => {
      const packed = packColumns(columns(list))
      packed[at] = octet
      if (packed.length > 0) void asRows(unpackColumns([packed])?.columns() ?? columns([]))
    }),
  )
})

test('where messages came one after the other a row takes 13 octets; with gaps, as there are after years, 17', () => {
  const list = Array.from({ length: 1000 }, (_, i): Row => [
    i + 100_000,
    i % 9,
    i + 5e6,
    40_000 + i * i,
    1_764_000_000_000 + i * i * 1000,
    60,
  ])
  const rest = 160 + 9 * 4 + 4
  assert.equal(packColumns(columns(list)).length, rest + 13_000)
  const gaps = list.filter((_, i) => i % 10 !== 5)
  assert.equal(packColumns(columns(gaps)).length, rest + 900 * 17 + 4)
})

test('a column is made when it is asked for first, and once', () => {
  const made: string[] = []
  const all = columns([
    [1, 1, 7, 30, 1000, 0],
    [2, 1, 8, 31, 2000, 0],
  ])
  const lazy = new ColumnsWhenAsked((name) => {
    made.push(name)
    return all[name]
  })
  const changed = columns([[2, 5, 9, 31, 2000, 0]])
  const merged = mergeColumns(mergeColumns(lazy, changed, new Uint32Array()), changed, new Uint32Array())
  assert.deepEqual([...merged.flagsets], [1, 5])
  assert.deepEqual(new Set(made), new Set(['uids', 'flagsets', 'modseqs']))
  assert.deepEqual([...lazy.flagsets], [1, 1])
  assert.deepEqual(asRows(merged), [
    [1, 1, 7, 30, 1000, 0],
    [2, 5, 9, 31, 2000, 0],
  ])
  assert.equal(made.length, 6)
})

test('columns as earlier editions packed them are refused', () => {
  const packed = packColumns(columns([[1, 1, 1, 1, 1, 1]]))
  packed[0] = 4
  assert.equal(unpackColumns([packed]), undefined)
})
