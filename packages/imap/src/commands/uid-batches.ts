// RFC 10022 UIDBATCHES: UID ranges that part a mailbox into batches of equal size, the newest first.

import { defineCommand } from '../server/command.ts'
import { quote } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'

/** Smaller batches are refused (RFC 10022 §3.1.3 lets a server go down to this). */
const SMALLEST = 500

export const uidBatches = defineCommand({
  name: 'UIDBATCHES',
  state: 'selected',
  news: 'uid',
  withUid: true,
  parse(parser) {
    parser.space()
    const size = parser.nonZero()
    if (!parser.trySpace()) return { size, from: 1, to: Infinity }
    const from = parser.nonZero()
    parser.char(':')
    const to = parser.nonZero()
    if (to < from) throw bad('The first batch of the range comes before the last')
    return { size, from, to }
  },
  async execute({ out, view }, { size, from, to }, tag) {
    if (size < SMALLEST) throw no(`A batch has ${SMALLEST} messages at least`, 'TOOFEW')
    const batches: string[] = []
    for (let batch = from; batch <= to; batch++) {
      const end = view.count - (batch - 1) * size
      if (end <= 0) break
      const start = Math.max(0, end - size)
      // The last batch reaches down to 1, so that the batches leave no UID out.
      batches.push(`${view.uidAt(end - 1)}:${start === 0 ? 1 : view.uidAt(start)}`)
    }
    out.untagged(`UIDBATCHES (TAG ${quote(tag)})${batches.length === 0 ? '' : ` ${batches.join(',')}`}`)
  },
})
