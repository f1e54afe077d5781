// Numbers made of the keys that the store keeps, one per message, remembered in the mailbox's cache: a key never changes, so only new messages are read.

import type { KeyField, Mailbox } from '../backend.ts'
import type { Pace } from '../search/pace.ts'
import { keyEnd } from '../render/key-list.ts'
import { crowded, indexesIn, missingFrom, pick, sameUids, unionOf } from './align.ts'
import { hashText } from './hash.ts'

interface NumberColumn {
  readonly uids: Uint32Array
  readonly values: Float64Array
}

/** The moment of the Date field, in milliseconds since the epoch; NaN where there is none. Aligned with `uids` (ascending). Do not change. */
export const sentDates = (mailbox: Mailbox, uids: Uint32Array, pace: Pace): Promise<Float64Array> =>
  numbers(mailbox, 'sent', uids, pace, NaN, wholeNumber)

/** A number that is equal for equal base subjects; 0 for an empty one. Aligned with `uids` (ascending). Do not change. */
export const subjectHashes = (mailbox: Mailbox, uids: Uint32Array, pace: Pace): Promise<Float64Array> =>
  numbers(mailbox, 'subject', uids, pace, 0, hashText)

/** Decimal digits, perhaps with a minus in front of them. */
function wholeNumber(keys: string, start: number, end: number): number {
  const negative = keys.charCodeAt(start) === MINUS
  let number = 0
  for (let i = negative ? start + 1 : start; i < end; i++) number = number * 10 + (keys.charCodeAt(i) - ZERO)
  return negative ? -number : number
}
const MINUS = 0x2d
const ZERO = 0x30

/** `none` stands for an empty key, and for a message that is gone. */
async function numbers(
  mailbox: Mailbox,
  field: KeyField,
  uids: Uint32Array,
  pace: Pace,
  none: number,
  value: (keys: string, start: number, end: number) => number,
): Promise<Float64Array> {
  const name = `numbers ${field}`
  let column = (mailbox.cache.get(name) as NumberColumn | undefined) ?? NOTHING
  if (sameUids(column.uids, uids)) return column.values
  const missing = missingFrom(column.uids, uids)
  if (missing.length > 0) {
    const old = column
    const base = crowded(old.uids.length, uids.length - missing.length) ? uids : unionOf(old.uids, uids)
    const values = new Float64Array(base.length).fill(none)
    if (pace.winded) await pace.breathe()
    const from = indexesIn(old.uids, base)
    for (let i = 0; i < base.length; i++) {
      const index = from[i] ?? -1
      if (index >= 0) values[i] = old.values[index] ?? 0
    }
    if (pace.winded) await pace.breathe()
    let at = 0
    for await (const batch of mailbox.keys(missing, field)) {
      let start = 0
      for (let i = 0; i < batch.uids.length; i++) {
        const uid = batch.uids[i] ?? 0
        const end = keyEnd(batch.keys, start)
        while ((base[at] ?? Infinity) < uid) at++
        if (base[at] === uid && end > start) values[at] = value(batch.keys, start, end)
        start = end + 1
        if ((i & 255) === 255 && pace.winded) await pace.breathe()
      }
      if (pace.winded) await pace.breathe()
    }
    column = { uids: base, values }
    mailbox.cache.set(name, column, base.length * 12)
    if (base === uids || base.length === uids.length) return values
  }
  return pick(column.values, indexesIn(column.uids, uids), none)
}

const NOTHING: NumberColumn = { uids: new Uint32Array(0), values: new Float64Array(0) }
