// RFC 9051 §9: the grammar's small words, read from one framed command. Strings stay octets until a rule needs text.

import { type Segments, type Literal } from './command-reader.ts'
import { parseDateTime, parseDay, type ZonedTime } from './dates.ts'
import { bad, no } from './errors.ts'
import { GRAMMAR_LIMITS, type GrammarLimits } from './grammar-limits.ts'
import { canonicalName, decodeMutf7 } from './mailbox-name.ts'
import { type NumberSet, parseNumberSet, SAVED } from './number-set.ts'

const SP = 0x20
const QUOTE = 0x22
const OPEN = 0x28
const CLOSE = 0x29
const BACKSLASH = 0x5c
const EMPTY = new Uint8Array(0)
const TAG = 100

// Character classes as bits: 1 atom, 2 astring (atom or `]`), 4 list-mailbox (astring or `%` `*`), 8 tag.
const CLASS = new Uint8Array(256)
for (let byte = 0x21; byte < 0x7f; byte++) {
  const char = String.fromCharCode(byte)
  if ('(){%*"\\'.includes(char)) {
    if (char === '%' || char === '*') CLASS[byte] = 4
    continue
  }
  CLASS[byte] = (char === ']' ? 0 : 1) | 2 | 4 | (char === '+' ? 0 : 8)
}

const latin1 = (octets: Uint8Array): string =>
  Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1')
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads a command left to right. Every method throws `CommandError` BAD when the grammar is not met. */
export class Parser {
  #segments: Segments
  #next = 1
  #text: Uint8Array
  #at = 0
  #depth = 0
  /** After ENABLE UTF8=ACCEPT: quoted strings may hold UTF-8. */
  readonly utf8: boolean
  readonly limits: GrammarLimits

  constructor(segments: Segments, utf8 = false, limits = GRAMMAR_LIMITS) {
    this.#segments = segments
    this.#text = segments[0] instanceof Uint8Array ? segments[0] : EMPTY
    this.utf8 = utf8
    this.limits = limits
  }

  /** More of the same command has come: goes on where it stands. */
  extend(segments: Segments): void {
    this.#segments = segments
  }

  /** The next octet, or -1 where the text ends (of the command, or before a literal). */
  peek(): number {
    return this.#text[this.#at] ?? -1
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length && this.#next >= this.#segments.length
  }

  get atLiteral(): boolean {
    return this.#at === this.#text.length && this.#next < this.#segments.length
  }

  /** Undefined when what stands there is no tag of at most 100 characters followed by a space (or the end). */
  tag(): string | undefined {
    const tag = this.#run(8)
    const after = this.peek()
    if (tag === '' || tag.length > TAG || (after !== SP && after !== -1)) return undefined
    return tag
  }

  /** Leaves out everything up to the end of the command. */
  skip(): void {
    this.#next = this.#segments.length
    this.#text = EMPTY
    this.#at = 0
  }

  end(): void {
    if (!this.atEnd) throw bad('There is more behind the end of the command than it can take')
  }

  space(): void {
    if (!this.trySpace()) throw bad(this.atEnd ? 'An argument is missing' : 'A space is missing between two arguments')
  }

  trySpace(): boolean {
    return this.try(SP)
  }

  try(byte: number): boolean {
    if (this.peek() !== byte) return false
    this.#at++
    return true
  }

  char(char: string): void {
    if (!this.tryChar(char)) throw bad(`"${char}" is missing in the arguments`)
  }

  tryChar(char: string): boolean {
    return this.try(char.charCodeAt(0))
  }

  #run(mask: number): string {
    const start = this.#at
    while (((CLASS[this.#text[this.#at] ?? 0] ?? 0) & mask) !== 0) this.#at++
    return latin1(this.#text.subarray(start, this.#at))
  }

  atom(): string {
    const atom = this.#run(1)
    if (atom === '') throw bad('A word is missing in the arguments')
    return atom
  }

  /** An atom in capitals. */
  word(): string {
    return this.atom().toUpperCase()
  }

  /** Takes `word` (capitals) if it stands here, whole. */
  tryWord(word: string): boolean {
    const start = this.#at
    if (this.#run(1).toUpperCase() === word) return true
    this.#at = start
    return false
  }

  /** True when `text` (capitals) stands here, in any case. Takes nothing. */
  ahead(text: string): boolean {
    return latin1(this.#text.subarray(this.#at, this.#at + text.length)).toUpperCase() === text
  }

  /** Letters, digits and what else a FETCH or STATUS item is made of, in capitals: stops before `[`. */
  item(): string {
    const start = this.#at
    for (;;) {
      const byte = this.peek()
      if (((CLASS[byte < 0 ? 0 : byte] ?? 0) & 1) === 0 || byte === 0x5b || byte === 0x3c) break
      this.#at++
    }
    if (start === this.#at) throw bad('An item name is missing in the arguments')
    return latin1(this.#text.subarray(start, this.#at)).toUpperCase()
  }

  literal(): Literal {
    const literal = this.#segments[this.#next]
    if (!this.atLiteral || literal === undefined || literal instanceof Uint8Array)
      throw bad('A literal is missing in the arguments')
    const text = this.#segments[this.#next + 1]
    this.#text = text instanceof Uint8Array ? text : EMPTY
    this.#at = 0
    this.#next += 2
    return literal
  }

  /** A literal that may not be binary and may not hold NUL. */
  #plainLiteral(): Uint8Array {
    const { octets, binary } = this.literal()
    if (binary) throw bad('A binary literal (~{n}) is not possible here')
    if (octets.includes(0)) throw bad('A string cannot hold NUL')
    return octets
  }

  #quoted(): Uint8Array {
    this.#at++
    const start = this.#at
    let escapes = 0
    let eight = false
    for (; ; this.#at++) {
      const byte = this.peek()
      if (byte === QUOTE) break
      if (byte === -1) throw bad('The closing quote of a string is missing')
      if (byte === 0 || byte === 0x0d) throw bad('A quoted string cannot hold NUL, CR or LF: use a literal')
      if (byte >= 0x80) eight = true
      if (byte === BACKSLASH) {
        this.#at++
        escapes++
        if (this.peek() !== QUOTE && this.peek() !== BACKSLASH)
          throw bad('A backslash in a quoted string must stand before " or \\')
      }
    }
    const piece = this.#text.subarray(start, this.#at++)
    if (eight) {
      if (!this.utf8) throw bad('A quoted string cannot hold 8-bit characters: use a literal')
      if (!isUtf8(piece)) throw bad('A quoted string holds octets that are not UTF-8')
    }
    if (escapes === 0) return piece
    const out = new Uint8Array(piece.length - escapes)
    let to = 0
    for (let from = 0; from < piece.length; from++) {
      if (piece[from] === BACKSLASH) from++
      out[to++] = piece[from] ?? 0
    }
    return out
  }

  /** `string`: quoted or literal. */
  string(): Uint8Array {
    if (this.atLiteral) return this.#plainLiteral()
    if (this.peek() === QUOTE) return this.#quoted()
    throw bad('A string (quoted, or a literal) is missing in the arguments')
  }

  /** `astring`: also a bare word. `NIL` is the word NIL. */
  astring(): Uint8Array {
    if (this.atLiteral || this.peek() === QUOTE) return this.string()
    const word = this.#run(2)
    if (word === '') throw bad(this.atEnd ? 'An argument is missing' : 'A string is missing in the arguments')
    return Buffer.from(word, 'latin1')
  }

  /** An astring as text: UTF-8, or BAD. */
  text(): string {
    return utf8Text(this.astring())
  }

  /** `nstring` as text: NIL is undefined. */
  nilText(): string | undefined {
    if (this.atLiteral || this.peek() === QUOTE) return utf8Text(this.string())
    if (this.tryWord('NIL')) return undefined
    throw bad('A string or NIL is missing in the arguments')
  }

  /** A mailbox name in our own spelling (Unicode, `/`, INBOX in capitals). */
  mailbox(): string {
    return canonicalName(this.#mailboxText(this.astring()))
  }

  /** A mailbox name as the client spelt it (Unicode): `canonicalName` makes it ours. */
  givenMailbox(): string {
    return this.#mailboxText(this.astring())
  }

  /** `list-mailbox`: a name with `*` and `%`. */
  listMailbox(): string {
    if (this.atLiteral || this.peek() === QUOTE) return this.#mailboxText(this.string())
    const word = this.#run(4)
    if (word === '') throw bad('A mailbox name or pattern is missing in the arguments')
    return this.#mailboxText(Buffer.from(word, 'latin1'))
  }

  #mailboxText(octets: Uint8Array): string {
    if (this.utf8) return utf8Text(octets)
    const name = decodeMutf7(latin1(octets))
    if (name === undefined) throw bad('The mailbox name is not valid modified UTF-7 (RFC 3501 section 5.1.3)')
    return name
  }

  number(maximum = 0xffffffff): number {
    const start = this.#at
    let value = 0
    for (;;) {
      const digit = this.peek() - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      if (value > maximum) throw bad('A number is too large')
      this.#at++
    }
    if (start === this.#at) throw bad('A number is missing in the arguments')
    return value
  }

  /** Up to 2^53 - 1: octet counts, mod-sequences. */
  number64(): number {
    return this.number(Number.MAX_SAFE_INTEGER)
  }

  nonZero(): number {
    const value = this.number()
    if (value === 0) throw bad('A number above zero is missing in the arguments')
    return value
  }

  /** `sequence-set`; `$` is `SAVED`. */
  numberSet(): NumberSet {
    if (this.tryChar('$')) return SAVED
    const start = this.#at
    for (;;) {
      const byte = this.peek()
      if (!((byte >= 0x30 && byte <= 0x39) || byte === 0x2a || byte === 0x2c || byte === 0x3a)) break
      this.#at++
    }
    const set = parseNumberSet(latin1(this.#text.subarray(start, this.#at)))
    if (set === undefined) throw bad('A message set such as 1,3:5,8:* is missing in the arguments')
    return set
  }

  /** True when a message set begins here. */
  get atNumberSet(): boolean {
    const byte = this.peek()
    return (byte >= 0x31 && byte <= 0x39) || byte === 0x2a || byte === 0x24
  }

  /** `date` as days since the epoch. */
  day(): number {
    const quoted = this.peek() === QUOTE
    const day = parseDay(latin1(quoted ? this.#quoted() : Buffer.from(this.#run(1), 'latin1')))
    if (day === undefined) throw bad('A date such as 1-Feb-2026 is missing in the arguments')
    return day
  }

  /** `date-time` in milliseconds since the epoch, with its zone. */
  dateTime(): ZonedTime {
    const time = this.peek() === QUOTE ? parseDateTime(latin1(this.#quoted())) : undefined
    if (time === undefined)
      throw bad('A date and time such as "01-Feb-2026 10:20:30 +0100" is missing in the arguments')
    return time
  }

  /** A flag as a client may set it: `\Seen` and its four friends in their own spelling, or a keyword. */
  flag(): string {
    if (!this.try(BACKSLASH)) return this.atom()
    const name = this.atom()
    const system = SYSTEM_FLAGS.find((flag) => flag.toLowerCase() === name.toLowerCase())
    if (system === undefined) throw bad(`\\${name} is no flag that a client can set`)
    return `\\${system}`
  }

  /** `flag-list`; with `bare` also flags without parentheses (STORE). */
  flags(bare = false): string[] {
    if (bare && this.peek() !== OPEN) {
      const flags = [this.flag()]
      while (this.trySpace()) flags.push(this.flag())
      return unique(flags)
    }
    return unique(this.list(() => this.flag()))
  }

  /** `(a b c)`, also empty. */
  list<T>(element: () => T): T[] {
    const out: T[] = []
    if (!this.try(OPEN)) throw bad('A parenthesised list is missing in the arguments')
    if (this.try(CLOSE)) return out
    this.enter()
    do out.push(element())
    while (this.trySpace())
    this.leave()
    if (!this.try(CLOSE)) throw bad('A parenthesised list is not closed')
    return out
  }

  get atList(): boolean {
    return this.peek() === OPEN
  }

  enter(): void {
    if (++this.#depth > this.limits.listDepth) throw bad('Lists are nested too deep', 'LIMIT')
  }

  leave(): void {
    this.#depth--
  }
}

const SYSTEM_FLAGS = ['Seen', 'Answered', 'Flagged', 'Deleted', 'Draft']

function unique(flags: string[]): string[] {
  const seen = new Set<string>()
  return flags.filter((flag) => {
    const key = flag.toLowerCase()
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

function isUtf8(octets: Uint8Array): boolean {
  try {
    strictUtf8.decode(octets)
    return true
  } catch {
    return false
  }
}

export function utf8Text(octets: Uint8Array): string {
  try {
    return strictUtf8.decode(octets)
  } catch {
    throw no('The text is not valid UTF-8', 'CANNOT')
  }
}
