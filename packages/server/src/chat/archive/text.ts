// XEP-0431: finding words in the bodies of archived messages. Store workers import this file: it must stay light.

const BODIES = /<body(?:\s[^>]*)?>([^]*?)<\/body>/g
const MARKUP = /<!\[CDATA\[([^]*?)\]\]>|<[^>]*>|&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,8})|(amp|lt|gt|quot|apos));/g
const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** So that capitals and compatible forms of letters do not matter. */
export const fold = (text: string): string => text.normalize('NFKC').toLowerCase()

/** The words of what somebody searches for, folded; few, as each message is searched for each. */
export const wordsOf = (text: string): readonly string[] =>
  fold(text.slice(0, 256))
    .split(/\s+/)
    .filter((word) => word !== '')
    .slice(0, 10)

/** The text of the bodies of a message in XML. */
export function bodyText(xml: string): string {
  let text = ''
  for (const [, body = ''] of xml.matchAll(BODIES))
    text += `${body.replace(MARKUP, (_all, cdata?: string, hex?: string, decimal?: string, name?: string) => {
      if (cdata !== undefined) return cdata
      if (name !== undefined) return NAMED[name] ?? ''
      const code = hex === undefined ? Number(decimal ?? NaN) : parseInt(hex, 16)
      return code <= 0x10ffff ? String.fromCodePoint(code) : ''
    })}\n`
  return text
}

/** True where the bodies hold each of the words (folded), as a whole word or as part of one. */
export function holdsAll(xml: string, words: readonly string[]): boolean {
  const text = fold(bodyText(xml))
  return words.every((word) => text.includes(word))
}
