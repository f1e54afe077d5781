// RFC 8601: Authentication-Results, written and read.

/** What one method found: `spf=pass (why) smtp.mailfrom=example.org`. */
export interface MethodResult {
  readonly method: string
  readonly result: string
  /** For people. */
  readonly comment?: string
  /** `smtp.mailfrom` and the like, with their values; undefined ones are left out. */
  readonly properties: readonly (readonly [property: string, value: string | undefined])[]
}

const LINE = 76

/** A `resinfo` of RFC 8601 §2.2, folded, as the pipeline takes them. */
export function resinfo({ method, result, comment, properties }: MethodResult): string {
  const words = [`${method}=${result}`]
  if (comment !== undefined && comment !== '') words.push(`(${commentText(comment)})`)
  for (const [property, value] of properties)
    if (value !== undefined && value !== '') words.push(`${property}=${valueText(value)}`)
  let text = ''
  let column = 0
  for (const word of words) {
    const breaks = column > 0 && column + word.length >= LINE
    text += column === 0 ? word : breaks ? `\r\n\t${word}` : ` ${word}`
    column = breaks ? word.length : column + 1 + word.length
  }
  return text
}

/** The field of RFC 8617 §4.1.1, folded, without its last line end. `results`: each as `resinfo` makes it. */
export const arcAuthenticationResults = (instance: number, id: string, results: readonly string[]): string =>
  [`ARC-Authentication-Results: i=${instance}`, id, ...(results.length === 0 ? ['none'] : results)].join(';\r\n\t')

/** Nothing that ends a comment, a quoted string or a line. */
const plain = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500)
const commentText = (text: string): string => plain(text).replace(/[()\\]/g, '\\$&')

/** RFC 8601 §2.2: a pvalue: a domain, an address or a token as they are, all else quoted. */
function valueText(value: string): string {
  const text = plain(value)
  return /^[A-Za-z0-9!#$%&'*+\-.^_`{|}~]*@?[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+$/.test(text)
    ? text
    : `"${text.replace(/["\\]/g, '\\$&')}"`
}

export interface ParsedResults {
  /** Who says so; lower case, without a final dot. */
  readonly authservId: string
  readonly results: readonly ParsedResult[]
}

export interface ParsedResult {
  /** Lower case, as is `result`. */
  readonly method: string
  readonly result: string
  readonly properties: ReadonlyMap<string, string>
}

/** More than any server writes. */
const MAX_RESULTS = 100
const FIELD_LENGTH = 65_536

/** Reads the value of an Authentication-Results field; undefined when it has no authserv-id. What of its results cannot be read is left out. Never throws; time is linear. */
export function parseResults(value: string): ParsedResults | undefined {
  const [first, ...rest] = statements(value.slice(0, FIELD_LENGTH))
  const id = first?.[0]
  if (id === undefined || id.kind === 'mark') return undefined
  const results: ParsedResult[] = []
  for (const words of rest.slice(0, MAX_RESULTS)) {
    const pairs = pairsOf(words)
    const head = pairs[0]
    if (head === undefined) continue
    const properties = new Map<string, string>()
    for (const [name, text] of pairs.slice(1)) if (!properties.has(name)) properties.set(name, text)
    // A version may follow the method: `dkim/1=pass`.
    const method = head[0].split('/', 1)[0] ?? ''
    results.push({ method, result: head[1].toLowerCase(), properties })
  }
  return { authservId: id.text.toLowerCase().replace(/\.$/, ''), results }
}

/** The authserv-id of an Authentication-Results field; undefined when it has none. */
export const authservId = (value: string): string | undefined => parseResults(value)?.authservId

interface Word {
  readonly kind: 'word' | 'mark'
  readonly text: string
}

/** `name=value` of the words of a statement, names in lower case. */
function pairsOf(words: readonly Word[]): readonly (readonly [name: string, value: string])[] {
  const pairs: (readonly [string, string])[] = []
  for (let i = 0; i + 2 < words.length; i++) {
    const [name, equals, value] = [words[i], words[i + 1], words[i + 2]]
    if (name?.kind !== 'word' || equals?.kind !== 'mark' || value?.kind !== 'word') continue
    pairs.push([name.text.toLowerCase(), value.text])
    i += 2
  }
  return pairs
}

/** Words and `=` between semicolons, comments left out, quotes taken off. */
function statements(text: string): readonly (readonly Word[])[] {
  const all: Word[][] = [[]]
  let words = all[0] as Word[]
  let at = 0
  while (at < text.length) {
    const character = text[at] as string
    if (character === '(') at = commentEnd(text, at)
    else if (character === ';') {
      words = []
      all.push(words)
      at++
    } else if (character === '=') {
      words.push({ kind: 'mark', text: '=' })
      at++
    } else if (character === '"') {
      let word = ''
      for (at++; at < text.length && text[at] !== '"'; at++) {
        if (text[at] === '\\') at++
        word += text[at] ?? ''
      }
      at++
      words.push({ kind: 'word', text: word })
    } else if (/[ \t\r\n]/.test(character)) at++
    else {
      const start = at
      // After its `=`, a value of an older writer may have `=` and `/` in it, as base64 does.
      const value = words.at(-1)?.kind === 'mark'
      while (at < text.length && !(value ? /[;( \t\r\n"]/ : /[;(= \t\r\n"]/).test(text[at] as string)) at++
      words.push({ kind: 'word', text: text.slice(start, at) })
    }
  }
  return all
}

function commentEnd(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text[at]
    if (character === '\\') at++
    else if (character === '(') depth++
    else if (character === ')' && --depth === 0) return at + 1
  }
  return text.length
}
