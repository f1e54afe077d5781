// RFC 5256 §3 THREAD=REFERENCES, steps 1 to 3: who answers whom, by Message-ID and References.

import type { Pace } from '../search/pace.ts'
import { type Forest, group, ROOT } from './forest.ts'
import { IdTable } from './id-table.ts'
import type { Links } from './links.ts'

/**
 * Steps up a thread that looking for loops may take in all, per message and at least. Only made-up references come near it; a link whose loop would be
 * looked for beyond it is not made.
 */
const STEPS_PER_MESSAGE = 64
const LEAST_STEPS = 4_000_000

const NONE = -1

/** `at`: the index in `links` of each message to be threaded, in the order of the mailbox. */
export async function threadByReferences(links: Links, at: Int32Array, pace: Pace): Promise<Forest> {
  // What is in one piece and takes milliseconds begins with a turn of its own.
  await pace.breathe()
  const tree = new ReferenceTree(at.length)
  if (pace.winded) await pace.breathe()
  // Of messages with one Message-ID, the first has it; the others have none.
  for (let i = 0; i < at.length; i++) {
    const id = links.ids[at[i] ?? -1] ?? 0
    if (id !== 0) tree.own(i, id)
    if ((i & 1023) === 1023 && pace.winded) await pace.breathe()
  }
  for (let i = 0; i < at.length; i++) {
    const index = at[i] ?? -1
    const start = links.starts[index] ?? 0
    const end = links.starts[index + 1] ?? start
    // (1)(A): each reference is the parent of the next, where that has none yet.
    let before = NONE
    for (let reference = start; reference < end; reference++) {
      const node = tree.node(links.references[reference] ?? 0)
      if (before !== NONE && !tree.hasParent(node)) tree.link(before, node)
      before = node
    }
    // (1)(B): the last reference is the parent of the message, whatever was thought before.
    tree.unlink(i)
    if (before !== NONE) tree.link(before, i)
    if ((i & 255) === 255 && pace.winded) await pace.breathe()
  }
  return tree.pruned(pace)
}

/** Nodes below `messages` are messages, the others are ids that no message has. */
class ReferenceTree {
  readonly #messages: number
  readonly #ids: IdTable
  #parents: Int32Array
  /** How many children each node has. */
  #children: Int32Array
  #count: number
  #steps: number

  constructor(messages: number) {
    this.#messages = messages
    this.#ids = new IdTable(messages * 2)
    this.#parents = new Int32Array(messages * 2 + 16).fill(NONE)
    this.#children = new Int32Array(messages * 2 + 16)
    this.#count = messages
    this.#steps = Math.max(LEAST_STEPS, STEPS_PER_MESSAGE * messages)
  }

  own(message: number, id: number): void {
    this.#ids.getOrSet(id, message)
  }

  node(id: number): number {
    const node = this.#ids.getOrSet(id, this.#count)
    if (node === this.#count) this.#add()
    return node
  }

  #add(): void {
    if (++this.#count < this.#parents.length) return
    const parents = new Int32Array(this.#parents.length * 2).fill(NONE)
    parents.set(this.#parents)
    this.#parents = parents
    const children = new Int32Array(parents.length)
    children.set(this.#children)
    this.#children = children
  }

  hasParent(node: number): boolean {
    return this.#parents[node] !== NONE
  }

  unlink(node: number): void {
    const parent = this.#parents[node] ?? NONE
    if (parent === NONE) return
    this.#parents[node] = NONE
    this.#children[parent] = (this.#children[parent] ?? 0) - 1
  }

  /** Makes `parent` the parent of `child`, which has none, unless that makes a loop. */
  link(parent: number, child: number): void {
    if (parent === child || this.#isBelow(parent, child)) return
    this.#parents[child] = parent
    this.#children[parent] = (this.#children[parent] ?? 0) + 1
  }

  #isBelow(node: number, above: number): boolean {
    // Nothing is below a node without children.
    if (this.#children[above] === 0) return false
    for (let at = this.#parents[node] ?? NONE; at !== NONE; at = this.#parents[at] ?? NONE) {
      if (at === above || --this.#steps < 0) return true
    }
    return false
  }

  /**
   * (2) and (3): without the ids that no message has. Their children go to what is above them; where that is nothing, they stay together, unless there is
   * but one.
   */
  async pruned(pace: Pace): Promise<Forest> {
    // For each such id: the message above it, or the topmost id.
    const above = new Int32Array(this.#count).fill(NONE)
    const path: number[] = []
    const resolve = (start: number): number => {
      let node = start
      let found = NONE
      while (found === NONE) {
        if (node < this.#messages) found = node
        else if ((above[node] ?? NONE) !== NONE) found = above[node] ?? NONE
        else {
          path.push(node)
          const parent = this.#parents[node] ?? NONE
          if (parent === NONE) found = node
          else node = parent
        }
      }
      for (let one = path.pop(); one !== undefined; one = path.pop()) above[one] = found
      return found
    }
    const up = new Int32Array(this.#messages)
    const members = new Int32Array(this.#count)
    for (let i = 0; i < this.#messages; i++) {
      const parent = this.#parents[i] ?? NONE
      const found = parent === NONE ? ROOT : resolve(parent)
      up[i] = found
      if (found >= this.#messages) members[found] = (members[found] ?? 0) + 1
      if ((i & 4095) === 4095 && pace.winded) await pace.breathe()
    }
    const groups = new Int32Array(this.#count).fill(NONE)
    let count = 0
    for (let i = 0; i < this.#messages; i++) {
      const found = up[i] ?? ROOT
      if (found < this.#messages) continue
      if (members[found] === 1) up[i] = ROOT
      else {
        if (groups[found] === NONE) groups[found] = count++
        up[i] = group(groups[found] ?? 0)
      }
    }
    return { up, groups: count }
  }
}
