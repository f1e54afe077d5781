// Threads as a forest, and its form on the wire (RFC 5256 §4): `(3 6 (4 23)(44 7 96))`.

import { type Pace, STRIDE } from '../search/pace.ts'

/**
 * Messages are numbered from 0 in the order of the mailbox. `up[i]` is the message that `i` answers, or `ROOT`, or `group(g)`: together with others under a
 * message that is not there.
 */
export interface Forest {
  readonly up: Int32Array
  readonly groups: number
}

export const ROOT = -1

/** The parent of messages that belong together under nothing. */
export const group = (index: number): number => -2 - index

/** The index of a group by what `up` says, negative for what is no group. */
export const groupOf = (up: number): number => -2 - up

/** In a written forest: parentheses; anything else is a message. */
const OPEN = -1
const CLOSE = -2

/**
 * Lays a forest out as it is written. `byDate`: all messages in the order of siblings. `roots`: the order of threads, each by one of its topmost messages;
 * undefined: as `byDate` has them.
 */
export async function layOut(
  { up, groups }: Forest,
  byDate: Uint32Array,
  pace: Pace,
  roots?: Uint32Array,
): Promise<Int32Array> {
  const count = up.length
  // Children of message i at i, of group g at count + g, as linked lists in order.
  const first = new Int32Array(count + groups).fill(-1)
  const next = new Int32Array(count).fill(-1)
  for (let at = count - 1; at >= 0; at--) {
    const i = byDate[at] ?? 0
    const parent = up[i] ?? ROOT
    if (parent !== ROOT) {
      const place = parent >= 0 ? parent : count + groupOf(parent)
      next[i] = first[place] ?? -1
      first[place] = i
    }
    if ((at & (STRIDE - 1)) === 0 && pace.winded) await pace.breathe()
  }

  if (pace.winded) await pace.breathe()
  const out = new Int32Array(3 * count + 2 * groups)
  let to = 0
  const told = new Uint8Array(groups)
  /** Siblings that are still to be written, one list in each set of parentheses. */
  const stack: number[] = []
  const put = (root: number): void => {
    stack.push(root)
    while (stack.length > 0) {
      let i = stack.pop() ?? -1
      if (i === -1) {
        out[to++] = CLOSE
        continue
      }
      const sibling = next[i] ?? -1
      if (sibling >= 0) stack.push(sibling)
      out[to++] = OPEN
      out[to++] = i
      for (;;) {
        const child = first[i] ?? -1
        if (child < 0) {
          out[to++] = CLOSE
          break
        }
        if ((next[child] ?? -1) >= 0) {
          // Several answers: each in parentheses of its own, and the closing one behind them all.
          stack.push(-1, child)
          break
        }
        out[to++] = child
        i = child
      }
    }
  }
  for (let at = 0; at < (roots ?? byDate).length; at++) {
    const i = (roots ?? byDate)[at] ?? 0
    const parent = up[i] ?? ROOT
    const under = groupOf(parent)
    if (parent === ROOT) put(i)
    else if (under >= 0 && told[under] === 0) {
      told[under] = 1
      out[to++] = OPEN
      put(first[count + under] ?? 0)
      out[to++] = CLOSE
    }
    if ((at & 1023) === 1023 && pace.winded) await pace.breathe()
  }
  return out.slice(0, to)
}

/** The text of a laid out forest in pieces. `numbers[i]` names message `i`. */
export function* forestText(laidOut: Int32Array, numbers: ArrayLike<number>): Generator<string> {
  let text = ''
  let before = OPEN
  for (let at = 0; at < laidOut.length; at++) {
    const token = laidOut[at] ?? OPEN
    if (token === CLOSE) text += ')'
    else if (token === OPEN) text += before >= 0 ? ' (' : '('
    else text += before >= 0 ? ` ${numbers[token] ?? 0}` : `${numbers[token] ?? 0}`
    before = token
    if (text.length < 4096) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}
