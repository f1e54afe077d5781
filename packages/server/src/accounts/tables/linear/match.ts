// Matching in one pass (Thompson 1968, Pike's machine): time grows with the text times the expression, whatever both are.

import { isWord, type CodePoints, type Node, parsePattern } from './syntax.ts'

type Instruction =
  | { readonly op: 'points'; readonly fits: CodePoints }
  | { readonly op: 'assert'; readonly what: 'begin' | 'end' | 'word-edge' | 'no-word-edge' }
  /** Goes on at `to` and `or`, `to` first; `or` is missing where there is one way only. */
  | { readonly op: 'go'; to: number; or?: number }
  | { readonly op: 'save'; readonly slot: number }
  | { readonly op: 'match' }

/** Instructions of one expression: with the longest text, a match takes some milliseconds. */
const MAX_PROGRAM = 1000
/** Code points of a text, unless the expression is for longer ones: addresses, domains and names are shorter. */
export const MAX_TEXT = 512

/** What matched: the whole, then each group; undefined for a group that took no part. */
export type Match = readonly (string | undefined)[]

/** A regular expression that cannot be made to take long. */
export class LinearRegExp {
  readonly #program: Instruction[] = []
  readonly #slots: number
  readonly #longest: number
  readonly names: ReadonlyMap<string, number>
  readonly groups: number

  /** `whole`: the expression must fit the whole text, not a part of it. `longest`: code points of a text. Throws SyntaxError. */
  constructor(
    text: string,
    options: { readonly ignoreCase?: boolean; readonly whole?: boolean; readonly longest?: number } = {},
  ) {
    this.#longest = options.longest ?? MAX_TEXT
    const { root, groups, names } = parsePattern(text, options.ignoreCase ?? false)
    this.names = names
    this.groups = groups
    this.#slots = 2 * (groups + 1)
    const whole: Node = { kind: 'group', index: 0, inner: root }
    const begin: Node = { kind: 'assert', what: 'begin' }
    const end: Node = { kind: 'assert', what: 'end' }
    const anything: Node = {
      kind: 'repeat',
      inner: { kind: 'points', fits: () => true },
      least: 0,
      most: Infinity,
      greedy: false,
    }
    this.#emit({ kind: 'sequence', parts: options.whole === true ? [begin, whole, end] : [anything, whole] })
    this.#program.push({ op: 'match' })
  }

  /** Undefined when it does not match, or when the text is longer than it may be. */
  match(text: string): Match | undefined {
    const characters = Array.from(text.slice(0, 2 * this.#longest + 1))
    if (characters.length > this.#longest) return undefined
    const points = characters.map((character) => character.codePointAt(0) ?? 0)
    let threads = new Threads(this.#program.length)
    let next = new Threads(this.#program.length)
    let found: Int32Array | undefined
    this.#enter(threads, 0, points, 0, new Int32Array(this.#slots).fill(-1))
    for (let at = 0; threads.list.length > 0; at++) {
      const point = points[at]
      for (const { pc, saved } of threads.list) {
        const instruction = this.#program[pc]
        if (instruction?.op === 'match') {
          // Threads behind this one would be second choice.
          found = saved
          break
        }
        if (point !== undefined && instruction?.op === 'points' && instruction.fits(point))
          this.#enter(next, pc + 1, points, at + 1, saved)
      }
      if (point === undefined) break
      ;[threads, next] = [next, threads]
      next.clear()
    }
    if (found === undefined) return undefined
    const match: (string | undefined)[] = []
    for (let slot = 0; slot < this.#slots; slot += 2) {
      const from = found[slot] ?? -1
      const to = found[slot + 1] ?? -1
      match.push(from < 0 || to < 0 ? undefined : characters.slice(from, to).join(''))
    }
    return match
  }

  /** Adds the threads that begin at `start`, in the order of preference. Deep expressions need no deep stack. */
  #enter(threads: Threads, start: number, points: readonly number[], at: number, saved: Int32Array): void {
    const stack: { readonly pc: number; readonly saved: Int32Array }[] = [{ pc: start, saved }]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      if (threads.seen[top.pc] === threads.round) continue
      threads.seen[top.pc] = threads.round
      const instruction = this.#program[top.pc]
      switch (instruction?.op) {
        case 'go':
          if (instruction.or !== undefined) stack.push({ pc: instruction.or, saved: top.saved })
          stack.push({ pc: instruction.to, saved: top.saved })
          break
        case 'save': {
          const changed = top.saved.slice()
          changed[instruction.slot] = at
          stack.push({ pc: top.pc + 1, saved: changed })
          break
        }
        case 'assert':
          if (holds(instruction.what, points, at)) stack.push({ pc: top.pc + 1, saved: top.saved })
          break
        default:
          threads.list.push(top)
      }
    }
  }

  #emit(node: Node): void {
    const program = this.#program
    if (program.length > MAX_PROGRAM) throw new SyntaxError('the regular expression is too large')
    switch (node.kind) {
      case 'empty':
        return
      case 'points':
        program.push({ op: 'points', fits: node.fits })
        return
      case 'assert':
        program.push({ op: 'assert', what: node.what })
        return
      case 'sequence':
        for (const part of node.parts) this.#emit(part)
        return
      case 'group':
        program.push({ op: 'save', slot: 2 * node.index })
        this.#emit(node.inner)
        program.push({ op: 'save', slot: 2 * node.index + 1 })
        return
      case 'either':
        return this.#emitEither(node.parts)
      case 'repeat':
        return this.#emitRepeat(node.inner, node.least, node.most, node.greedy)
    }
  }

  #emitEither(parts: readonly Node[]): void {
    const exits: { to: number }[] = []
    for (const [index, part] of parts.entries()) {
      if (index === parts.length - 1) {
        this.#emit(part)
        break
      }
      const fork = this.#go()
      this.#emit(part)
      exits.push(this.#go())
      fork.or = this.#program.length
    }
    for (const exit of exits) exit.to = this.#program.length
  }

  #emitRepeat(inner: Node, least: number, most: number, greedy: boolean): void {
    for (let i = 0; i < least; i++) this.#emit(inner)
    if (most === Infinity) {
      const start = this.#program.length
      const fork = this.#go()
      this.#emit(inner)
      this.#go().to = start
      this.#branch(fork, greedy)
      return
    }
    const forks: { to: number; or?: number }[] = []
    for (let i = least; i < most; i++) {
      forks.push(this.#go())
      this.#emit(inner)
    }
    for (const fork of forks) this.#branch(fork, greedy)
  }

  /** Points a fork at what follows it and at the end of the program so far. */
  #branch(fork: { to: number; or?: number }, greedy: boolean): void {
    const inside = fork.to
    const outside = this.#program.length
    fork.to = greedy ? inside : outside
    fork.or = greedy ? outside : inside
  }

  /** A jump to what follows it, to be pointed elsewhere. */
  #go(): { to: number; or?: number } {
    const instruction: { op: 'go'; to: number; or?: number } = { op: 'go', to: this.#program.length + 1 }
    this.#program.push(instruction)
    return instruction
  }
}

class Threads {
  readonly list: { readonly pc: number; readonly saved: Int32Array }[] = []
  /** For each instruction, the round in which it was added last. */
  readonly seen: Uint32Array
  round = 1

  constructor(instructions: number) {
    this.seen = new Uint32Array(instructions)
  }

  clear(): void {
    this.list.length = 0
    this.round++
  }
}

function holds(what: 'begin' | 'end' | 'word-edge' | 'no-word-edge', points: readonly number[], at: number): boolean {
  if (what === 'begin') return at === 0
  if (what === 'end') return at === points.length
  const before = points[at - 1]
  const after = points[at]
  const edge = (before !== undefined && isWord(before)) !== (after !== undefined && isWord(after))
  return edge === (what === 'word-edge')
}
