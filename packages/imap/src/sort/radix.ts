// A stable sort of messages by a number each: by digits, so that its time is in proportion to the messages.

import { type Pace, STRIDE } from '../search/pace.ts'

const BITS = 11
const DIGITS = 1 << BITS

/** The positions in `order` sorted by `values[position]` (descending when `reverse`); equal ones stay as they were. Values that are no numbers count as 0. */
export async function sortedBy(
  order: Uint32Array,
  values: ArrayLike<number>,
  reverse: boolean,
  pace: Pace,
): Promise<Uint32Array> {
  const count = order.length
  if (count < 2) return order
  let least = Infinity
  let most = -Infinity
  for (let i = 0; i < count; i++) {
    const value = values[order[i] ?? 0] || 0
    if (value < least) least = value
    if (value > most) most = value
  }
  if (pace.winded) await pace.breathe()
  const range = most - least
  if (range === 0) return order
  const low = new Uint32Array(count)
  const high = range > 0xffffffff ? new Uint32Array(count) : undefined
  for (let i = 0; i < count; i++) {
    const value = values[order[i] ?? 0] || 0
    const distance = reverse ? most - value : value - least
    low[i] = distance % 0x100000000
    if (high !== undefined) high[i] = Math.floor(distance / 0x100000000)
  }
  if (pace.winded) await pace.breathe()

  let from = new Uint32Array(count)
  for (let i = 0; i < count; i++) from[i] = i
  let to = new Uint32Array(count)
  const pass = async (digits: Uint32Array, shift: number): Promise<void> => {
    if (pace.winded) await pace.breathe()
    const places = new Uint32Array(DIGITS)
    for (let i = 0; i < count; i++) {
      const digit = ((digits[i] ?? 0) >>> shift) & (DIGITS - 1)
      places[digit] = (places[digit] ?? 0) + 1
    }
    let place = 0
    for (let digit = 0; digit < DIGITS; digit++) {
      const here = places[digit] ?? 0
      places[digit] = place
      place += here
    }
    for (let start = 0; start < count; start += STRIDE) {
      const end = Math.min(count, start + STRIDE)
      for (let i = start; i < end; i++) {
        const index = from[i] ?? 0
        const digit = ((digits[index] ?? 0) >>> shift) & (DIGITS - 1)
        const place = places[digit] ?? 0
        places[digit] = place + 1
        to[place] = index
      }
      if (pace.winded) await pace.breathe()
    }
    ;[from, to] = [to, from]
  }
  const lowBits = high === undefined ? bitsOf(range) : 32
  for (let shift = 0; shift < lowBits; shift += BITS) await pass(low, shift)
  if (high !== undefined)
    for (let shift = 0; shift < bitsOf(Math.floor(range / 0x100000000)); shift += BITS) await pass(high, shift)
  if (pace.winded) await pace.breathe()
  for (let i = 0; i < count; i++) to[i] = order[from[i] ?? 0] ?? 0
  return to
}

const bitsOf = (value: number): number => 32 - Math.clz32(value)
