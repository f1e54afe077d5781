import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  type Columns,
  ColumnsBuilder,
  distinct,
  mergeColumns,
  rowsFrom,
  rowsOfUids,
  translate,
} from '../../../src/mail/mailboxes/columns.ts'
import { spans, uidList } from '../../../src/mail/mailboxes/uids.ts'

type Row = [uid: number, flagset: number, modseq: number, size: number, date: number, zone: number]

const row = fc.tuple(
  fc.integer({ min: 1, max: 60 }),
  fc.nat(9),
  fc.nat(2 ** 40),
  fc.nat(0xffffffff),
  fc.integer({ min: -1e12, max: 1e12 }),
  fc.integer({ min: -1439, max: 1439 }),
)
const rows = fc
  .uniqueArray(row, { selector: ([uid]) => uid, maxLength: 40 })
  .map((list) => list.sort((a, b) => a[0] - b[0]))

function columns(list: readonly Row[]): Columns {
  const builder = new ColumnsBuilder(1)
  for (const one of list) builder.push(...one)
  return builder.finish()
}
const asRows = (c: Columns): Row[] =>
  Array.from(c.uids, (uid, i) => [
    uid,
    c.flagsets[i] ?? -1,
    c.modseqs[i] ?? -1,
    c.sizes[i] ?? -1,
    c.internalDates[i] ?? -1,
    c.zones[i] ?? -1,
  ])

test('merging a delta is what a map would do, and leaves the old columns alone', () => {
  fc.assert(
    fc.property(rows, rows, fc.uniqueArray(fc.integer({ min: 1, max: 70 })), (old, news, gone) => {
      // Flags and modseq change; size, date and zone of a message never do.
      const changed = news.map((one): Row => {
        const same = old.find(([uid]) => uid === one[0]) ?? one
        return [one[0], one[1], one[2], same[3], same[4], same[5]]
      })
      const vanished = gone.filter((uid) => !changed.some((one) => one[0] === uid)).sort((a, b) => a - b)
      const map = new Map(old.map((one) => [one[0], one]))
      for (const uid of vanished) map.delete(uid)
      for (const one of changed) map.set(one[0], one)
      const before = columns(old)
      const merged = mergeColumns(before, columns(changed), Uint32Array.from(vanished))
      assert.deepEqual(
        asRows(merged),
        [...map.values()].sort((a, b) => a[0] - b[0]),
      )
      assert.deepEqual(asRows(before), old)
    }),
  )
})

test('rows are found by their UIDs, side by side or not', () => {
  fc.assert(
    fc.property(rows, fc.uniqueArray(fc.nat(60), { maxLength: 40 }), fc.boolean(), (list, some, all) => {
      const wanted = all ? list.map(([uid]) => uid) : some.sort((a, b) => a - b)
      const found = rowsOfUids(columns(list), Uint32Array.from(wanted))
      assert.deepEqual(
        asRows(found),
        list.filter(([uid]) => wanted.includes(uid)),
      )
    }),
  )
  const dense = columns([1, 2, 3, 4].map((uid): Row => [uid, uid, uid, uid, uid, 0]))
  assert.deepEqual([...rowsOfUids(dense, Uint32Array.of(2, 3)).sizes], [2, 3])
  assert.deepEqual([...rowsOfUids(dense, Uint32Array.of(4, 5)).sizes], [4])
})

test('columns that change only in their flags share the rest with the old ones', () => {
  const old = columns([
    [1, 1, 10, 100, 1000, 60],
    [3, 1, 11, 100, 1000, 60],
    [5, 1, 12, 100, 1000, 60],
  ])
  const merged = mergeColumns(old, columns([[3, 7, 20, 100, 1000, 60]]), new Uint32Array())
  assert.deepEqual(
    [[...merged.flagsets], [...merged.modseqs]],
    [
      [1, 7, 1],
      [10, 20, 12],
    ],
  )
  assert.deepEqual([...old.flagsets], [1, 1, 1])
  assert.equal(merged.uids, old.uids)
  // Neighbours by their numbers are taken over in one go, if they are neighbours here too.
  const dense = columns([1, 2, 3, 5, 6].map((uid) => [uid, 1, 10, 100, 1000, 60]))
  const flagged = (...uids: readonly number[]) => columns(uids.map((uid) => [uid, 7, 20, 100, 1000, 60]))
  const flagsets = (...uids: readonly number[]) => [
    ...mergeColumns(dense, flagged(...uids), new Uint32Array()).flagsets,
  ]
  assert.deepEqual(flagsets(2, 3), [1, 7, 7, 1, 1])
  assert.deepEqual(flagsets(5, 6), [1, 1, 1, 7, 7])
  assert.deepEqual(flagsets(3, 4, 5), [1, 1, 7, 7, 7, 1])
  assert.deepEqual(flagsets(1, 3, 5), [7, 1, 7, 7, 1])
  assert.deepEqual(flagsets(6, 7), [1, 1, 1, 1, 7, 7])
})

test('rows that come last are written behind the old ones, where nobody has written there before', () => {
  const uids = Array.from({ length: 2000 }, (_, i) => i + 1)
  const come = (old: Columns, uid: number, flagset: number): Columns =>
    mergeColumns(old, columns([[uid, flagset, 7, 8, 9, 60]]), new Uint32Array())
  const old = come(columns(uids.map((uid): Row => [uid, 1, uid, 1, 1, 0])), 2001, 1)
  const first = come(old, 2002, 3)
  assert.equal(first.uids.buffer, old.uids.buffer)
  assert.deepEqual([old.uids.length, old.uids.at(-1)], [2001, 2001])
  // Somebody else knows of the same message with other flags: neither sees what the other wrote.
  const second = come(old, 2002, 4)
  assert.deepEqual([first.flagsets.at(-1), second.flagsets.at(-1)], [3, 4])
  // Flags that were changed before do not stand in the way.
  const flagged = mergeColumns(first, columns([[5, 9, 9, 1, 1, 0]]), new Uint32Array())
  const third = come(flagged, 2003, 5)
  assert.equal(third.uids.buffer, old.uids.buffer)
  assert.deepEqual([first.flagsets[4], third.flagsets[4], third.flagsets.at(-1)], [1, 9, 5])
  assert.deepEqual(asRows(rowsFrom(third, 2001)), [
    [2002, 3, 7, 8, 9, 60],
    [2003, 5, 7, 8, 9, 60],
  ])
  // It goes on when there is no more room.
  let grown = third
  for (let uid = 2004; uid < 2400; uid++) grown = come(grown, uid, 1)
  assert.deepEqual(
    [...grown.uids],
    Array.from({ length: 2399 }, (_, i) => i + 1),
  )
  assert.deepEqual(asRows(rowsFrom(third, 2002)), [[2003, 5, 7, 8, 9, 60]])
})

test('numbers are found once each, and translated, small or large', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(20), fc.nat(0xffffffff))), (list) => {
      const numbers = Uint32Array.from(list)
      assert.deepEqual(
        distinct(numbers).sort((a, b) => a - b),
        [...new Set(list)].sort((a, b) => a - b),
      )
      const names = new Map(list.filter((number) => number % 3 !== 0).map((number, i) => [number, i + 1]))
      assert.deepEqual(
        [...translate(numbers, names)],
        list.map((number) => names.get(number) ?? 0),
      )
    }),
  )
})

test('a list of UIDs becomes ascending, unique and valid, and its spans cover it exactly', () => {
  assert.deepEqual([...uidList([5, 3, 3, 0, -1, 1.5, NaN, 4294967296, 4294967295])], [3, 5, 4294967295])
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 300 })),
      fc.nat(30),
      fc.integer({ min: 1, max: 20 }),
      (uids, gap, most) => {
        const list = uidList(uids)
        assert.deepEqual(
          [...list],
          [...new Set(uids)].sort((a, b) => a - b),
        )
        let at = 0
        for (const span of spans(list, gap, most)) {
          assert.equal(span.start, at)
          assert.ok(span.end > span.start && span.end - span.start <= most)
          assert.equal(span.first, list[span.start])
          assert.equal(span.last, list[span.end - 1])
          at = span.end
        }
        assert.equal(at, list.length)
      },
    ),
  )
})
