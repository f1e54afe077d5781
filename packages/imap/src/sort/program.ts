// RFC 5256 §3, RFC 5957 §3, RFC 6203 §6: what SORT sorts by.

import { bad } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'

const CRITERIA = [
  'ARRIVAL',
  'CC',
  'DATE',
  'DISPLAYFROM',
  'DISPLAYTO',
  'FROM',
  'RELEVANCY',
  'SIZE',
  'SUBJECT',
  'TO',
] as const

export type SortCriterion = (typeof CRITERIA)[number]

/** The first criterion weighs most. */
export type SortProgram = readonly { readonly by: SortCriterion; readonly reverse: boolean }[]

/** `(REVERSE DATE SUBJECT)` */
export function parseSortProgram(parser: Parser): SortProgram {
  const program: { by: SortCriterion; reverse: boolean }[] = []
  let reverse = false
  parser.list(() => {
    const word = parser.word()
    if (word === 'REVERSE' && !reverse) {
      reverse = true
      return
    }
    const by = CRITERIA.find((criterion) => criterion === word)
    if (by === undefined) throw bad(`SORT does not know the criterion ${word.slice(0, 40)}`)
    program.push({ by, reverse })
    reverse = false
  })
  if (program.length === 0 || reverse) throw bad('SORT needs something to sort by')
  if (program.length > parser.limits.sortCriteria)
    throw bad(`SORT takes at most ${parser.limits.sortCriteria} criteria`, 'LIMIT')
  return program
}
