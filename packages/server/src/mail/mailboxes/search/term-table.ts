// The words of some emails, gathered without a string for any of them: a garbage collector would spend more on those than the rest costs.

import type { StreamWriter } from './chunks.ts'
import { kindOf, SEPARATOR, SPACED, UNSPACED } from './kinds.ts'
import { compareOctets } from './octets.ts'

/** Longer words are not in the index: their emails are marked, and looked at themselves. In UTF-16 units: enough for signatures and tracking links, which are in nearly every mail. */
const LONGEST_WORD = 512
/** A word has at most so many octets of UTF-8. */
const WORD_OCTETS = LONGEST_WORD * 3

/** FNV-1a. */
const HASH_START = 0x811c9dc5 | 0
const HASH_FACTOR = 0x01000193

/** Terms of one table. */
const MOST_TERMS = 0x100000

/** How many more words may be noted. */
export interface Budget {
  words: number
}

// Of each term, side by side, since that is what each word touches: where it begins (and the one before ends), its hash, the last email that has it, how many have it.
const START = 0
const HASH = 1
const LAST = 2
const COUNT = 3
const FIELDS = 4

export class TermTable {
  /** The terms end to end in UTF-8; behind `#end` the one that is being read. */
  #arena = new Uint8Array(1 << 17)
  #end = 0
  #terms = new Int32Array(FIELDS << 13)
  #count = 0
  /** Terms by their hashes: number plus one, 0 where there is none. */
  #slots = new Int32Array(1 << 14)
  /** The terms of each email, one email after the other; and where each of them ends. */
  #noted = new Uint32Array(1 << 15)
  #notes = 0
  readonly #emails: number[] = []
  readonly #ends: number[] = []

  /**
   * Notes the words of `text` for `email`; emails come in ascending order. `budget` is how many words may be noted that the email did not have; it is counted down. False
   * when something could not be noted: too long a word, or one too many.
   */
  add(text: string, email: number, budget: Budget): boolean {
    if (this.#emails.at(-1) === email) this.#ends.pop()
    else this.#emails.push(email)
    const complete = this.#read(text, email, budget)
    this.#ends.push(this.#notes)
    return complete
  }

  #read(text: string, email: number, budget: Budget): boolean {
    let complete = true
    const { length } = text
    let at = 0
    while (at < length) {
      let code = codeAt(text, at)
      const kind = kindOf(code)
      if (kind === SEPARATOR) {
        at++
        continue
      }
      if (kind === UNSPACED) {
        const from = at
        do at += code > 0xffff ? 2 : 1
        while (at < length && kindOf((code = codeAt(text, at))) === UNSPACED)
        if (!this.#pairs(text, from, at, email, budget)) complete = false
        continue
      }
      // The innermost loop of indexing: octets and hash of the term in one pass, in local variables.
      this.#room()
      const start = at
      const arena = this.#arena
      let end = this.#end
      let hash = HASH_START
      do {
        if (code < 0x80) {
          if (at - start < LONGEST_WORD) arena[end++] = code
          hash = Math.imul(hash ^ code, HASH_FACTOR)
          at++
        } else {
          if (at - start < LONGEST_WORD) end = encode(arena, end, code)
          hash = Math.imul(hash ^ code, HASH_FACTOR)
          at += code > 0xffff ? 2 : 1
        }
        if (at >= length) break
        code = codeAt(text, at)
      } while (kindOf(code) === SPACED)
      if (at - start > LONGEST_WORD || !this.#note(end, hash, email, budget)) complete = false
    }
    return complete
  }

  /** Notes the neighbours in a run of a script without spaces, or the one that stands alone. */
  #pairs(text: string, from: number, to: number, email: number, budget: Budget): boolean {
    let complete = true
    let at = from
    do {
      this.#room()
      const first = codeAt(text, at)
      at += first > 0xffff ? 2 : 1
      let end = encode(this.#arena, this.#end, first)
      let hash = Math.imul(HASH_START ^ first, HASH_FACTOR)
      let last = at >= to
      if (!last) {
        const second = codeAt(text, at)
        end = encode(this.#arena, end, second)
        hash = Math.imul(hash ^ second, HASH_FACTOR)
        last = at + (second > 0xffff ? 2 : 1) >= to
      }
      if (!this.#note(end, hash, email, budget)) complete = false
      if (last) return complete
    } while (at < to)
    return complete
  }

  /** Writes every term, in the order of their octets, and its emails. */
  async write(writer: StreamWriter): Promise<void> {
    const { starts, emails } = this.#byTerm()
    for (const term of this.#sorted()) {
      const from = starts[term] ?? 0
      const count = this.#terms[term * FIELDS + COUNT] ?? 0
      writer.term(this.#arena, this.#startOf(term), this.#endOf(term), emails, from, from + count)
      if (writer.full) await writer.flush()
    }
  }

  /** The emails of all terms, term after term; and where those of each begin. */
  #byTerm(): { readonly starts: Uint32Array; readonly emails: Uint32Array<ArrayBuffer> } {
    const starts = new Uint32Array(this.#count)
    for (let term = 1; term < this.#count; term++)
      starts[term] = (starts[term - 1] ?? 0) + (this.#terms[(term - 1) * FIELDS + COUNT] ?? 0)
    const next = starts.slice()
    const emails = new Uint32Array(this.#notes)
    let at = 0
    for (const [i, end] of this.#ends.entries()) {
      const email = this.#emails[i] ?? 0
      for (; at < end; at++) {
        const term = this.#noted[at] ?? 0
        emails[next[term] ?? 0] = email
        next[term] = (next[term] ?? 0) + 1
      }
    }
    return { starts, emails }
  }

  #startOf(term: number): number {
    return this.#terms[term * FIELDS + START] ?? 0
  }

  #endOf(term: number): number {
    return term + 1 === this.#count ? this.#end : (this.#terms[(term + 1) * FIELDS + START] ?? 0)
  }

  /** Room for one word more behind `#end`. */
  #room(): void {
    if (this.#end + WORD_OCTETS + 8 > this.#arena.length)
      this.#arena = grown(this.#arena, new Uint8Array(this.#arena.length * 2))
  }

  /** The term that stands in the arena from `#end` to `end` is one of `email`. False when the budget does not allow that. */
  #note(end: number, unmixed: number, email: number, budget: Budget): boolean {
    const hash = unmixed ^ (unmixed >>> 15)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (let found = this.#slots[slot] ?? 0; found !== 0; found = this.#slots[slot] ?? 0) {
      const at = (found - 1) * FIELDS
      if (this.#terms[at + HASH] === hash && this.#equals(found - 1, end)) {
        if (this.#terms[at + LAST] === email) return true
        return this.#add(found - 1, email, budget)
      }
      slot = (slot + 1) & mask
    }
    if (budget.words <= 0 || this.#count >= MOST_TERMS) return false
    const term = this.#count++
    if (this.#count * FIELDS > this.#terms.length)
      this.#terms = grown(this.#terms, new Int32Array(this.#terms.length * 2))
    this.#terms[term * FIELDS + START] = this.#end
    this.#terms[term * FIELDS + HASH] = hash
    this.#end = end
    this.#slots[slot] = term + 1
    if (this.#count * 2 > this.#slots.length) this.#rehash()
    return this.#add(term, email, budget)
  }

  #add(term: number, email: number, budget: Budget): boolean {
    if (budget.words-- <= 0) return false
    if (this.#notes === this.#noted.length) this.#noted = grown(this.#noted, new Uint32Array(this.#notes * 2))
    this.#noted[this.#notes++] = term
    this.#terms[term * FIELDS + LAST] = email
    this.#terms[term * FIELDS + COUNT] = (this.#terms[term * FIELDS + COUNT] ?? 0) + 1
    return true
  }

  #equals(term: number, end: number): boolean {
    const start = this.#startOf(term)
    if (this.#endOf(term) - start !== end - this.#end) return false
    const arena = this.#arena
    for (let i = start, j = this.#end; j < end; i++, j++) if (arena[i] !== arena[j]) return false
    return true
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2)
    for (let term = 0; term < this.#count; term++) {
      let slot = (this.#terms[term * FIELDS + HASH] ?? 0) & (slots.length - 1)
      while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1)
      slots[slot] = term + 1
    }
    this.#slots = slots
  }

  // ---- order ----

  /** The numbers of the terms in the order of their octets. */
  #sorted(): Uint32Array {
    // What they begin with and their numbers sort natively as doubles; those that begin alike are then put right among themselves.
    const keys = new Float64Array(this.#count)
    for (let term = 0; term < this.#count; term++) keys[term] = this.#beginning(term) * MOST_TERMS + term
    keys.sort()
    const order = new Uint32Array(this.#count)
    let from = 0
    let before = -1
    for (let i = 0; i <= order.length; i++) {
      const key = keys[i] ?? Infinity
      const beginning = Math.floor(key / MOST_TERMS)
      if (beginning !== before && i > 0) {
        if (i - from > 1) this.#sortAlike(order.subarray(from, i))
        from = i
      }
      before = beginning
      if (i < order.length) order[i] = key - beginning * MOST_TERMS
    }
    return order
  }

  #sortAlike(terms: Uint32Array): void {
    if (terms.length > 16) {
      terms.sort((a, b) => this.#compare(a, b))
      return
    }
    for (let i = 1; i < terms.length; i++) {
      const term = terms[i] ?? 0
      let to = i
      for (; to > 0 && this.#compare(terms[to - 1] ?? 0, term) > 0; to--) terms[to] = terms[to - 1] ?? 0
      terms[to] = term
    }
  }

  /** What a term begins with as a number below 2^32 that sorts as the terms do: six characters of ASCII, else four octets. */
  #beginning(term: number): number {
    const start = this.#startOf(term)
    const end = this.#endOf(term)
    const ascii = (this.#arena[start] ?? 0) < 0x80
    const [octets, ranks] = ascii ? [6, ASCII_RANKS] : [4, RANKS]
    let beginning = 0
    for (let i = start; i < start + octets; i++) {
      const place = i < end ? rank(this.#arena[i] ?? 0) : 0
      beginning = beginning * ranks + (ascii && place >= ASCII_RANKS ? ASCII_RANKS - 1 : place)
    }
    return ascii ? beginning : ASCII_RANKS ** 6 + beginning
  }

  #compare(a: number, b: number): number {
    return compareOctets(this.#arena, this.#startOf(a), this.#endOf(a), this.#arena, this.#startOf(b), this.#endOf(b))
  }
}

/** Ten digits, the letters, all that is not ASCII as one, and nothing: of what ASCII begins. */
const ASCII_RANKS = 38
/** The same with all octets of UTF-8 (0x80 to 0xf4) told apart. 38^6 + 155^4 is below 2^32. */
const RANKS = 155

/** Of the octets of folded words, digits come first, then letters, then all that is not ASCII. Nothing, at the end, is 0. */
function rank(octet: number): number {
  if (octet >= 0x80) return octet - 0x80 + 37
  return octet >= 0x61 ? octet - 0x61 + 11 : octet - 0x30 + 1
}

/** Writes a character in UTF-8 at `at`; answers where it ends. A lone surrogate is no word and never comes here. */
function encode(bytes: Uint8Array, at: number, code: number): number {
  let to = at
  if (code < 0x80) bytes[to++] = code
  else if (code < 0x800) bytes[to++] = 0xc0 | (code >> 6)
  else {
    if (code < 0x10000) bytes[to++] = 0xe0 | (code >> 12)
    else {
      bytes[to++] = 0xf0 | (code >> 18)
      bytes[to++] = 0x80 | ((code >> 12) & 0x3f)
    }
    bytes[to++] = 0x80 | ((code >> 6) & 0x3f)
  }
  if (code >= 0x80) bytes[to++] = 0x80 | (code & 0x3f)
  return to
}

function codeAt(text: string, at: number): number {
  const unit = text.charCodeAt(at)
  return unit >= 0xd800 && unit <= 0xdbff ? (text.codePointAt(at) ?? 0) : unit
}

function grown<T extends Uint8Array | Uint32Array | Int32Array>(old: T, fresh: T): T {
  fresh.set(old)
  return fresh
}
