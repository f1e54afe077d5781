// Maildir: what the names of its files say (https://cr.yp.to/proto/maildir.html, Dovecot's keywords and sizes).

import { keywordOf } from './keywords.ts'

const LETTERS: readonly (readonly [letter: string, flag: string])[] = [
  ['D', '\\Draft'],
  ['F', '\\Flagged'],
  ['P', '$Forwarded'],
  ['R', '\\Answered'],
  ['S', '\\Seen'],
  ['T', '\\Deleted'],
]
const FLAG_OF = new Map(LETTERS)

export interface MaildirName {
  /** What stays when flags change. */
  readonly base: string
  /** The letters after `:2,`. */
  readonly letters: string
  /** Octets, where the name tells (`,S=`). */
  readonly size: number | undefined
}

/** A colon cannot be in names on some systems: `;` and `!` stand for it there. */
const INFO = /[:;!]2,([!-~]*)$/

export function parseMaildirName(name: string): MaildirName {
  const info = INFO.exec(name)
  const base = info === null ? name : name.slice(0, info.index)
  const size = /,S=(\d{1,15})(?:,|$)/.exec(base)?.[1]
  return { base, letters: info?.[1] ?? '', size: size === undefined ? undefined : Number(size) }
}

/** Flags of the letters; small letters are keywords, by their places in `keywords`. Unknown letters say nothing to us. */
export function flagsOfLetters(letters: string, keywords: readonly (string | undefined)[]): string[] {
  const flags = new Set<string>()
  for (const letter of letters) {
    const flag = FLAG_OF.get(letter) ?? (/[a-z]/.test(letter) ? keywords[letter.charCodeAt(0) - 0x61] : undefined)
    if (flag !== undefined) flags.add(flag)
  }
  return [...flags]
}

/** Keywords that can have a letter. */
export const MAX_LETTERS = 26

/** Letters of the flags, in order; `keywords` gives the place of a keyword, or undefined when it has none. */
export function lettersOfFlags(flags: readonly string[], keywords: (keyword: string) => number | undefined): string {
  const letters = new Set<string>()
  for (const flag of flags) {
    const letter = LETTERS.find(([, name]) => name.toLowerCase() === flag.toLowerCase())?.[0]
    // $Forwarded has both: Dovecot knows no P, others know no keywords.
    const place = flag.startsWith('\\') ? undefined : keywords(flag)
    if (letter !== undefined) letters.add(letter)
    if (place !== undefined && place < MAX_LETTERS) letters.add(String.fromCharCode(0x61 + place))
  }
  return [...letters].sort().join('')
}

/** The file `dovecot-keywords`: lines of number, blank, keyword. */
export function parseKeywordsFile(text: string): (string | undefined)[] {
  const keywords: (string | undefined)[] = []
  for (const line of text.split('\n')) {
    const match = /^(\d{1,2}) (\S+)$/.exec(line.trimEnd())
    if (match === null || Number(match[1]) >= MAX_LETTERS) continue
    keywords[Number(match[1])] = keywordOf(match[2] ?? '')
  }
  return keywords
}

/**
 * In the order of arrival, as far as names tell: seconds at the beginning, then Dovecot's microseconds (`M123P`), then the name. Names made by others come in the order of
 * their characters.
 */
export function byArrival(a: string, b: string): number {
  const [x, y] = [seconds(a), seconds(b)]
  if (x !== y) return x - y
  const [m, n] = [micro(a), micro(b)]
  if (m !== n) return m - n
  return a < b ? -1 : a > b ? 1 : 0
}

const seconds = (name: string): number => Number(/^\d{1,15}/.exec(name)?.[0] ?? 0)
const micro = (name: string): number => Number(/^\d{1,15}\.M(\d{1,10})/.exec(name)?.[1] ?? 0)
