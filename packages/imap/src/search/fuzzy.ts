// RFC 6203: a search that forgives. All words of the text must be there, in any order, as words or inside of words; neither case nor diacritics matter.

import type { TextQuery } from '../backend.ts'
import { fold } from './fold.ts'
import { bodyTexts, type HeaderText } from './message-text.ts'

/** The text as it stands, word for word. */
const PHRASE = 100
/** All words, each as a word of its own. */
const WORDS = 75
/** Some only inside of longer words. */
const PARTS = 50

/** One text condition inside FUZZY. */
export class FuzzyText {
  readonly query: TextQuery
  readonly #phrase: string
  readonly #words: readonly string[]

  constructor(query: TextQuery) {
    this.query = query
    this.#phrase = plain(query.text).trim()
    this.#words = wordsOf(this.#phrase)
  }

  /** By the header alone; undefined when that does not decide. */
  matchesHeader(header: HeaderText): boolean | undefined {
    if (this.query.kind === 'header') return this.#headerScore(header) > 0
    return this.query.kind === 'text' && this.#scoreOf(header.all) > 0 ? true : undefined
  }

  /**
   * How well a message matches, from 1 to 100, or 0 when it does not: 100 when the text stands there as it was given, 75 when all its words stand there,
   * 50 when some stand there only as parts of words. `header` and `bytes` are the message's.
   */
  score(header: HeaderText, bytes: Uint8Array): number {
    if (this.query.kind === 'header') return this.#headerScore(header)
    const texts = bodyTexts(bytes)
    if (this.query.kind === 'text') texts.unshift(header.all)
    return this.#scoreOf(texts.join('\n'))
  }

  #headerScore(header: HeaderText): number {
    return Math.max(
      0,
      ...header.values(this.query.kind === 'header' ? this.query.name : '').map((text) => this.#scoreOf(text)),
    )
  }

  #scoreOf(text: string): number {
    const searched = plain(text)
    if (searched.includes(this.#phrase)) return PHRASE
    if (this.#words.length === 0 || !this.#words.every((word) => searched.includes(word))) return 0
    const there = new Set(wordsOf(searched))
    return this.#words.every((word) => there.has(word)) ? WORDS : PARTS
  }
}

/** Without case and diacritics, white space made single. */
function plain(text: string): string {
  const folded = fold(text)
  return (ASCII.test(folded) ? folded : folded.normalize('NFKD').replace(/\p{M}+/gu, '')).replace(/\s+/g, ' ')
}

const ASCII = /^[\0-\x7f]*$/

const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{N}]+/gu) ?? []
