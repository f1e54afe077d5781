// RFC 9051 §6.4.4: what is searched for, as a value; and its keys on the wire.

import { ImapClientError } from './errors.ts'
import type { CommandPart } from './request.ts'
import { uidSets, type Uids } from './uid-set.ts'

/** All conditions have to be met. Days are those of the Date in UTC. */
export interface SearchQuery {
  readonly uids?: Uids
  readonly seen?: boolean
  readonly answered?: boolean
  readonly flagged?: boolean
  readonly deleted?: boolean
  readonly draft?: boolean
  readonly keyword?: string | readonly string[]
  readonly notKeyword?: string | readonly string[]
  readonly from?: string
  readonly to?: string
  readonly cc?: string
  readonly bcc?: string
  readonly subject?: string
  readonly body?: string
  /** Header or body. */
  readonly text?: string
  /** Field name → text it holds; '' for any. */
  readonly header?: Readonly<Record<string, string>>
  /** Arrived on this day, or later. */
  readonly since?: Date
  /** Arrived before this day. */
  readonly before?: Date
  readonly on?: Date
  /** By the Date field. */
  readonly sentSince?: Date
  readonly sentBefore?: Date
  readonly sentOn?: Date
  /** Octets, exclusive. */
  readonly larger?: number
  readonly smaller?: number
  /** Seconds since arrival (WITHIN, RFC 5032). */
  readonly olderThan?: number
  readonly youngerThan?: number
  /** Changed since (CONDSTORE). */
  readonly modseq?: number
  /** OBJECTID. */
  readonly emailId?: string
  readonly threadId?: string
  /** Gmail's own search. */
  readonly gmail?: string
  readonly not?: SearchQuery
  /** One of these at least. */
  readonly or?: readonly SearchQuery[]
}

type Value = NonNullable<SearchQuery[keyof SearchQuery]>
type Words = (text: string) => CommandPart

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const FLAGS = new Set(['seen', 'answered', 'flagged', 'deleted', 'draft'])
const TEXTS = new Set(['from', 'to', 'cc', 'bcc', 'subject', 'body', 'text'])
const DAYS = new Set(['since', 'before', 'on', 'sentSince', 'sentBefore', 'sentOn'])
const NUMBERS: Readonly<Record<string, string>> = {
  larger: 'LARGER',
  smaller: 'SMALLER',
  olderThan: 'OLDER',
  youngerThan: 'YOUNGER',
  modseq: 'MODSEQ',
}
const IDS: Readonly<Record<string, string>> = { emailId: 'EMAILID', threadId: 'THREADID' }

/** The keys, space before each; `words` makes a string of text. Throws `ImapClientError` for values that are no such thing. */
export function searchKeys(query: SearchQuery, words: Words): CommandPart[] {
  const parts = (Object.entries(query) as [string, Value | undefined][]).flatMap(([key, value]) =>
    value === undefined ? [] : keyOf(key, value, words),
  )
  return parts.length === 0 ? [' ALL'] : parts
}

function keyOf(key: string, value: Value, words: Words): CommandPart[] {
  if (FLAGS.has(key)) return [` ${value === true ? '' : 'UN'}${key.toUpperCase()}`]
  if (TEXTS.has(key)) return [` ${key.toUpperCase()} `, words(String(value))]
  if (DAYS.has(key)) return [` ${key.toUpperCase()} ${day(value)}`]
  const counted = NUMBERS[key]
  if (counted !== undefined) return [` ${counted} ${count(value)}`]
  const id = IDS[key]
  if (id !== undefined) return [` ${id} ${word(String(value))}`]
  switch (key) {
    case 'uids':
      return set(value as Uids)
    case 'keyword':
    case 'notKeyword':
      return [value as string | string[]].flat().map((flag) => ` ${key === 'keyword' ? '' : 'UN'}KEYWORD ${word(flag)}`)
    case 'header':
      return Object.entries(value as Record<string, string>).flatMap(([name, text]) => [
        ' HEADER ',
        words(name),
        ' ',
        words(text),
      ])
    case 'gmail':
      return [' X-GM-RAW ', words(String(value))]
    case 'not':
      return [' NOT', ...group(value as SearchQuery, words)]
    case 'or':
      return either(value as readonly SearchQuery[], words)
    default:
      throw new ImapClientError('UNSUPPORTED', `Nothing can be searched by ${key}`)
  }
}

/** A set may be too long for one command line, and must not be cut here: the caller gives fewer. */
function set(uids: Uids): CommandPart[] {
  const sets = uidSets(uids)
  // RFC 9051 has no empty set: what is no message at all.
  if (sets.length === 0) return [' NOT ALL']
  return [` UID ${sets.join(',')}`]
}

const group = (query: SearchQuery, words: Words): CommandPart[] => {
  const [first = '', ...rest] = searchKeys(query, words)
  return [' (', typeof first === 'string' ? first.slice(1) : first, ...rest, ')']
}

function either(queries: readonly SearchQuery[], words: Words): CommandPart[] {
  const [first, ...rest] = queries
  if (first === undefined) return [' NOT ALL']
  return rest.length === 0 ? group(first, words) : [' OR', ...group(first, words), ...either(rest, words)]
}

function day(value: Value): string {
  if (!(value instanceof Date) || Number.isNaN(value.getTime()))
    throw new ImapClientError('UNSUPPORTED', 'A day is a Date')
  return `${value.getUTCDate()}-${MONTHS[value.getUTCMonth()]}-${String(value.getUTCFullYear()).padStart(4, '0')}`
}

function count(value: Value): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new ImapClientError('UNSUPPORTED', 'A number of a search is whole and not negative')
}

/** An atom. */
export function word(text: string): string {
  if (/^[^\x00-\x20(){%*"\\\]\x7f-\uffff]+$/.test(text)) return text
  throw new ImapClientError('UNSUPPORTED', `${text.slice(0, 40)} is no word that a server takes`)
}

/** Flags as they are sent: `(\Seen $Work)`. */
export function flagList(flags: readonly string[]): string {
  return `(${flags.map((flag) => (flag.startsWith('\\') ? `\\${word(flag.slice(1))}` : word(flag))).join(' ')})`
}
