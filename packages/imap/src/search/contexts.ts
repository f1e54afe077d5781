// RFC 5267 §4.3: searches whose results the client wants to be told of as they change, with the other news of the mailbox.

import { eachOnce, type FetchItem } from '../commands/fetch-items.ts'
import type { ImapServerSession } from '../server/session.ts'
import type { MailboxView } from '../server/view.ts'
import { unionOf } from '../sort/align.ts'
import type { SortProgram } from '../sort/program.ts'
import { sortPositions } from '../sort/run.ts'
import { quote } from '../wire/encode.ts'
import {
  formatNumbers,
  type NumberRange,
  type NumberSet,
  SAVED,
  spansOfKnown,
  spansOfSequence,
} from '../wire/number-set.ts'
import type { SearchKey } from './keys.ts'
import { quietly, type SearchPace } from './pace.ts'
import { matchAmong } from './run.ts'
import { type SearchTarget, targetOfView } from './target.ts'

const LAST_UID = 0xffffffff

interface Context {
  readonly tag: string
  /** Results are told as UIDs. */
  readonly uid: boolean
  readonly key: SearchKey
  /** Undefined: in mailbox order. */
  readonly program: SortProgram | undefined
  /** UIDs in the order asked for. */
  results: Uint32Array
  /** What is told of messages that arrive and match (RFC 5465 §7). */
  readonly fetch: readonly FetchItem[]
}

/** The contexts of one selected mailbox. */
export class SearchContexts {
  readonly #session: ImapServerSession
  readonly #view: MailboxView
  readonly #contexts = new Map<string, Context>()

  constructor(session: ImapServerSession, view: MailboxView) {
    this.#session = session
    this.#view = view
  }

  has(tag: string): boolean {
    return this.#contexts.has(tag)
  }

  /** False: there are too many already. `results` are UIDs in the order of `program`. */
  add(
    tag: string,
    uid: boolean,
    key: SearchKey,
    program: SortProgram | undefined,
    results: Uint32Array,
    fetch: readonly FetchItem[],
  ): boolean {
    if (this.#contexts.size >= this.#session.limits.searchContexts) return false
    this.#contexts.set(tag, { tag, uid, key: lasting(key, targetOfView(this.#view)), program, results, fetch })
    return true
  }

  cancel(tag: string): void {
    this.#contexts.delete(tag)
  }

  /** Right before expunges are told: their numbers are still true (RFC 5267 §4.3.4). */
  beforeExpunge(): void {
    const { expunged } = this.#view
    if (expunged.size === 0) return
    for (const context of this.#contexts.values()) this.#remove(context, expunged)
  }

  /** What is to be told of a message that has just arrived: everything that the searches which it matches asked for. */
  wantedOf(uid: number): FetchItem[] {
    const items: FetchItem[] = []
    for (const { fetch, results } of this.#contexts.values())
      if (fetch.length > 0 && results.includes(uid)) items.push(...fetch)
    return eachOnce(items)
  }

  /** After the other news, so that new numbers are true (RFC 5267 §4.3.3). `touched`: UIDs of messages that are new or changed. */
  async afterNews(touched: readonly number[]): Promise<void> {
    if (touched.length === 0 || this.#contexts.size === 0) return
    const target = targetOfView(this.#view)
    for (const context of this.#contexts.values()) await this.#update(context, new Set(touched), target)
  }

  async #update(context: Context, touched: ReadonlySet<number>, target: SearchTarget): Promise<void> {
    const pace = quietly(this.#session)
    const view = this.#view
    const among = new Uint8Array(target.count)
    for (const uid of touched) {
      const position = view.position(uid)
      if (position >= 0) among[position] = 1
    }
    const matching = await matchAmong(target, context.key, among, pace, this.#session.options.date?.() ?? Date.now())
    const before = new Set(context.results.filter((uid) => touched.has(uid)))
    const gone = new Set<number>()
    const added: number[] = []
    for (const uid of touched) {
      const position = view.position(uid)
      const matches = position >= 0 && matching[position] === 1
      if (matches && !before.has(uid)) added.push(uid)
      else if (!matches && position >= 0 && before.has(uid)) gone.add(uid)
    }
    this.#remove(context, gone)
    if (added.length > 0) await this.#add(context, added, target, pace)
  }

  #remove(context: Context, gone: ReadonlySet<number>): void {
    const { results } = context
    const runs: Run[] = []
    for (let i = 0; i < results.length; i++) if (gone.has(results[i] ?? 0)) extendRuns(runs, i + 1, results[i] ?? 0)
    if (runs.length === 0) return
    context.results = results.filter((uid) => !gone.has(uid))
    // From the end, so that each position is true when it is read.
    this.#tell(context, 'REMOVEFROM', runs.reverse())
  }

  async #add(context: Context, added: readonly number[], target: SearchTarget, pace: SearchPace): Promise<void> {
    const before = context.program === undefined ? context.results : context.results.slice().sort()
    const all = unionOf(before, Uint32Array.from(added).sort())
    const uids = target.rows.uids
    const positions: number[] = []
    for (const { start, end } of spansOfKnown(all, uids)) for (let at = start; at < end; at++) positions.push(at)
    const order =
      context.program === undefined
        ? Uint32Array.from(positions)
        : await sortPositions(target, Uint32Array.from(positions), context.program, pace)
    const results = order.map((position) => uids[position] ?? 0)
    const fresh = new Set(added)
    const runs: Run[] = []
    for (let i = 0; i < results.length; i++) if (fresh.has(results[i] ?? 0)) extendRuns(runs, i + 1, results[i] ?? 0)
    context.results = results
    this.#tell(context, 'ADDTO', runs)
  }

  #tell(context: Context, what: 'ADDTO' | 'REMOVEFROM', runs: readonly Run[]): void {
    const uid = context.uid || this.#session.uidOnly
    const numbers = (uids: readonly number[]): string =>
      formatNumbers(uid ? uids : uids.map((one) => this.#view.position(one) + 1))
    // In mailbox order the client finds the place itself: one set at position 0.
    const pairs =
      context.program === undefined
        ? [`0 ${numbers(runs.flatMap((run) => run.uids).sort((a, b) => a - b))}`]
        : runs.map((run) => `${run.position} ${numbers(run.uids)}`)
    this.#session.out.untagged(`ESEARCH (TAG ${quote(context.tag)})${uid ? ' UID' : ''} ${what} (${pairs.join(' ')})`)
  }
}

/** Results that stand behind each other, from a position (1 is the first). */
interface Run {
  readonly position: number
  readonly uids: number[]
}

function extendRuns(runs: Run[], position: number, uid: number): void {
  const last = runs.at(-1)
  if (last !== undefined && last.position + last.uids.length === position) last.uids.push(uid)
  else runs.push({ position, uids: [uid] })
}

/**
 * The key in a form that depends on nothing but each message itself: sequence numbers, `$` and `*` stand for the messages they named when the search was
 * made (RFC 5267 §4.3); a range up to `*` goes on to what comes later.
 */
function lasting(key: SearchKey, target: SearchTarget): SearchKey {
  switch (key.kind) {
    case 'not':
      return { kind: 'not', key: lasting(key.key, target) }
    case 'and':
    case 'or':
      return { kind: key.kind, keys: key.keys.map((one) => lasting(one, target)) }
    case 'sequence':
    case 'uid': {
      if (key.set === SAVED) return { kind: 'uid', set: rangesOf(target.saved) }
      if (key.kind === 'uid') return { kind: 'uid', set: openEnded(key.set, target) }
      const uids: number[] = []
      for (const { start, end } of spansOfSequence(key.set, target.count).spans)
        for (let at = start; at < end; at++) uids.push(target.rows.uids[at] ?? 0)
      return { kind: 'uid', set: rangesOf(uids) }
    }
    default:
      return key
  }
}

function openEnded(set: NumberSet, { rows, count }: SearchTarget): NumberSet {
  const last = rows.uids[count - 1] ?? LAST_UID
  return set.map(({ from, to }): NumberRange => {
    if (from === 0 && to === 0) return { from: last, to: last }
    return from === 0 || to === 0 ? { from: Math.min(from || to, last), to: LAST_UID } : { from, to }
  })
}

function rangesOf(uids: ArrayLike<number>): NumberSet {
  const ranges: { from: number; to: number }[] = []
  for (let i = 0; i < uids.length; i++) {
    const uid = uids[i] ?? 0
    const last = ranges.at(-1)
    if (last?.to === uid - 1) last.to = uid
    else ranges.push({ from: uid, to: uid })
  }
  return ranges
}
