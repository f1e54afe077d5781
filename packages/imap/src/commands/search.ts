// RFC 9051 §6.4.4 SEARCH, UID SEARCH, with RETURN of ESEARCH (RFC 4731)

import { runSearch } from '../search/run.ts'
import { parseSearchProgram } from '../search/keys.ts'
import { defineCommand } from '../server/command.ts'
import { quote } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { formatNumbers } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

type ReturnOption = 'MIN' | 'MAX' | 'ALL' | 'COUNT'
const OPTIONS: readonly string[] = ['MIN', 'MAX', 'ALL', 'COUNT']

/** `RETURN (...)`; an empty list means ALL. */
function parseReturn(parser: Parser): Set<ReturnOption> | undefined {
  if (!parser.tryWord('RETURN')) return undefined
  parser.space()
  const options = new Set<ReturnOption>()
  parser.list(() => {
    const option = parser.word()
    if (!OPTIONS.includes(option)) throw bad(`SEARCH does not know the return option ${option.slice(0, 40)}`)
    options.add(option as ReturnOption)
  })
  parser.space()
  return options.size === 0 ? new Set(['ALL']) : options
}

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID SEARCH' : 'SEARCH',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      return { returns: parseReturn(parser), key: parseSearchProgram(parser) }
    },
    async execute(session, { returns, key }, tag) {
      const { out, view } = session
      const positions = await runSearch(session, key)
      const numbers = positions.map((position) => (uid ? view.uidAt(position) : position + 1))
      if (returns === undefined) {
        out.text('* SEARCH')
        for (let at = 0; at < numbers.length; at += 1024) out.text(` ${numbers.slice(at, at + 1024).join(' ')}`)
        out.text('\r\n')
        return
      }
      let line = `ESEARCH (TAG ${quote(tag)})${uid ? ' UID' : ''}`
      // MIN, MAX and ALL of nothing are left out; COUNT is 0.
      if (numbers.length > 0) {
        if (returns.has('MIN')) line += ` MIN ${numbers[0]}`
        if (returns.has('MAX')) line += ` MAX ${numbers.at(-1)}`
        if (returns.has('ALL')) line += ` ALL ${formatNumbers(numbers)}`
      }
      if (returns.has('COUNT')) line += ` COUNT ${numbers.length}`
      out.untagged(line)
    },
  })

export const search = define(false)
export const uidSearch = define(true)
