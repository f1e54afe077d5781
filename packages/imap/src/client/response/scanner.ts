// RFC 9051 §9: the small words of responses, read generously. What is wrong and still readable is reported as a quirk.

import type { Quirk } from './quirks.ts'
import type { ResponseLiteral, Segments } from './reader.ts'

/** Any value: an atom (text), a string (octets), NIL (undefined) or a list. */
export type Tree = string | Buffer | undefined | readonly Tree[]

/** What stands there is not what the grammar says, nor any known way to get it wrong. */
export class ResponseFault extends Error {}

/** Parenthesised lists inside each other: one for each level of parts in a BODYSTRUCTURE, for each fork in a THREAD. */
const DEPTH = 500
/** Elements of all lists of one response: a THREAD of a million messages has two million. */
const ELEMENTS = 4_000_000

export class Scanner {
  readonly #segments: Segments
  #index = 0
  #text: string
  #at = 0
  #elements = 0
  /** Called for every quirk met. */
  readonly note: (quirk: Quirk) => void

  constructor(segments: Segments, note: (quirk: Quirk) => void) {
    this.#segments = segments
    this.#text = typeof segments[0] === 'string' ? segments[0] : ''
    this.note = note
  }

  /** The next character; '' where the text ends, at a literal or for good. */
  peek(): string {
    return this.#text[this.#at] ?? ''
  }

  get atLiteral(): boolean {
    return this.#at === this.#text.length && this.#index + 1 < this.#segments.length
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length && this.#index + 1 >= this.#segments.length
  }

  /** The text up to the end of the line or the next literal, consumed. */
  rest(): string {
    const rest = this.#text.slice(this.#at)
    this.#at = this.#text.length
    return rest
  }

  /** Consumes `char` if it is next. */
  take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  expect(char: string): void {
    if (!this.take(char)) throw new ResponseFault(`expected ${char}`)
  }

  /** The one space that belongs here; more, or none, are forgiven. */
  space(): void {
    if (!this.take(' ')) {
      if (!this.atEnd) this.note('missing-space')
      return
    }
    if (this.peek() !== ' ') return
    while (this.take(' '));
    this.note(this.atEnd ? 'space-before-crlf' : 'double-space')
  }

  /** True when another element follows, its space consumed: for what goes on to the end of the line. */
  more(): boolean {
    if (this.atEnd) return false
    this.space()
    if (!this.atEnd) return true
    this.note('space-before-crlf')
    return false
  }

  /** Nothing more than forgotten spaces may follow. */
  end(): void {
    if (this.atEnd) return
    while (this.take(' '));
    if (!this.atEnd) throw new ResponseFault('something follows')
    this.note('space-before-crlf')
  }

  /** Characters up to a space, a parenthesis, a quote or the end; at least one. */
  atom(): string {
    const start = this.#at
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text.charCodeAt(this.#at)
      if (char === 0x20 || char === 0x28 || char === 0x29 || char === 0x22) break
    }
    if (start === this.#at) throw new ResponseFault('a word is missing')
    return this.#text.slice(start, this.#at)
  }

  /** Characters up to one of `stop`, or the end; maybe none. */
  upTo(stop: string): string {
    const text = this.ahead(stop)
    this.#at += text.length
    return text
  }

  /** As `upTo`, without consuming them. */
  ahead(stop: string): string {
    let end = this.#at
    while (end < this.#text.length && !stop.includes(this.#text[end] ?? '')) end++
    return this.#text.slice(this.#at, end)
  }

  /** A number that can be counted exactly; negative ones are 0. Undefined beyond 2^53. */
  number(): number | undefined {
    return readNumber(this.peek() === '"' ? this.string() : this.atom(), this.note)
  }

  /** `nstring`; an atom is forgiven. Undefined for NIL. */
  nstring(): Buffer | undefined {
    const value = this.tree()
    if (typeof value === 'string') this.note('string-as-atom')
    if (value === undefined || Buffer.isBuffer(value)) return value
    if (typeof value === 'string') return Buffer.from(value, 'latin1')
    throw new ResponseFault('a list stands where a string belongs')
  }

  /** `astring`. NIL without quotes is a word like any other. */
  astring(): Buffer {
    if (this.peek() === '"' || this.atLiteral) return this.string()
    return Buffer.from(this.atom(), 'latin1')
  }

  /** A quoted string or a literal. */
  string(): Buffer {
    if (this.atLiteral) return this.literal().octets
    if (!this.take('"')) throw new ResponseFault('a string is missing')
    const close = this.#text.indexOf('"', this.#at)
    if (close < 0) throw new ResponseFault('a string has no end')
    const plain = this.#text.slice(this.#at, close)
    if (!plain.includes('\\')) {
      this.#at = close + 1
      return Buffer.from(plain, 'latin1')
    }
    let text = ''
    for (;;) {
      const char = this.#text[this.#at++]
      if (char === undefined) throw new ResponseFault('a string has no end')
      if (char === '"') return Buffer.from(text, 'latin1')
      text += char === '\\' ? (this.#text[this.#at++] ?? '') : char
    }
  }

  literal(): ResponseLiteral {
    const literal = this.#segments[this.#index + 1]
    const text = this.#segments[this.#index + 2]
    if (!this.atLiteral || typeof literal !== 'object') throw new ResponseFault('a literal is missing')
    this.#index += 2
    this.#text = typeof text === 'string' ? text : ''
    this.#at = 0
    return literal
  }

  /** `(` elements `)`; NIL is taken as empty. */
  list<T>(element: () => T): T[] {
    if (!this.take('(')) {
      if (!/^nil(?![^ )])/i.test(this.#text.slice(this.#at, this.#at + 4))) throw new ResponseFault('a list is missing')
      this.#at += 3
      this.note('list-as-nil')
      return []
    }
    const elements: T[] = []
    for (;;) {
      if (this.#closes(elements.length === 0)) return elements
      if (++this.#elements > ELEMENTS) throw new ResponseFault('there is no end of it')
      elements.push(element())
      if (this.peek() !== ')' && this.peek() !== '(') this.space()
    }
  }

  /** Consumes `)`, and spaces before it that are not meant to be there. */
  #closes(first: boolean): boolean {
    let spaces = !first && this.#text[this.#at - 1] === ' '
    while (this.take(' ')) spaces = true
    if (this.take(')')) {
      if (spaces) this.note('space-in-list')
      return true
    }
    if (first && spaces) this.note('space-in-list')
    if (this.atEnd) throw new ResponseFault('a list has no end')
    return false
  }

  /** Whatever stands here. */
  tree(depth = 0): Tree {
    const next = this.peek()
    if (next === '(') {
      if (depth === DEPTH) throw new ResponseFault('lists are nested too deep')
      return this.list(() => this.tree(depth + 1))
    }
    if (next === '"' || this.atLiteral) return this.string()
    if (next === '~') this.take('~')
    if (this.atLiteral) return this.string()
    const atom = this.atom()
    return atom.length === 3 && atom.toUpperCase() === 'NIL' ? undefined : atom
  }
}

/** The value of a number that stands as an atom, or in quotes, or is missing. */
export function readNumber(value: Tree, note: (quirk: Quirk) => void): number | undefined {
  if (value === undefined) {
    note('number-as-nil')
    return 0
  }
  if (Buffer.isBuffer(value)) note('number-as-string')
  const text = typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('latin1') : ''
  if (/^-\d+$/.test(text)) {
    note('negative-number')
    return 0
  }
  if (text.toUpperCase() === 'NIL') return readNumber(undefined, note)
  if (!/^\d+$/.test(text)) throw new ResponseFault('a number is missing')
  const number = Number(text)
  if (Number.isSafeInteger(number)) return number
  note('huge-number')
  return undefined
}
