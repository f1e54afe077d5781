// RFC 9051 §6.4.4, RFC 3501 §6.4.4: search keys, from the wire to a tree. With OLDER and YOUNGER (RFC 5032), FUZZY (RFC 6203), MODSEQ (RFC 7162), EMAILID and
// THREADID (RFC 8474), the SAVED keys (RFC 8514), UIDAFTER and UIDBEFORE (RFC 9738 §3.2).

import type { TextQuery } from '../backend.ts'
import { bad, no } from '../wire/errors.ts'
import { type NumberSet, SAVED } from '../wire/number-set.ts'
import type { Parser } from '../wire/parser.ts'

export type SearchKey =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly keys: readonly SearchKey[] }
  | { readonly kind: 'not'; readonly key: SearchKey }
  | { readonly kind: 'sequence' | 'uid'; readonly set: NumberSet }
  | { readonly kind: 'uidAfter' | 'uidBefore'; readonly uid: number }
  | { readonly kind: 'flag'; readonly flag: string }
  | { readonly kind: 'recent' }
  | { readonly kind: 'larger' | 'smaller'; readonly size: number }
  /** `day` counts from the epoch; it is compared with the day of INTERNALDATE, of the Date field, or on which the message was saved here. */
  | { readonly kind: 'before' | 'on' | 'since'; readonly date: 'internal' | 'sent' | 'saved'; readonly day: number }
  | { readonly kind: 'older' | 'younger'; readonly seconds: number }
  | { readonly kind: 'modseq'; readonly modseq: number }
  | { readonly kind: 'emailId' | 'threadId'; readonly id: string }
  | { readonly kind: 'saveDateSupported' }
  | TextQuery
  | { readonly kind: 'fuzzy'; readonly query: TextQuery }

const FLAGS: Readonly<Record<string, string>> = {
  ANSWERED: '\\Answered',
  DELETED: '\\Deleted',
  DRAFT: '\\Draft',
  FLAGGED: '\\Flagged',
  SEEN: '\\Seen',
}
const DATES: Readonly<Record<string, 'internal' | 'sent' | 'saved'>> = { '': 'internal', SENT: 'sent', SAVED: 'saved' }
const HEADERS: readonly string[] = ['BCC', 'CC', 'FROM', 'SUBJECT', 'TO']
const RECENT: SearchKey = { kind: 'recent' }

const not = (key: SearchKey): SearchKey => ({ kind: 'not', key })

/** What a search asks for. */
export interface SearchProgram {
  readonly key: SearchKey
  /** The client named a charset. */
  readonly charset: boolean
}

/** Everything behind SEARCH [RETURN (...)] and its space: charset and keys, to the end of the command. */
export function parseSearchProgram(parser: Parser): SearchProgram {
  const charset = parser.tryWord('CHARSET')
  if (charset) {
    parser.space()
    parseCharset(parser)
    parser.space()
  }
  return { key: parseSearchKeys(parser), charset }
}

/** A charset that strings may be in, in capitals. Throws BADCHARSET for any other. */
export function parseCharset(parser: Parser): 'UTF-8' | 'US-ASCII' {
  const charset = parser.text().toUpperCase()
  if (charset !== 'UTF-8' && charset !== 'US-ASCII')
    throw no(`The charset ${charset.slice(0, 40)} is not known here`, 'BADCHARSET (UTF-8 US-ASCII)')
  return charset
}

/** Keys to the end of the command. */
export function parseSearchKeys(parser: Parser): SearchKey {
  const reader = new KeyReader(parser)
  const first = reader.key(false)
  const keys = [first]
  while (!parser.atEnd) {
    parser.space()
    keys.push(reader.key(false))
  }
  return keys.length === 1 ? first : { kind: 'and', keys }
}

class KeyReader {
  readonly #parser: Parser
  #keys = 0

  constructor(parser: Parser) {
    this.#parser = parser
  }

  /** One key; inside FUZZY, texts are compared `fuzzy`. */
  key(fuzzy: boolean): SearchKey {
    const parser = this.#parser
    const { searchKeys } = parser.limits
    if (++this.#keys > searchKeys) throw bad(`A search has at most ${searchKeys} keys`, 'LIMIT')
    if (parser.atList) {
      const keys = parser.list(() => this.key(fuzzy))
      if (keys.length === 0) throw bad('A parenthesised search key is empty')
      return { kind: 'and', keys }
    }
    if (parser.atNumberSet) return { kind: 'sequence', set: parser.numberSet() }
    const name = parser.word()
    const bare = bareKey(name)
    if (bare !== undefined) return bare
    parser.space()
    switch (name) {
      case 'NOT':
        return this.#nested(() => not(this.key(fuzzy)))
      case 'OR':
        return this.#nested(() => {
          const first = this.key(fuzzy)
          parser.space()
          return { kind: 'or', keys: [first, this.key(fuzzy)] }
        })
      case 'FUZZY':
        return this.#nested(() => this.key(true))
    }
    const query = textQuery(parser, name)
    if (query !== undefined) return fuzzy ? { kind: 'fuzzy', query } : query
    return argumentKey(parser, name)
  }

  /** NOT, OR and FUZZY nest without parentheses: `NOT NOT NOT ...`. */
  #nested(read: () => SearchKey): SearchKey {
    this.#parser.enter()
    const key = read()
    this.#parser.leave()
    return key
  }
}

/** A key that stands alone. */
function bareKey(name: string): SearchKey | undefined {
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
    case 'SAVEDATESUPPORTED':
      return { kind: 'saveDateSupported' }
    default:
      return undefined
  }
}

function textQuery(parser: Parser, name: string): TextQuery | undefined {
  if (HEADERS.includes(name)) return { kind: 'header', name, text: parser.text() }
  switch (name) {
    case 'HEADER': {
      const field = parser.text()
      parser.space()
      return { kind: 'header', name: field, text: parser.text() }
    }
    case 'BODY':
      return { kind: 'body', text: parser.text() }
    case 'TEXT':
      return { kind: 'text', text: parser.text() }
    default:
      return undefined
  }
}

/** A key with an argument that is no text. */
function argumentKey(parser: Parser, name: string): SearchKey {
  const dated = /^(SENT|SAVED|)(BEFORE|ON|SINCE)$/.exec(name)
  if (dated !== null) {
    const kind = dated[2] === 'BEFORE' ? 'before' : dated[2] === 'ON' ? 'on' : 'since'
    return { kind, date: DATES[dated[1] ?? ''] ?? 'internal', day: parser.day() }
  }
  switch (name) {
    case 'LARGER':
      return { kind: 'larger', size: parser.number64() }
    case 'SMALLER':
      return { kind: 'smaller', size: parser.number64() }
    case 'OLDER':
      return { kind: 'older', seconds: parser.nonZero() }
    case 'YOUNGER':
      return { kind: 'younger', seconds: parser.nonZero() }
    case 'KEYWORD':
      return { kind: 'flag', flag: parser.atom() }
    case 'UNKEYWORD':
      return not({ kind: 'flag', flag: parser.atom() })
    case 'UID':
      return { kind: 'uid', set: parser.numberSet() }
    case 'UIDAFTER':
      return { kind: 'uidAfter', uid: parser.nonZero() }
    case 'UIDBEFORE':
      return { kind: 'uidBefore', uid: parser.nonZero() }
    case 'EMAILID':
      return { kind: 'emailId', id: parser.atom() }
    case 'THREADID':
      return { kind: 'threadId', id: parser.atom() }
    case 'MODSEQ':
      return { kind: 'modseq', modseq: parseModseq(parser) }
    default:
      throw bad(`SEARCH does not know the key ${name.slice(0, 40)}`)
  }
}

/** RFC 7162 §3.1.5: `[entry-name entry-type] modseq`. One mod-sequence covers all of a message here, so the entry makes no difference. */
function parseModseq(parser: Parser): number {
  if (parser.peek() === 0x22) {
    const entry = Buffer.from(parser.string()).toString('latin1')
    if (!entry.toLowerCase().startsWith('/flags/')) throw bad('MODSEQ knows entries of the form "/flags/..."')
    parser.space()
    const type = parser.word()
    if (type !== 'PRIV' && type !== 'SHARED' && type !== 'ALL') throw bad('The type of an entry is priv, shared or all')
    parser.space()
  }
  return parser.number64()
}

/** True when `test` holds for the key or one inside it. */
export function someKey(key: SearchKey, test: (key: SearchKey) => boolean): boolean {
  if (test(key)) return true
  if (key.kind === 'not') return someKey(key.key, test)
  return (key.kind === 'and' || key.kind === 'or') && key.keys.some((one) => someKey(one, test))
}

/** RFC 7162 §3.1.5: the answer carries MODSEQ. */
export const usesModseq = (key: SearchKey): boolean => someKey(key, ({ kind }) => kind === 'modseq')

/** Sequence numbers as the client wrote them; `$` is none. */
export const usesSequence = (key: SearchKey): boolean =>
  someKey(key, (one) => one.kind === 'sequence' && one.set !== SAVED)

export const usesSaved = (key: SearchKey): boolean =>
  someKey(key, (one) => (one.kind === 'sequence' || one.kind === 'uid') && one.set === SAVED)

export const usesFuzzy = (key: SearchKey): boolean => someKey(key, ({ kind }) => kind === 'fuzzy')

export const usesRecent = (key: SearchKey): boolean => someKey(key, ({ kind }) => kind === 'recent')
