// RFC 9051 §6.4.4, RFC 3501 §6.4.4: search keys, from the wire to a tree.

import { bad, no } from '../wire/errors.ts'
import type { NumberSet } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

export type SearchKey =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly keys: readonly SearchKey[] }
  | { readonly kind: 'not'; readonly key: SearchKey }
  | { readonly kind: 'sequence' | 'uid'; readonly set: NumberSet }
  | { readonly kind: 'flag'; readonly flag: string }
  | { readonly kind: 'recent' }
  | { readonly kind: 'larger' | 'smaller'; readonly size: number }
  /** `day` counts from the epoch; `sent` looks at the Date field, else INTERNALDATE. */
  | { readonly kind: 'before' | 'on' | 'since'; readonly sent: boolean; readonly day: number }
  | { readonly kind: 'header'; readonly name: string; readonly text: string }
  | { readonly kind: 'body' | 'text'; readonly text: string }

const FLAGS: Readonly<Record<string, string>> = {
  ANSWERED: '\\Answered',
  DELETED: '\\Deleted',
  DRAFT: '\\Draft',
  FLAGGED: '\\Flagged',
  SEEN: '\\Seen',
}
const HEADERS: readonly string[] = ['BCC', 'CC', 'FROM', 'SUBJECT', 'TO']
const RECENT: SearchKey = { kind: 'recent' }
const MOST_KEYS = 2000

const not = (key: SearchKey): SearchKey => ({ kind: 'not', key })

/** Everything behind SEARCH [RETURN (...)] and its space: charset and keys, to the end of the command. */
export function parseSearchProgram(parser: Parser): SearchKey {
  if (parser.tryWord('CHARSET')) {
    parser.space()
    const charset = parser.text().toUpperCase()
    if (charset !== 'UTF-8' && charset !== 'US-ASCII')
      throw no(`The charset ${charset.slice(0, 40)} is not known here`, 'BADCHARSET (UTF-8 US-ASCII)')
    parser.space()
  }
  const budget = { keys: MOST_KEYS }
  const keys = [parseKey(parser, budget)]
  while (!parser.atEnd) {
    parser.space()
    keys.push(parseKey(parser, budget))
  }
  return keys.length === 1 ? (keys[0] as SearchKey) : { kind: 'and', keys }
}

function parseKey(parser: Parser, budget: { keys: number }): SearchKey {
  if (--budget.keys < 0) throw bad(`A search has at most ${MOST_KEYS} keys`, 'LIMIT')
  if (parser.atList) {
    const keys = parser.list(() => parseKey(parser, budget))
    if (keys.length === 0) throw bad('A parenthesised search key is empty')
    return { kind: 'and', keys }
  }
  if (parser.atNumberSet) return { kind: 'sequence', set: parser.numberSet() }
  const name = parser.word()
  const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined
  if (flag !== undefined) return { kind: 'flag', flag }
  const unflag = name.startsWith('UN') && Object.hasOwn(FLAGS, name.slice(2)) ? FLAGS[name.slice(2)] : undefined
  if (unflag !== undefined) return not({ kind: 'flag', flag: unflag })
  switch (name) {
    case 'ALL':
      return { kind: 'all' }
    case 'NEW':
      return { kind: 'and', keys: [RECENT, not({ kind: 'flag', flag: '\\Seen' })] }
    case 'OLD':
      return not(RECENT)
    case 'RECENT':
      return RECENT
  }
  parser.space()
  if (HEADERS.includes(name)) return { kind: 'header', name, text: parser.text() }
  switch (name) {
    case 'BEFORE':
    case 'ON':
    case 'SINCE':
      return { kind: name.toLowerCase() as 'before' | 'on' | 'since', sent: false, day: parser.day() }
    case 'SENTBEFORE':
    case 'SENTON':
    case 'SENTSINCE':
      return { kind: name.slice(4).toLowerCase() as 'before' | 'on' | 'since', sent: true, day: parser.day() }
    case 'LARGER':
    case 'SMALLER':
      return { kind: name.toLowerCase() as 'larger' | 'smaller', size: parser.number64() }
    case 'KEYWORD':
      return { kind: 'flag', flag: parser.atom() }
    case 'UNKEYWORD':
      return not({ kind: 'flag', flag: parser.atom() })
    case 'UID':
      return { kind: 'uid', set: parser.numberSet() }
    case 'HEADER': {
      const field = parser.text()
      parser.space()
      return { kind: 'header', name: field, text: parser.text() }
    }
    case 'BODY':
    case 'TEXT':
      return { kind: name.toLowerCase() as 'body' | 'text', text: parser.text() }
    case 'NOT':
      return nested(parser, () => not(parseKey(parser, budget)))
    case 'OR':
      return nested(parser, () => {
        const first = parseKey(parser, budget)
        parser.space()
        return { kind: 'or', keys: [first, parseKey(parser, budget)] }
      })
    default:
      throw bad(`SEARCH does not know the key ${name.slice(0, 40)}`)
  }
}

/** NOT and OR nest without parentheses: `NOT NOT NOT ...`. */
function nested(parser: Parser, read: () => SearchKey): SearchKey {
  parser.enter()
  const key = read()
  parser.leave()
  return key
}
