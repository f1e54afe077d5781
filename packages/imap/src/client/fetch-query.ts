// RFC 9051 §6.4.5: what is asked of messages, and whether a response answers it.

import type { Capabilities } from './capabilities.ts'
import { ImapClientError } from './errors.ts'
import type { FetchResponse } from './response/types.ts'

/** A section, or octets `from` ... of it. */
export interface SectionPiece {
  /** `''` the whole message, `HEADER`, `TEXT`, `1`, `2.MIME`, `HEADER.FIELDS (SUBJECT)`, ... */
  readonly section: string
  readonly from: number
  readonly octets: number
}

/** What is wanted, besides the UID. Of what the server does not offer (`modseq`, `emailId` ...) the result holds nothing. */
export interface FetchQuery {
  readonly flags?: boolean
  readonly envelope?: boolean
  readonly bodyStructure?: boolean
  readonly internalDate?: boolean
  /** Octets of the message. */
  readonly size?: boolean
  /** CONDSTORE. */
  readonly modseq?: boolean
  /** OBJECTID: both identifiers. */
  readonly ids?: boolean
  readonly saveDate?: boolean
  readonly preview?: boolean
  /** X-GM-EXT-1. */
  readonly gmail?: boolean
  /** The header, or these fields of it. */
  readonly header?: true | readonly string[]
  /** The whole message. */
  readonly source?: boolean
  readonly sections?: readonly (string | SectionPiece)[]
  /** Part numbers, to be sent without their transfer encoding (BINARY). */
  readonly binary?: readonly string[]
  /** What is read gets \Seen. Default false. */
  readonly markSeen?: boolean
}

/** The items as they are sent, and as they come back. */
export interface FetchItems {
  readonly text: string
  answers(response: FetchResponse): boolean
}

const SIMPLE: readonly (readonly [keyof FetchQuery, readonly string[], string?])[] = [
  ['flags', ['FLAGS']],
  ['envelope', ['ENVELOPE']],
  ['bodyStructure', ['BODYSTRUCTURE']],
  ['internalDate', ['INTERNALDATE']],
  ['size', ['RFC822.SIZE']],
  ['modseq', ['MODSEQ'], 'CONDSTORE'],
  ['ids', ['EMAILID', 'THREADID'], 'OBJECTID'],
  ['saveDate', ['SAVEDATE'], 'SAVEDATE'],
  ['preview', ['PREVIEW'], 'PREVIEW'],
  ['gmail', ['X-GM-MSGID', 'X-GM-THRID', 'X-GM-LABELS'], 'X-GM-EXT-1'],
]

const SECTION =
  /^(?:[1-9]\d*(?:\.[1-9]\d*)*)?(?:\.?(?:HEADER|TEXT|MIME|HEADER\.FIELDS(?:\.NOT)? \([\x21\x23-\x27\x2b-\x5b\x5d-\x7a|}~ ]+\)))?$/i
const FIELD = /^[\x21\x23-\x27\x2b-\x39\x3b-\x5b\x5d-\x7a|}~]+$/

/** Throws `ImapClientError` for sections that are none, and for BINARY where the server has it not. */
export function fetchItems(query: FetchQuery, capabilities: Capabilities): FetchItems {
  const items = ['UID']
  const answers: string[] = []
  for (const [key, names, extension] of SIMPLE) {
    if (query[key] !== true || (extension !== undefined && !capabilities.has(extension))) continue
    items.push(...names)
    answers.push(...names)
  }
  const peek = query.markSeen === true ? '' : '.PEEK'
  for (const { section, piece } of sections(query)) {
    items.push(`BODY${peek}[${section}]${piece}`)
    answers.push(`BODY[${section.toUpperCase()}]`)
  }
  for (const part of query.binary ?? []) {
    if (!capabilities.has('BINARY')) throw new ImapClientError('UNSUPPORTED', 'The server does not offer BINARY')
    if (!SECTION.test(part)) throw new ImapClientError('UNSUPPORTED', `${part.slice(0, 40)} is no part of a message`)
    items.push(`BINARY${peek}[${part}]`)
    answers.push(`BINARY[${part}]`)
  }
  // Flags come unasked too: where anything else was asked for, they alone are news and no answer.
  const telling = answers.filter((name) => name !== 'FLAGS' && name !== 'MODSEQ')
  return {
    text: items.length === 1 ? 'UID' : `(${items.join(' ')})`,
    answers({ message }) {
      if (telling.length > 0) return telling.some((name) => message.items.has(name))
      return answers.length === 0 ? !message.items.has('FLAGS') : message.items.has(answers[0] ?? '')
    },
  }
}

function sections(query: FetchQuery): { section: string; piece: string }[] {
  const out: { section: string; piece: string }[] = []
  const { header } = query
  if (header === true) out.push({ section: 'HEADER', piece: '' })
  else if (header !== undefined && header.length > 0) {
    const wrong = header.find((field) => !FIELD.test(field))
    if (wrong !== undefined)
      throw new ImapClientError('UNSUPPORTED', `${wrong.slice(0, 40)} is no name of a header field`)
    out.push({ section: `HEADER.FIELDS (${header.join(' ')})`, piece: '' })
  }
  if (query.source === true) out.push({ section: '', piece: '' })
  for (const one of query.sections ?? []) {
    if (typeof one === 'string') out.push({ section: one, piece: '' })
    else out.push({ section: one.section, piece: `<${one.from}.${one.octets}>` })
  }
  const wrong = out.find(({ section, piece }) => !SECTION.test(section) || !/^(?:<\d+\.[1-9]\d*>)?$/.test(piece))
  if (wrong === undefined) return out
  throw new ImapClientError('UNSUPPORTED', `${(wrong.section + wrong.piece).slice(0, 60)} is no section of a message`)
}
