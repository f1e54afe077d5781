// Many texts, kept end to end as they came, and their order: sorted by seven characters at a time, as numbers, and by comparing only where few are left. No text becomes
// an object of its own unless it must.

import { keyEnd } from '../render/key-list.ts'
import type { Pace } from '../search/pace.ts'
import { sortedBy } from './radix.ts'
import { collated } from './strings.ts'

/** Characters that are folded in one go, about: a tenth of a millisecond's work, or a millisecond's where they are not ASCII. */
const AT_ONCE = 32_768
/** So few are compared; more are sorted by the characters that follow. */
const FEW = 64

/** How many characters fit a number that is exact, each as its code and one more: 0 is the end of the text. */
const ASCII = { units: 7, radix: 129 } as const
const ANY = { units: 3, radix: 65_537 } as const

/** Texts by index, in the form that sorts as i;unicode-casemap does (`collated`). Those that were not set are empty. */
export class KeyTexts {
  readonly #pieces: string[] = ['']
  /** In which piece, and where in it. */
  readonly #piece: Uint32Array
  readonly #start: Uint32Array
  readonly #end: Uint32Array
  #unit: typeof ASCII | typeof ANY = ASCII

  constructor(count: number) {
    this.#piece = new Uint32Array(count)
    this.#start = new Uint32Array(count)
    this.#end = new Uint32Array(count)
  }

  /** Takes keys with separators between them; which index each has is said to `set` next, or that it has none to `skip`. */
  begin(keys: string): { set(index: number): void; skip(): void } {
    let taken = 0
    let text = ''
    let start = 1
    /** Where the next key ends, in the piece that was folded last: it begins at `start`. */
    const next = (): number => {
      if (start > text.length) {
        const end = keyEnd(keys, taken + AT_ONCE)
        text = this.#take(keys.slice(taken, end))
        taken = end + 1
        start = 0
      }
      return keyEnd(text, start)
    }
    return {
      set: (index) => {
        const end = next()
        this.#piece[index] = this.#pieces.length - 1
        this.#start[index] = start
        this.#end[index] = end
        start = end + 1
      },
      skip: () => {
        start = next() + 1
      },
    }
  }

  /** Folding leaves neither more nor fewer separators. */
  #take(keys: string): string {
    const text = collated(keys)
    if (!isAscii(text)) this.#unit = ANY
    this.#pieces.push(text)
    return text
  }

  at(index: number): string {
    return (this.#pieces[this.#piece[index] ?? 0] ?? '').slice(this.#start[index], this.#end[index])
  }

  /** The rank of each text: equal ones have equal ranks, which begin at 0 and leave none out. */
  async ranks(pace: Pace): Promise<{ readonly ranks: Uint32Array; readonly distinct: number }> {
    const { order, same } = await this.#sorted(pace)
    const ranks = new Uint32Array(order.length)
    let rank = -1
    for (let i = 0; i < order.length; i++) {
      if (same[i] === 0) rank++
      ranks[order[i] ?? 0] = rank
    }
    return { ranks, distinct: rank + 1 }
  }

  /** All indexes in order; `same` is 1 for each whose text is that of the one before. */
  async #sorted(pace: Pace): Promise<{ readonly order: Uint32Array; readonly same: Uint8Array }> {
    const count = this.#start.length
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) order[i] = i
    const same = new Uint8Array(count)
    const numbers = new Float64Array(count)
    /** Parts of the order whose texts are equal up to a depth: [from, to, depth]. */
    const parts: (readonly [number, number, number])[] = [[0, count, 0]]
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const [from, to, depth] = part
      if (to - from <= FEW) this.#compareFew(order, same, from, to)
      else {
        await this.#number(order.subarray(from, to), depth, numbers, pace)
        order.set(await sortedBy(order.subarray(from, to), numbers, false, pace), from)
        this.#divide(order, same, numbers, part, parts)
      }
      if (pace.winded) await pace.breathe()
    }
    return { order, same }
  }

  /** The characters from `depth` on of each text, as a number. */
  async #number(indexes: Uint32Array, depth: number, numbers: Float64Array, pace: Pace): Promise<void> {
    const { units, radix } = this.#unit
    for (let i = 0; i < indexes.length; i++) {
      const index = indexes[i] ?? 0
      const text = this.#pieces[this.#piece[index] ?? 0] ?? ''
      const end = this.#end[index] ?? 0
      let at = (this.#start[index] ?? 0) + depth
      let number = 0
      for (let unit = 0; unit < units; unit++, at++) number = number * radix + (at < end ? text.charCodeAt(at) + 1 : 0)
      numbers[index] = number
      if ((i & 1023) === 1023 && pace.winded) await pace.breathe()
    }
  }

  /** Finds in a part that is sorted by `numbers` those that are equal in them: they are the same text, where it ends there, or a part of their own. */
  #divide(
    order: Uint32Array,
    same: Uint8Array,
    numbers: Float64Array,
    [from, to, depth]: readonly [number, number, number],
    parts: (readonly [number, number, number])[],
  ): void {
    const { units, radix } = this.#unit
    for (let start = from; start < to;) {
      const number = numbers[order[start] ?? 0]
      let end = start + 1
      while (end < to && numbers[order[end] ?? 0] === number) end++
      if (end - start > 1) {
        if ((number ?? 0) % radix === 0) same.fill(1, start + 1, end)
        else parts.push([start, end, depth + units])
      }
      start = end
    }
  }

  #compareFew(order: Uint32Array, same: Uint8Array, from: number, to: number): void {
    const few = Array.from(order.subarray(from, to), (index) => ({ index, text: this.at(index) }))
    few.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.index - b.index))
    for (const [i, { index, text }] of few.entries()) {
      order[from + i] = index
      if (i > 0 && few[i - 1]?.text === text) same[from + i] = 1
    }
  }
}

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text)
