import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Columns, ColumnsBuilder } from '../../../src/mail/mailboxes/columns.ts'
import { packColumns, unpackColumns } from '../../../src/mail/mailboxes/packed-columns.ts'

type Row = [uid: number, flagset: number, modseq: number, size: number, date: number, zone: number]

const either = (few: number, many: number): fc.Arbitrary<number> => fc.oneof(fc.nat(few), fc.nat(many))

/** Rows of a mailbox: small numbers in one, large ones in another. */
const rows = fc
  .integer({ min: 0, max: 2 })
  .chain((size) =>
    fc.array(
      fc.tuple(
        fc.integer({ min: 1, max: 0xffffffff }),
        size === 0 ? fc.nat(255) : either(9, size === 1 ? 0xffff : 0xffffffff),
        size === 0 ? fc.nat(0xffffffff) : either(9, Number.MAX_SAFE_INTEGER),
        size === 0 ? fc.nat(0xffffffff) : either(9, 2 ** 40),
        fc.integer({ min: -1e12, max: 1e13 }),
        size === 0 ? fc.constant(60) : fc.integer({ min: -1439, max: 1439 }),
      ),
      { maxLength: 40 },
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
      assert.deepEqual(asRows(unpacked?.columns ?? columns([])), [...list, ...later])
      assert.deepEqual(new Set(unpacked?.sets), new Set([...list, ...later].map(([, flagset]) => flagset)))
      assert.deepEqual(unpacked?.rows, [list.length, later.length])
      assert.equal(unpackColumns([packed.subarray(0, packed.length - 1)]), undefined)
      assert.equal(unpackColumns([packed, packed.subarray(1)]), undefined)
    }),
  )
  fc.assert(
    fc.property(rows, fc.nat(23), fc.nat(255), (list, at, octet) => {
      const packed = packColumns(columns(list))
      packed[at] = octet
      void unpackColumns([packed])
    }),
  )
})

test('where numbers are small, as they are for years, a row takes 21 octets', () => {
  const list = Array.from({ length: 1000 }, (_, i): Row => [i + 1, i % 9, i + 5e6, 40_000, 1_764_000_000_000 + i, 60])
  assert.equal(packColumns(columns(list)).length, 24 + 21_000 + 9 * 4 + 4)
})

test('columns as earlier editions packed them are refused', () => {
  const packed = packColumns(columns([[1, 1, 1, 1, 1, 1]]))
  packed[0] = 3
  assert.equal(unpackColumns([packed]), undefined)
})
