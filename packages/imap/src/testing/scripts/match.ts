// Whether an answer is the one that a script expects.

import { readValues, show, type Value } from './value.ts'

export type Variables = ReadonlyMap<string, string>

/**
 * Compares an answer (without `* `) with what is expected. Resolves the variables that are bound; answers the bindings with those added that the expectation
 * makes, or undefined where it is another answer.
 */
export function match(expected: readonly Value[], actual: readonly Value[], bound: Variables): Variables | undefined {
  const matching = new Matching(new Map(bound))
  return matching.response(expected, actual) ? matching.bound : undefined
}

/** Text with its bound variables put in; `$$` is a dollar sign, a lone `$` stays. Throws for one that is not bound, unless `lenient`. */
export function fill(text: string, bound: Variables, lenient = false): string {
  return text.replaceAll(
    /\$(?:\$|([a-z]\w*)(?:\+(\d+))?)/gi,
    (all, name: string | undefined, plus: string | undefined) => {
      if (name === undefined) return '$'
      const value = bound.get(name)
      if (value === undefined) {
        if (lenient) return all
        throw new Error(`$${name} is not bound`)
      }
      return plus === undefined ? value : String(BigInt(value) + BigInt(plus))
    },
  )
}

class Matching {
  readonly bound: Map<string, string>
  /** Strings are compared without regard to case, as most of a BODYSTRUCTURE is to be read. */
  #fold = false

  constructor(bound: Map<string, string>) {
    this.bound = bound
  }

  response(expected: readonly Value[], actual: readonly Value[]): boolean {
    const [first, second] = actual.map((value) => (value.kind === 'atom' ? value.text.toUpperCase() : ''))
    const words = expected.map((value) => (value.kind === 'atom' ? value.text.toUpperCase() : ''))
    if (second !== undefined && /^(FETCH|UIDFETCH)$/.test(second))
      return (
        expected.length === actual.length &&
        words[1] === second &&
        this.#value(expected[0], actual[0]) &&
        (nameOf(expected[2]) === '$' ||
          this.#pairs(itemsOf(expected[2]), itemsOf(actual[2]), new Set(['UID', 'MODSEQ'])))
      )
    if (/^\d+$/.test(first ?? '')) return this.#sequence(expected, actual)
    if (first !== words[0]) return false
    switch (first) {
      case 'OK':
      case 'NO':
      case 'BAD':
      case 'BYE':
      case 'PREAUTH':
        // The text is for people.
        return this.#sequence(expected, actual.slice(0, expected.length))
      case 'CAPABILITY':
      case 'ENABLED':
      case 'SEARCH':
        return this.#set(expected, actual)
      case 'FLAGS':
        return this.#set(itemsOf(expected[1]), itemsOf(actual[1]))
      case 'STATUS':
        return this.#value(expected[1], actual[1]) && this.#pairs(itemsOf(expected[2]), itemsOf(actual[2]), new Set())
      case 'LIST':
      case 'LSUB':
        return (
          expected.length === actual.length &&
          this.#set(itemsOf(expected[1]), itemsOf(actual[1])) &&
          this.#sequence(expected.slice(2), actual.slice(2))
        )
      case 'ESEARCH':
        return this.#esearch(expected, actual)
      default:
        return this.#sequence(expected, actual)
    }
  }

  /** `ESEARCH (TAG "a") UID`, then pairs. */
  #esearch(expected: readonly Value[], actual: readonly Value[]): boolean {
    const headed = (values: readonly Value[]): number => {
      const uid = values[2]
      return uid?.kind === 'atom' && uid.text.toUpperCase() === 'UID' ? 3 : 2
    }
    const at = headed(expected)
    return (
      at === headed(actual) &&
      this.#sequence(expected.slice(0, at), actual.slice(0, at)) &&
      this.#pairs(expected.slice(at), actual.slice(at), new Set())
    )
  }

  /** Names with values, in any order; names of `free` may be there unasked. */
  #pairs(expected: readonly Value[], actual: readonly Value[], free: ReadonlySet<string>): boolean {
    const left = new Map<string, Value>()
    for (let i = 0; i + 1 < actual.length; i += 2) {
      const name = nameOf(actual[i])
      if (left.has(name)) return false
      left.set(name, actual[i + 1] as Value)
    }
    let open = false
    for (let i = 0; i < expected.length; i++) {
      const name = nameOf(expected[i])
      if (name === '...') {
        open = true
        continue
      }
      const value = left.get(name)
      if (value === undefined) return false
      const wanted = expected[++i]
      this.#fold = name === 'BODYSTRUCTURE' || name === 'BODY'
      const same = name === 'FLAGS' ? this.#flags(wanted, value) : this.#value(wanted, value)
      this.#fold = false
      if (!same) return false
      left.delete(name)
    }
    return open || [...left.keys()].every((name) => free.has(name))
  }

  /** Flags of a message; \Recent only where the script says something of it. */
  #flags(expected: Value | undefined, actual: Value): boolean {
    if (expected?.kind !== 'list') return this.#value(expected, actual)
    const about = expected.items.some((flag) => /recent|^\.\.\.$/i.test(nameOf(flag)))
    const flags = itemsOf(actual).filter((flag) => about || nameOf(flag) !== '\\RECENT')
    return this.#set(expected.items, flags)
  }

  #set(expected: readonly Value[], actual: readonly Value[]): boolean {
    const left = [...actual]
    let open = false
    for (const wanted of expected) {
      const name = nameOf(wanted)
      if (name === '...') {
        open = true
        continue
      }
      if (name.startsWith('-')) {
        if (left.some((value) => nameOf(value) === name.slice(1))) return false
        continue
      }
      const at = left.findIndex((value) => this.#value(wanted, value))
      if (at < 0) return false
      left.splice(at, 1)
    }
    return open || left.length === 0
  }

  #sequence(expected: readonly Value[], actual: readonly Value[]): boolean {
    const open = nameOf(expected.at(-1)) === '...'
    const wanted = open ? expected.slice(0, -1) : expected
    if (open ? actual.length < wanted.length : actual.length !== wanted.length) return false
    return wanted.every((value, i) => this.#value(value, actual[i]))
  }

  #value(expected: Value | undefined, actual: Value | undefined): boolean {
    if (expected === undefined || actual === undefined) return false
    if (expected.kind === 'atom') {
      const { text } = expected
      if (text === '$') return true
      if (/^\$[a-z]\w*$/i.test(text)) {
        const name = text.slice(1)
        const known = this.bound.get(name)
        const value = actual.kind === 'list' || actual.kind === 'code' ? show(actual) : actual.text
        if (known === undefined) this.bound.set(name, value)
        return known === undefined || known === value || sameSet(known, value)
      }
      if (text.length > 2 && text.startsWith('/') && text.endsWith('/'))
        return (
          (actual.kind === 'atom' || actual.kind === 'string') &&
          new RegExp(`^(?:${text.slice(1, -1)})$`, 'is').test(actual.text)
        )
      const plain = fill(text, this.bound)
      if (actual.kind === 'atom')
        return plain.toUpperCase() === actual.text.toUpperCase() || sameSet(plain, actual.text)
      return actual.kind === 'string' && plain === actual.text && plain.toUpperCase() !== 'NIL'
    }
    if (expected.kind === 'string') {
      const wanted = fill(expected.text, this.bound, true)
      const [one, other] = [wanted, textOf(actual)]
      if (actual.kind === 'atom' && actual.text.toUpperCase() === 'NIL') return false
      return one === other || (this.#fold && one.toUpperCase() === other?.toUpperCase())
    }
    if (expected.kind !== actual.kind) return false
    const name = nameOf(expected.items[0])
    if (name === 'PERMANENTFLAGS' && expected.kind === 'code')
      return nameOf(actual.items[0]) === name && this.#set(itemsOf(expected.items[1]), itemsOf(actual.items[1]))
    return this.#sequence(expected.items, actual.items)
  }
}

const itemsOf = (value: Value | undefined): readonly Value[] =>
  value?.kind === 'list' || value?.kind === 'code' ? value.items : value === undefined ? [] : [value]

const nameOf = (value: Value | undefined): string => (value?.kind === 'atom' ? value.text.toUpperCase() : '')

const textOf = (value: Value): string | undefined =>
  value.kind === 'atom' || value.kind === 'string' ? value.text : undefined

/** `1:3` is `1,2,3`, in whatever order. */
function sameSet(one: string, other: string): boolean {
  const SET = /^\d{1,9}(?::\d{1,9})?(?:,\d{1,9}(?::\d{1,9})?)*$/
  if (!SET.test(one) || !SET.test(other) || !/[,:]/.test(one + other)) return false
  return numbers(one).join() === numbers(other).join()
}

function numbers(set: string): number[] {
  return set
    .split(',')
    .flatMap((range) => {
      const [a = 0, b = a] = range.split(':').map(Number)
      return Array.from({ length: Math.min(Math.abs(b - a), 100_000) + 1 }, (_, i) => Math.min(a, b) + i)
    })
    .sort((a, b) => a - b)
}

/** Values of an expectation's text. Message contents are put in by name; variables when it is compared. */
export const readExpected = (text: string, messages: ReadonlyMap<string, string>): Value[] =>
  readValues(text, {
    message: (name) => {
      const found = messages.get(name)
      if (found === undefined) throw new Error(`no message ${name}`)
      return found
    },
  })
