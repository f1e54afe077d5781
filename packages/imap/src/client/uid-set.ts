// RFC 9051 §9 `sequence-set` in commands: which messages are meant, by UID.

import { formatNumbers, type NumberSet, parseNumberSet } from '../wire/number-set.ts'
import { ImapClientError } from './errors.ts'

/** `1:5,9`, `7:*`, one UID, or many. */
export type Uids = string | number | readonly number[]

/** Octets of a set in one command: servers take lines of 8 KiB at least. */
const LONGEST = 4000

/** As sets that fit one command each; none for no messages. Throws `ImapClientError` for what is no set. */
export function uidSets(uids: Uids): string[] {
  const text = typeof uids === 'string' ? uids : formatNumbers([...new Set([uids].flat())].sort((a, b) => a - b))
  if (text === '') return []
  if (parseNumberSet(text) === undefined)
    throw new ImapClientError('UNSUPPORTED', `${text.slice(0, 40)} is no set of UIDs`)
  const sets: string[] = []
  let from = 0
  while (text.length - from > LONGEST) {
    const comma = text.lastIndexOf(',', from + LONGEST)
    sets.push(text.slice(from, comma))
    from = comma + 1
  }
  sets.push(text.slice(from))
  return sets
}

/** Tells whether a UID may belong to a set. `*` is the last message, whichever it is, so everything from a range's other end on may. */
export function mayHold(set: string): (uid: number) => boolean {
  const ranges: NumberSet = parseNumberSet(set) ?? []
  return (uid) =>
    ranges.some(({ from, to }) =>
      from === 0 || to === 0 ? true : uid >= Math.min(from, to) && uid <= Math.max(from, to),
    )
}
