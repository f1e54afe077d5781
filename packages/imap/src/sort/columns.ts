// Numbers made of the keys that the store keeps, one per message, remembered in the mailbox's cache: a key never changes, so only new messages are read.

import type { KeyField, Mailbox } from '../backend.ts'
import type { Pace } from '../search/pace.ts'
import { crowded, indexesIn, missingFrom, pick, sameUids, unionOf } from './align.ts'
import { hashText } from './hash.ts'

interface NumberColumn {
  readonly uids: Uint32Array
  readonly values: Float64Array
}

/** The moment of the Date field, in milliseconds since the epoch; NaN where there is none. Aligned with `uids` (ascending). Do not change. */
export const sentDates = (mailbox: Mailbox, uids: Uint32Array, pace: Pace): Promise<Float64Array> =>
  numbers(mailbox, 'sent', uids, pace, (key) => (key === '' ? NaN : Number(key)))

/** A number that is equal for equal base subjects; 0 for an empty one. Aligned with `uids` (ascending). Do not change. */
export const subjectHashes = (mailbox: Mailbox, uids: Uint32Array, pace: Pace): Promise<Float64Array> =>
  numbers(mailbox, 'subject', uids, pace, (key) => (key === '' ? 0 : hashText(key)))

async function numbers(
  mailbox: Mailbox,
  field: KeyField,
  uids: Uint32Array,
  pace: Pace,
  value: (key: string) => number,
): Promise<Float64Array> {
  const name = `numbers ${field}`
  let column = (mailbox.cache.get(name) as NumberColumn | undefined) ?? NOTHING
  if (sameUids(column.uids, uids)) return column.values
  const missing = missingFrom(column.uids, uids)
  if (missing.length > 0) {
    const old = column
    const base = crowded(old.uids.length, uids.length - missing.length) ? uids : unionOf(old.uids, uids)
    const values = new Float64Array(base.length).fill(value(''))
    if (pace.winded) await pace.breathe()
    const from = indexesIn(old.uids, base)
    for (let i = 0; i < base.length; i++) {
      const index = from[i] ?? -1
      if (index >= 0) values[i] = old.values[index] ?? 0
    }
    if (pace.winded) await pace.breathe()
    let at = 0
    for await (const batch of mailbox.keys(missing, field)) {
      for (let i = 0; i < batch.uids.length; i++) {
        const uid = batch.uids[i] ?? 0
        while ((base[at] ?? Infinity) < uid) at++
        if (base[at] === uid) values[at] = value(batch.keys[i] ?? '')
        if ((i & 255) === 255 && pace.winded) await pace.breathe()
      }
      if (pace.winded) await pace.breathe()
    }
    column = { uids: base, values }
    mailbox.cache.set(name, column, base.length * 12)
    if (base === uids || base.length === uids.length) return values
  }
  return pick(column.values, indexesIn(column.uids, uids), value(''))
}

const NOTHING: NumberColumn = { uids: new Uint32Array(0), values: new Float64Array(0) }
