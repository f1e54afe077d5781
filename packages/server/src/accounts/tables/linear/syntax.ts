// The syntax of regular expressions that can be matched in one pass, as RE2 has it: no backreferences, no looking around.

/** True for the code points that a place fits. */
export type CodePoints = (point: number) => boolean

/** A regular expression, read. */
export type Node =
  | { readonly kind: 'empty' }
  | { readonly kind: 'points'; readonly fits: CodePoints }
  | { readonly kind: 'assert'; readonly what: 'begin' | 'end' | 'word-edge' | 'no-word-edge' }
  | { readonly kind: 'sequence' | 'either'; readonly parts: readonly Node[] }
  | { readonly kind: 'group'; readonly index: number; readonly inner: Node }
  | {
      readonly kind: 'repeat'
      readonly inner: Node
      readonly least: number
      readonly most: number
      readonly greedy: boolean
    }

export interface Pattern {
  readonly root: Node
  /** Groups that capture, the whole not among them. */
  readonly groups: number
  readonly names: ReadonlyMap<string, number>
}

const MAX_PATTERN = 4096
const MAX_DEPTH = 100
const MAX_REPEAT = 1000

export const isWord = (point: number): boolean =>
  (point >= 0x30 && point <= 0x39) ||
  (point >= 0x41 && point <= 0x5a) ||
  (point >= 0x61 && point <= 0x7a) ||
  point === 0x5f
const isDigit = (point: number): boolean => point >= 0x30 && point <= 0x39
const isBlank = (point: number): boolean => point === 0x20 || (point >= 0x09 && point <= 0x0d) || point === 0xa0
const CLASSES: Readonly<Record<string, CodePoints>> = {
  d: isDigit,
  D: (point) => !isDigit(point),
  w: isWord,
  W: (point) => !isWord(point),
  s: isBlank,
  S: (point) => !isBlank(point),
}
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, '0': 0 }

/** Reads a regular expression in JavaScript's spelling. Throws SyntaxError for what is none, or cannot be matched in one pass. */
export function parsePattern(text: string, ignoreCase: boolean): Pattern {
  if (text.length > MAX_PATTERN) throw new SyntaxError(`a regular expression longer than ${MAX_PATTERN} characters`)
  const reader = new Reader(text, ignoreCase)
  return reader.whole()
}

class Reader {
  readonly #points: readonly string[]
  readonly #ignoreCase: boolean
  readonly #names = new Map<string, number>()
  #at = 0
  #groups = 0
  #depth = 0

  constructor(text: string, ignoreCase: boolean) {
    this.#points = [...text]
    this.#ignoreCase = ignoreCase
  }

  whole(): Pattern {
    const root = this.#either()
    if (this.#at < this.#points.length) throw this.#wrong(`')' without '('`)
    return { root, groups: this.#groups, names: this.#names }
  }

  #either(): Node {
    if (++this.#depth > MAX_DEPTH) throw this.#wrong('too many groups in one another')
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'either', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    for (;;) {
      const next = this.#points[this.#at]
      if (next === undefined || next === '|' || next === ')') break
      parts.push(this.#repeated(this.#atom()))
    }
    return parts.length === 1 && parts[0] !== undefined
      ? parts[0]
      : parts.length === 0
        ? { kind: 'empty' }
        : { kind: 'sequence', parts }
  }

  #repeated(inner: Node): Node {
    const bounds = this.#bounds()
    if (bounds === undefined) return inner
    if (inner.kind === 'assert') throw this.#wrong('an edge cannot be repeated')
    const [least, most] = bounds
    const greedy = !this.#take('?')
    if (this.#bounds() !== undefined) throw this.#wrong('nothing to repeat')
    return { kind: 'repeat', inner, least, most, greedy }
  }

  #bounds(): readonly [least: number, most: number] | undefined {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    const counted = /^\{(\d{1,4})(,(\d{0,4}))?\}/.exec(this.#points.slice(this.#at, this.#at + 12).join(''))
    if (counted === null) return undefined
    this.#at += counted[0].length
    const least = Number(counted[1])
    const most = counted[2] === undefined ? least : counted[3] === '' ? Infinity : Number(counted[3])
    if (most < least || least > MAX_REPEAT || (most !== Infinity && most > MAX_REPEAT))
      throw this.#wrong(`cannot repeat ${counted[0]}`)
    return [least, most]
  }

  #atom(): Node {
    const sign = this.#points[this.#at++] ?? ''
    switch (sign) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'points', fits: this.#set() }
      case '.':
        return { kind: 'points', fits: (point) => point !== 10 && point !== 13 }
      case '^':
        return { kind: 'assert', what: 'begin' }
      case '$':
        return { kind: 'assert', what: 'end' }
      case '\\':
        return this.#escape()
      case '*':
      case '+':
      case '?':
        throw this.#wrong('nothing to repeat')
      default:
        return { kind: 'points', fits: this.#one(sign.codePointAt(0) ?? 0) }
    }
  }

  #group(): Node {
    let index: number | undefined
    if (this.#take('?')) {
      if (this.#take('<')) {
        const name = /^[A-Za-z_]\w{0,31}(?=>)/.exec(this.#points.slice(this.#at, this.#at + 40).join(''))?.[0]
        if (name === undefined) throw this.#wrong('looking behind is not possible; a named group is (?<name>...)')
        if (this.#names.has(name)) throw this.#wrong(`two groups are called ${name}`)
        this.#at += name.length + 1
        index = ++this.#groups
        this.#names.set(name, index)
      } else if (!this.#take(':')) throw this.#wrong('looking ahead is not possible')
    } else index = ++this.#groups
    const inner = this.#either()
    if (!this.#take(')')) throw this.#wrong(`'(' without ')'`)
    return index === undefined ? inner : { kind: 'group', index, inner }
  }

  #escape(): Node {
    const sign = this.#points[this.#at]
    if (sign === 'b' || sign === 'B') {
      this.#at++
      return { kind: 'assert', what: sign === 'b' ? 'word-edge' : 'no-word-edge' }
    }
    if (sign !== undefined && /[1-9k]/.test(sign)) throw this.#wrong('a backreference is not possible')
    const meant = this.#escaped()
    return { kind: 'points', fits: typeof meant === 'number' ? this.#one(meant) : meant }
  }

  /** What stands behind a backslash: one code point, or a class of them. */
  #escaped(): number | CodePoints {
    const sign = this.#points[this.#at++]
    if (sign === undefined) throw this.#wrong('a backslash at the end')
    const known = CLASSES[sign]
    if (known !== undefined) return known
    const control = CONTROLS[sign]
    if (control !== undefined) return control
    if (sign === 'x' || sign === 'u') {
      const rest = this.#points.slice(this.#at, this.#at + 10).join('')
      const hex =
        sign === 'x' ? /^[0-9a-fA-F]{2}/.exec(rest)?.[0] : /^(?:[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\})/.exec(rest)?.[0]
      if (hex === undefined) throw this.#wrong(`\\${sign} without its digits`)
      this.#at += hex.length
      return Number.parseInt(hex.replace(/[{}]/g, ''), 16)
    }
    if (/[A-Za-z0-9]/.test(sign)) throw this.#wrong(`\\${sign} means nothing here`)
    return sign.codePointAt(0) ?? 0
  }

  #set(): CodePoints {
    const not = this.#take('^')
    const fits: CodePoints[] = []
    while (!this.#take(']')) {
      const low = this.#member()
      if (low === undefined) throw this.#wrong(`'[' without ']'`)
      if (this.#points[this.#at] === '-' && this.#points[this.#at + 1] !== ']' && typeof low === 'number') {
        this.#at++
        const high = this.#member()
        if (typeof high !== 'number' || high < low) throw this.#wrong('a range that runs backwards')
        fits.push(this.#range(low, high))
      } else fits.push(typeof low === 'number' ? this.#one(low) : low)
    }
    return (point) => fits.some((one) => one(point)) !== not
  }

  #member(): number | CodePoints | undefined {
    const sign = this.#points[this.#at++]
    if (sign === '\\') {
      if (this.#points[this.#at] === 'b') {
        this.#at++
        return 8
      }
      return this.#escaped()
    }
    return sign?.codePointAt(0)
  }

  #one(point: number): CodePoints {
    return this.#range(point, point)
  }

  #range(low: number, high: number): CodePoints {
    const inside: CodePoints = (point) => point >= low && point <= high
    return this.#ignoreCase ? (point) => inside(point) || otherCases(point).some(inside) : inside
  }

  #take(sign: string): boolean {
    if (this.#points[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #wrong(what: string): SyntaxError {
    return new SyntaxError(`${what} (at character ${this.#at})`)
  }
}

function otherCases(point: number): readonly number[] {
  const text = String.fromCodePoint(point)
  return [text.toLowerCase(), text.toUpperCase()].flatMap((other) => {
    const points = [...other]
    return points.length === 1 && other !== text ? [other.codePointAt(0) ?? 0] : []
  })
}
