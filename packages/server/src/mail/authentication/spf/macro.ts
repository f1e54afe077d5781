// RFC 7208 §7: macros, parsed once with the record and expanded for each mail.

import { dotted, type Octets, readable } from './address.ts'

/** `%{l2r-}`: which value, and what is done with it. */
interface MacroExpand {
  readonly letter: string
  /** Escape as in a URL: the letter was upper case. */
  readonly escape: boolean
  /** How many right-hand parts to keep; 0: all. */
  readonly keep: number
  readonly reverse: boolean
  readonly delimiters: string
}

export type MacroString = readonly (string | MacroExpand)[]

/** What macros speak of. `validatedName` is asked only when a `%{p}` stands there. */
export interface MacroValues {
  readonly ip: Octets
  readonly local: string
  /** The domain of the sender. */
  readonly origin: string
  /** The domain that is being evaluated. */
  readonly domain: string
  readonly helo: string
  /** The name of this host. */
  readonly receiver: string
  /** Milliseconds since the epoch. */
  readonly now: number
  validatedName(): Promise<string>
}

const EXPAND = /^%\{([a-z])([0-9]{0,3})(r?)([.\-+,/_=]*)\}/i
const LITERAL = /^[\x21-\x24\x26-\x7e]+/
/** In an explanation, spaces may stand too (RFC 7208 §6.2). */
const EXPLANATION_LITERAL = /^[\x20-\x24\x26-\x7e]+/
const LETTERS = 'slodiphv'
const EXPLANATION_LETTERS = `${LETTERS}crt`

/** Parses a macro-string; undefined where it breaks the grammar. `explanation`: its text may hold spaces, and c, r and t. */
export function parseMacros(text: string, explanation = false): MacroString | undefined {
  const parts: (string | MacroExpand)[] = []
  const literal = explanation ? EXPLANATION_LITERAL : LITERAL
  const letters = explanation ? EXPLANATION_LETTERS : LETTERS
  let rest = text
  while (rest !== '') {
    if (rest.startsWith('%')) {
      const plain = { '%%': '%', '%_': ' ', '%-': '%20' }[rest.slice(0, 2)]
      if (plain !== undefined) {
        parts.push(plain)
        rest = rest.slice(2)
        continue
      }
      const [whole, letter = '', digits = '', reverse, delimiters = ''] = EXPAND.exec(rest) ?? []
      const lower = letter.toLowerCase()
      // RFC 7208 §7.1: where digits stand they must not be zero.
      if (whole === undefined || !letters.includes(lower) || (digits !== '' && Number(digits) === 0)) return undefined
      parts.push({
        letter: lower,
        escape: letter !== lower,
        keep: Number(digits),
        reverse: reverse !== '',
        delimiters: delimiters === '' ? '.' : delimiters,
      })
      rest = rest.slice(whole.length)
      continue
    }
    const run = literal.exec(rest)?.[0]
    if (run === undefined) return undefined
    parts.push(run)
    rest = rest.slice(run.length)
  }
  return parts
}

/** domain-end: `.` and a top label with a letter or a hyphen in it, and perhaps a dot (RFC 7208 §7.1). */
const DOMAIN_END = /\.(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])\.?$/i

/** Parses a domain-spec: a macro-string that ends in a top label or in a macro; undefined where it breaks the grammar. */
export function parseDomainSpec(text: string): MacroString | undefined {
  const macros = parseMacros(text)
  const last = macros?.at(-1)
  if (macros === undefined || last === undefined) return undefined
  return typeof last !== 'string' || DOMAIN_END.test(text) ? macros : undefined
}

/** Expands. Whatever a peer chose of its values stands in the result: it is a name to ask for, or text for a reply, and must be bounded by the caller. */
export async function expandMacros(macros: MacroString, values: MacroValues): Promise<string> {
  let text = ''
  for (const part of macros) text += typeof part === 'string' ? part : await expanded(part, values)
  return text
}

async function expanded(macro: MacroExpand, values: MacroValues): Promise<string> {
  const { letter, escape, keep, reverse, delimiters } = macro
  let text = letter === 'p' ? await values.validatedName() : valueOf(letter, values)
  if (keep > 0 || reverse || delimiters !== '.') {
    let parts = split(text, delimiters)
    if (reverse) parts.reverse()
    if (keep > 0) parts = parts.slice(-keep)
    text = parts.join('.')
  }
  return escape ? encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, percent) : text
}

const percent = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`

function split(text: string, delimiters: string): string[] {
  const parts: string[] = ['']
  for (const character of text)
    if (delimiters.includes(character)) parts.push('')
    else parts[parts.length - 1] += character
  return parts
}

function valueOf(letter: string, values: MacroValues): string {
  switch (letter) {
    case 's':
      return `${values.local}@${values.origin}`
    case 'l':
      return values.local
    case 'o':
      return values.origin
    case 'd':
      return values.domain
    case 'i':
      return dotted(values.ip)
    case 'h':
      return values.helo
    case 'v':
      return values.ip.length === 4 ? 'in-addr' : 'ip6'
    case 'c':
      return readable(values.ip)
    case 'r':
      return values.receiver
    default:
      return String(Math.floor(values.now / 1000))
  }
}
