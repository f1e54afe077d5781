// What counts as a word of the index, and what a needle asks of it. Texts and needles are folded.

/** Longer words are not in the index: their messages are marked, and looked at themselves. In UTF-16 units. */
const LONGEST_WORD = 64

/** Kinds of characters. Any run of one kind in a needle lies within one run of that kind in a text: that is all that the index rests on. */
const SEPARATOR = 0
/** Letters, digits and marks of scripts that put spaces between words: a run of them is a term. */
const SPACED = 1
/** Letters of scripts without spaces, and symbols such as emoji: any two neighbours are a term, one that stands alone is a term. */
const UNSPACED = 2

const WORD = /[\p{L}\p{N}\p{M}]/u
const SCRIPTS_WITHOUT_SPACES =
  /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Tibt}\p{scx=Yiii}\p{scx=Talu}\p{scx=Tale}\p{scx=Lana}\p{scx=Tavt}\p{scx=Java}\p{scx=Bali}]/u
const SYMBOL = /\p{S}/u

function kindOf(character: string): number {
  if (WORD.test(character)) return SCRIPTS_WITHOUT_SPACES.test(character) ? UNSPACED : SPACED
  return character > '\x7f' && SYMBOL.test(character) ? UNSPACED : SEPARATOR
}

/** Finds the words of texts. Learns the kinds of characters as it meets them. */
export class Tokeniser {
  /** Kind of each UTF-16 unit, plus one; 0: not known yet. Surrogates stay 0. */
  readonly #units = new Uint8Array(0x10000)
  readonly #astral = new Map<number, number>()

  /** Calls `word` for every word of `text` (some of them many times). False when there was a word too long to be one. */
  words(text: string, word: (term: string) => void): boolean {
    let complete = true
    let at = 0
    while (at < text.length) {
      const kind = this.#kind(text, at)
      if (kind === SEPARATOR) {
        at++
        continue
      }
      const end = this.#endOfRun(text, at, kind)
      if (kind === UNSPACED) pairs(text, at, end, word)
      else if (end - at <= LONGEST_WORD) word(text.slice(at, end))
      else complete = false
      at = end
    }
    return complete
  }

  /** The runs of `text` that are words or, of scripts without spaces, made of many. */
  runs(text: string): { readonly start: number; readonly end: number; readonly spaced: boolean }[] {
    const runs: { start: number; end: number; spaced: boolean }[] = []
    let at = 0
    while (at < text.length) {
      const kind = this.#kind(text, at)
      const end = kind === SEPARATOR ? at + 1 : this.#endOfRun(text, at, kind)
      if (kind !== SEPARATOR) runs.push({ start: at, end, spaced: kind === SPACED })
      at = end
    }
    return runs
  }

  #endOfRun(text: string, from: number, kind: number): number {
    let at = from
    while (at < text.length && this.#kind(text, at) === kind) at += isAstral(text.charCodeAt(at)) ? 2 : 1
    return at
  }

  #kind(text: string, at: number): number {
    const unit = text.charCodeAt(at)
    const known = this.#units[unit] ?? 0
    if (known !== 0) return known - 1
    if (unit >= 0xd800 && unit <= 0xdfff) {
      const code = text.codePointAt(at) ?? 0
      if (code < 0x10000) return SEPARATOR
      let kind = this.#astral.get(code)
      if (kind === undefined) this.#astral.set(code, (kind = kindOf(String.fromCodePoint(code))))
      return kind
    }
    const kind = kindOf(String.fromCharCode(unit))
    this.#units[unit] = kind + 1
    return kind
  }
}

/** True for the first half of a pair; a lone surrogate is a separator and never asked about. */
const isAstral = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

function pairs(text: string, from: number, to: number, word: (term: string) => void): void {
  let before = from
  let at = from + (isAstral(text.charCodeAt(from)) ? 2 : 1)
  if (at === to) word(text.slice(from, to))
  while (at < to) {
    const next = at + (isAstral(text.charCodeAt(at)) ? 2 : 1)
    word(text.slice(before, next))
    before = at
    at = next
  }
}

/** Stands before and after every term; no octet of UTF-8. */
export const TERM_EDGE = 0xff

/** What to look for in the index. */
export interface Plan {
  /** Octets to find in the list of terms, with TERM_EDGE where a word must begin or end; a message must have a term for each. The most telling first. */
  readonly patterns: readonly Uint8Array[]
  /** True when the messages so found are the answer; false when each must be looked at. */
  readonly exact: boolean
}

/** Enough to tell the messages with a phrase from nearly all others. */
const MOST_PATTERNS = 6
/** A shorter piece of a word is in too many terms to tell much. */
const TELLING = 3

/** How the index finds messages with `needle` in a text; undefined when it cannot tell anything. */
export function planNeedle(tokeniser: Tokeniser, needle: string): Plan | undefined {
  // Half a character could match the half of another one that a term holds whole.
  if (!needle.isWellFormed()) return undefined
  const runs = tokeniser.runs(needle)
  const patterns: { readonly text: string; readonly begins: boolean; readonly ends: boolean }[] = []
  for (const { start, end, spaced } of runs) {
    const text = needle.slice(start, end)
    const begins = start > 0
    const ends = end < needle.length
    if (spaced) patterns.push({ text, begins, ends })
    else if ([...text].length === 1) patterns.push({ text, begins: begins && ends, ends: begins && ends })
    else tokeniser.words(text, (pair) => void patterns.push({ text: pair, begins: true, ends: true }))
  }
  const [only, ...others] = patterns
  if (only === undefined) return undefined
  if (others.length === 0 && runs[0]?.start === 0 && runs[0].end === needle.length)
    return { patterns: [octets(only)], exact: true }
  patterns.sort((a, b) => b.text.length - a.text.length)
  const telling = patterns.filter(({ text, begins, ends }) => text.length >= TELLING || (begins && ends))
  return {
    patterns: (telling.length > 0 ? telling : patterns.slice(0, 1)).slice(0, MOST_PATTERNS).map(octets),
    exact: false,
  }
}

function octets({ text, begins, ends }: { readonly text: string; readonly begins: boolean; readonly ends: boolean }) {
  const edge = Uint8Array.of(TERM_EDGE)
  const none = new Uint8Array()
  return new Uint8Array(Buffer.concat([begins ? edge : none, Buffer.from(text), ends ? edge : none]))
}
