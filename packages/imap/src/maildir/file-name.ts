// Names of message files: `<base>:2,<flags>` (cr.yp.to/proto/maildir.html), with Dovecot's `,S=` and `,W=` in the base and its keywords as letters.

import { hostname } from 'node:os'

/** A message file's name, taken apart. */
export interface FileName {
  /** What identifies the message: the name up to the flags. */
  readonly base: string
  /** Letters behind `:2,`, in their order; empty where there is no such part. */
  readonly letters: string
  /** What stands behind a comma after the letters: kept as it is. */
  readonly extra: string
}

const SYSTEM: ReadonlyMap<string, string> = new Map([
  ['D', '\\Draft'],
  ['F', '\\Flagged'],
  ['R', '\\Answered'],
  ['S', '\\Seen'],
  ['T', '\\Deleted'],
])
const LETTERS: ReadonlyMap<string, string> = new Map([...SYSTEM].map(([letter, flag]) => [flag, letter]))

/** How many keywords have a letter. */
export const KEYWORD_LETTERS = 26

export function parseFileName(name: string): FileName {
  const at = name.indexOf(':')
  if (at < 0) return { base: name, letters: '', extra: '' }
  const info = name.slice(at + 1)
  // `:1,` is experimental and says nothing of flags: it is dropped when flags are set.
  if (!info.startsWith('2,')) return { base: name.slice(0, at), letters: '', extra: '' }
  const comma = info.indexOf(',', 2)
  return comma < 0
    ? { base: name.slice(0, at), letters: info.slice(2), extra: '' }
    : { base: name.slice(0, at), letters: info.slice(2, comma), extra: info.slice(comma) }
}

export const formatFileName = ({ base, letters, extra }: FileName): string => `${base}:2,${letters}${extra}`

/** True for the system flags that have a letter, and for keywords that can stand in `dovecot-keywords`. */
export const canKeep = (flag: string): boolean =>
  flag.startsWith('\\') ? LETTERS.has(flag) : /^[^\s\x00-\x1f]+$/.test(flag)

/** Flags of letters. `keywords[0]` is the keyword of `a`; a letter without one, and letters of others (`P`), say nothing to us. */
export function flagsOfLetters(letters: string, keywords: readonly (string | undefined)[]): string[] {
  const flags: string[] = []
  for (const letter of new Set(letters)) {
    const flag = SYSTEM.get(letter) ?? (isKeywordLetter(letter) ? keywords[letter.charCodeAt(0) - 0x61] : undefined)
    if (flag !== undefined) flags.push(flag)
  }
  return flags
}

/**
 * Letters of flags, sorted as the format wants it. Letters in `old` that mean nothing to us (`P`, a keyword letter without a name) are kept.
 * Every keyword among `flags` must be in `keywords`.
 */
export function lettersOfFlags(
  flags: readonly string[],
  keywords: readonly (string | undefined)[],
  old: string,
): string {
  const letters = new Set<string>()
  for (const letter of old) {
    const known = SYSTEM.has(letter) || (isKeywordLetter(letter) && keywords[letter.charCodeAt(0) - 0x61] !== undefined)
    if (!known) letters.add(letter)
  }
  for (const flag of flags) letters.add(LETTERS.get(flag) ?? String.fromCharCode(0x61 + keywords.indexOf(flag)))
  return [...letters].sort().join('')
}

const isKeywordLetter = (letter: string): boolean => letter >= 'a' && letter <= 'z'

/** A number field of a base name: `S` (octets of the file) or `W` (octets with CRLF line ends). */
export function sizeField(base: string, field: 'S' | 'W'): number | undefined {
  const value = new RegExp(`,${field}=(\\d{1,15})(?=,|$)`).exec(base)?.[1]
  return value === undefined ? undefined : Number(value)
}

/** The host's name as it may stand in a file name. */
const host = (): string => hostname().replaceAll('/', '\\057').replaceAll(':', '\\072').replaceAll(',', '\\054')

/** A base name that no other message has: time, process, a count and chance. Sizes in octets. */
export function newBase(time: number, count: number, size: number, virtualSize: number): string {
  const chance = Math.floor(Math.random() * 0xffffffff).toString(16)
  const micros = Math.floor((time % 1000) * 1000)
  return `${Math.floor(time / 1000)}.M${micros}P${process.pid}Q${count}R${chance}.${host()},S=${size},W=${virtualSize}`
}
