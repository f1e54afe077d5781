// RFC 9051 §7.1: response codes, also those of RFC 4315 (UIDPLUS), RFC 7162 (MODIFIED) and RFC 8474 (MAILBOXID).

import { expandSet } from './numbers.ts'
import type { Quirk } from './quirks.ts'
import type { ResponseCode } from './types.ts'

type Note = (quirk: Quirk) => void

const NUMBERS = new Set(['UIDVALIDITY', 'UIDNEXT', 'UNSEEN', 'HIGHESTMODSEQ', 'APPENDLIMIT', 'MESSAGELIMIT'])

/** Splits `[CODE ...] text`. */
export function readCode(text: string, note: Note): { code: ResponseCode | undefined; text: string } {
  if (!text.startsWith('[')) return { code: undefined, text }
  let end = closing(text)
  if (end < 0) {
    note('unclosed-code')
    end = text.length
  }
  const inside = text.slice(1, end).trim()
  const space = inside.indexOf(' ')
  const name = (space < 0 ? inside : inside.slice(0, space)).toUpperCase()
  const rest = text.slice(end + 1)
  return {
    code: meaning(name, space < 0 ? '' : inside.slice(space + 1).trim(), note),
    text: rest.startsWith(' ') ? rest.slice(1) : rest,
  }
}

/** The bracket that closes the code: not one in quotes, nor one in a flag inside parentheses where another follows. */
function closing(text: string): number {
  let quoted = false
  let depth = 0
  for (let at = 1; at < text.length; at++) {
    const char = text[at]
    if (quoted) {
      if (char === '\\') at++
      else if (char === '"') quoted = false
    } else if (char === '"') quoted = true
    else if (char === '(') depth++
    else if (char === ')') depth--
    else if (char === ']' && depth <= 0) return at
  }
  return text.indexOf(']')
}

function meaning(name: string, text: string, note: Note): ResponseCode {
  const plain: ResponseCode = { kind: 'plain', name, text }
  if (NUMBERS.has(name) && /^\d+$/.test(text)) {
    const number = Number(text)
    if (Number.isSafeInteger(number)) return { kind: 'number', name, text, number }
    note('huge-number')
    return plain
  }
  switch (name) {
    case 'CAPABILITY':
      return { kind: 'capability', name, text, capabilities: text.split(/ +/) }
    case 'PERMANENTFLAGS':
      return { kind: 'permanentflags', name, text, flags: text.replace(/^\(|\)$/g, '').match(/[^ ]+/g) ?? [] }
    case 'APPENDUID':
    case 'COPYUID':
    case 'MODIFIED':
      try {
        return sets(name, text)
      } catch {
        note('empty-copyuid')
        return plain
      }
    default:
      return plain
  }
}

function sets(name: 'APPENDUID' | 'COPYUID' | 'MODIFIED', text: string): ResponseCode {
  if (name === 'MODIFIED') return { kind: 'modified', name, text, numbers: expandSet(text) }
  const [validity = '', first = '', second = ''] = text.split(/ +/)
  const uidValidity = Number(validity)
  if (name === 'APPENDUID') return { kind: 'appenduid', name, text, uidValidity, uids: expandSet(first) }
  const from = expandSet(first)
  const to = expandSet(second)
  if (from.length !== to.length) throw new RangeError('pairs do not match')
  return { kind: 'copyuid', name, text, uidValidity, from, to }
}
