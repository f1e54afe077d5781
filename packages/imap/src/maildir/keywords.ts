// Dovecot's `dovecot-keywords`: which letter in a file name is which keyword.

import { KEYWORD_LETTERS } from './file-name.ts'

/** Keywords by letter, `[0]` for `a`. Lines that say nothing usable are passed over. */
export function parseKeywords(text: string): (string | undefined)[] {
  const keywords: (string | undefined)[] = []
  for (const line of text.split('\n')) {
    const match = /^(\d{1,2}) ([^\s\x00-\x1f]+)$/.exec(line)
    const at = Number(match?.[1])
    const name = match?.[2]
    if (name === undefined || at >= KEYWORD_LETTERS || keywords[at] !== undefined) continue
    keywords[at] = name
  }
  return Array.from({ length: keywords.length }, (_, i) => keywords[i])
}

export const formatKeywords = (keywords: readonly (string | undefined)[]): string =>
  keywords.map((keyword, i) => (keyword === undefined ? '' : `${i} ${keyword}\n`)).join('')

/** Flags with keywords in their known spelling, each once, and the table with the new ones. Undefined when a letter more is needed than there are. */
export function spell(
  flags: readonly string[],
  known: readonly (string | undefined)[],
): { readonly flags: string[]; readonly keywords: readonly (string | undefined)[] } | undefined {
  const keywords = [...known]
  const spelt = new Set<string>()
  for (const flag of flags) {
    if (flag.startsWith('\\')) {
      spelt.add(flag)
      continue
    }
    const key = flag.toLowerCase()
    let keyword = keywords.find((one) => one?.toLowerCase() === key)
    if (keyword === undefined) {
      const free = Array.from({ length: KEYWORD_LETTERS }, (_, i) => i).find((i) => keywords[i] === undefined)
      if (free === undefined) return undefined
      while (keywords.length < free) keywords.push(undefined)
      keywords[free] = keyword = flag
    }
    spelt.add(keyword)
  }
  return { flags: [...spelt], keywords }
}
