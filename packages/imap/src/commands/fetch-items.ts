// RFC 9051 §6.4.5, RFC 3501 §6.4.5: what FETCH can ask for. MODSEQ (RFC 7162), EMAILID and THREADID (RFC 8474), SAVEDATE (RFC 8514), PREVIEW (RFC 8970).

import type { Section } from '../render/section.ts'
import { bad } from '../wire/errors.ts'
import { astring } from '../wire/encode.ts'
import type { Parser } from '../wire/parser.ts'

/** Octets [start, start + length) of a section: `<start.length>`. */
export interface Partial {
  readonly start: number
  readonly length: number
}

export interface BodyItem {
  readonly kind: 'BODY[]'
  readonly section: Section
  readonly partial: Partial | undefined
  /** Leaves \Seen alone. */
  readonly peek: boolean
  /** The name in the response: `BODY[...]`, or RFC822 and its kin. */
  readonly label: string
}

const PLAIN = [
  'UID',
  'FLAGS',
  'INTERNALDATE',
  'RFC822.SIZE',
  'ENVELOPE',
  'BODYSTRUCTURE',
  'BODY',
  'MODSEQ',
  'EMAILID',
  'THREADID',
  'SAVEDATE',
  'PREVIEW',
] as const
export type PlainItem = (typeof PLAIN)[number]

export type FetchItem = { readonly kind: PlainItem } | BodyItem

const MACROS: Readonly<Record<string, readonly PlainItem[]>> = {
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
  FULL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODY'],
}
const WHOLE: Section = { part: [], text: undefined, fields: [] }

/** Numbers of parts inside each other: deeper than any message that is parsed. */
const DEPTH = 100

/** One item or macro, or a list of items. An item asked for twice is answered once. */
export function parseFetchItems(parser: Parser): FetchItem[] {
  const items = parser.atList ? parser.list(() => parseItem(parser, parser.item())) : one(parser)
  if (items.length === 0) throw bad('FETCH needs at least one item')
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = item.kind === 'BODY[]' ? `${item.label}${item.partial?.start}.${item.partial?.length}` : item.kind
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function one(parser: Parser): FetchItem[] {
  const name = parser.item()
  const macro = Object.hasOwn(MACROS, name) ? MACROS[name] : undefined
  return macro === undefined ? [parseItem(parser, name)] : macro.map((kind) => ({ kind }))
}

function parseItem(parser: Parser, name: string): FetchItem {
  if ((name === 'BODY' || name === 'BODY.PEEK') && parser.tryChar('[')) {
    const section = parseSection(parser)
    parser.char(']')
    return {
      kind: 'BODY[]',
      section,
      partial: parsePartial(parser),
      peek: name === 'BODY.PEEK',
      label: `BODY[${sectionText(section)}]`,
    }
  }
  const plain = PLAIN.find((known) => known === name)
  if (plain === 'PREVIEW') skipLazy(parser)
  if (plain !== undefined) return { kind: plain }
  switch (name) {
    case 'RFC822':
      return { kind: 'BODY[]', section: WHOLE, partial: undefined, peek: false, label: name }
    case 'RFC822.HEADER':
      return { kind: 'BODY[]', section: { ...WHOLE, text: 'HEADER' }, partial: undefined, peek: true, label: name }
    case 'RFC822.TEXT':
      return { kind: 'BODY[]', section: { ...WHOLE, text: 'TEXT' }, partial: undefined, peek: false, label: name }
    default:
      throw bad(`FETCH does not know the item ${name.slice(0, 40)}`)
  }
}

/** `PREVIEW (LAZY)`: who is in no hurry gets the same answer, as previews are always ready (RFC 8970 §3.1). */
function skipLazy(parser: Parser): void {
  const lazy = parser.ahead(' (LAZY')
  if (!lazy) return
  parser.space()
  parser.list(() => {
    if (parser.word() !== 'LAZY') throw bad('PREVIEW knows only the modifier LAZY')
  })
}

/** What stands between the brackets of `BODY[...]`. */
export function parseSection(parser: Parser): Section {
  const part: number[] = []
  while (parser.atNumberSet) {
    part.push(parser.nonZero())
    if (part.length > DEPTH) throw bad('The section is nested too deep')
    if (!parser.tryChar('.')) return { part, text: undefined, fields: [] }
  }
  if (part.length === 0 && parser.peek() === 0x5d) return WHOLE
  const text = parser.item()
  switch (text) {
    case 'HEADER':
    case 'TEXT':
      return { part, text, fields: [] }
    case 'MIME':
      if (part.length === 0) throw bad('BODY[MIME] needs the number of a part')
      return { part, text, fields: [] }
    case 'HEADER.FIELDS':
    case 'HEADER.FIELDS.NOT': {
      parser.space()
      const fields = parser.list(() => Buffer.from(parser.astring()).toString('latin1'))
      if (fields.length === 0) throw bad(`${text} needs at least one field name`)
      return { part, text, fields }
    }
    default:
      throw bad(`BODY[] does not know the section ${text.slice(0, 40)}`)
  }
}

function parsePartial(parser: Parser): Partial | undefined {
  if (!parser.tryChar('<')) return undefined
  const start = parser.number64()
  parser.char('.')
  const length = parser.number64()
  parser.char('>')
  return { start, length }
}

function sectionText({ part, text, fields }: Section): string {
  const numbers = part.join('.')
  const words = text ?? ''
  const names =
    fields.length === 0 ? '' : ` (${fields.map((field) => astring(field.replace(/[^\x20-\x7e]/g, '?'))).join(' ')})`
  return `${numbers}${numbers !== '' && words !== '' ? '.' : ''}${words}${names}`
}
