// RFC 9051 §9 `sequence-set` in responses: numbers one by one.

import { parseNumberSet } from '../../wire/number-set.ts'
import { ResponseFault } from './scanner.ts'

/** Numbers of one response: beyond this a server is not to be believed. */
const MOST = 10_000_000

/** `1:3,7` → 1, 2, 3, 7, in the order of the ranges. Throws `ResponseFault` for what is no set, or a set of more numbers than a mailbox holds. */
export function expandSet(text: string): number[] {
  const set = parseNumberSet(text)
  if (set === undefined) throw new ResponseFault('a set of numbers is missing')
  const numbers: number[] = []
  for (const { from, to } of set) {
    const low = Math.min(from, to)
    const high = Math.max(from, to)
    // `*` means nothing in a response.
    if (low === 0) throw new ResponseFault('a set of numbers has no end')
    if (numbers.length + high - low >= MOST) throw new ResponseFault('a set of numbers is too large')
    for (let number = low; number <= high; number++) numbers.push(number)
  }
  return numbers
}
