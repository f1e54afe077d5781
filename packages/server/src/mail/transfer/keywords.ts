// Keywords of other mail programs, as IMAP can keep them.

/** RFC 9051 §9: the characters of an atom. */
const NO_ATOM = /[^!#$&'+,\-./0-9:;<=>?@A-Z[^_`a-z|}~]/g
const MAX_KEYWORD = 128

/** The keyword as an atom of ASCII, what it cannot have replaced by `_`; undefined for nothing and for system flags. */
export function keywordOf(text: string): string | undefined {
  if (text === '' || text.startsWith('\\')) return undefined
  const keyword = text.replace(NO_ATOM, '_').slice(0, MAX_KEYWORD)
  return /^_+$/.test(keyword) ? undefined : keyword
}

/** Keywords in a field that has them with white space between. */
export const keywordsOf = (text: string): string[] =>
  text.split(/\s+/).flatMap((word) => {
    const keyword = keywordOf(word)
    return keyword === undefined ? [] : [keyword]
  })
