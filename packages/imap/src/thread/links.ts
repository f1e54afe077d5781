// RFC 5256 §3: what messages say of each other (Message-ID, References), as numbers, remembered in the mailbox's cache. They never change, so only new messages are read.

import type { Mailbox, MessageKeyBatch } from '../backend.ts'
import type { Pace } from '../search/pace.ts'
import { keyEnd } from '../render/key-list.ts'
import { crowded, indexesIn, missingFrom, sameUids, unionOf } from '../sort/align.ts'
import { hashText } from '../sort/hash.ts'

/** Columns by message, and the references of message `i` in [starts[i], starts[i + 1]). Ids are numbers (see `hashText`); 0 is none. */
export interface Links {
  readonly uids: Uint32Array
  readonly ids: Float64Array
  /** 1: the subject says that it is a reply or forward. */
  readonly replies: Uint8Array
  readonly starts: Uint32Array
  readonly references: Float64Array
}

const NOTHING: Links = {
  uids: new Uint32Array(0),
  ids: new Float64Array(0),
  replies: new Uint8Array(0),
  starts: new Uint32Array(1),
  references: new Float64Array(0),
}
const NAME = 'links'

/** The links of at least `uids` (ascending), and where in them each of `uids` is. */
export async function linksOf(
  mailbox: Mailbox,
  uids: Uint32Array,
  pace: Pace,
): Promise<{ readonly links: Links; readonly at: Int32Array }> {
  let links = (mailbox.cache.get(NAME) as Links | undefined) ?? NOTHING
  if (!sameUids(links.uids, uids)) {
    const missing = missingFrom(links.uids, uids)
    if (missing.length > 0) {
      const read = await readLinks(mailbox, missing, pace)
      const base = crowded(links.uids.length, uids.length - missing.length) ? uids : unionOf(links.uids, uids)
      links = links === NOTHING && missing.length === base.length ? { ...read, uids: base } : merged(base, links, read)
      mailbox.cache.set(NAME, links, links.uids.length * 17 + links.references.length * 8)
    }
  }
  return { links, at: indexesIn(links.uids, uids) }
}

async function readLinks(mailbox: Mailbox, uids: readonly number[], pace: Pace): Promise<Links> {
  await pace.breathe()
  const reader = new LinkReader(new Uint32Array(uids))
  if (pace.winded) await pace.breathe()
  for await (const batch of mailbox.keys(uids, 'threading')) {
    let place = 0
    for (let from = 0; from < batch.uids.length; from += SLICE) {
      place = reader.take(batch, from, Math.min(batch.uids.length, from + SLICE), place)
      if (pace.winded) await pace.breathe()
    }
  }
  return reader.links()
}

const ONE = 0x31
const LF = 0x0a

/** Keys taken in one go. */
const SLICE = 256

class LinkReader {
  readonly #uids: Uint32Array
  readonly #ids: Float64Array
  readonly #replies: Uint8Array
  readonly #counts: Uint32Array
  #references: Float64Array
  #length = 0
  /** Messages before this have been read. */
  #at = 0

  constructor(uids: Uint32Array) {
    this.#uids = uids
    this.#ids = new Float64Array(uids.length)
    this.#replies = new Uint8Array(uids.length)
    this.#counts = new Uint32Array(uids.length)
    this.#references = new Float64Array(4 * uids.length + 16)
  }

  /** The keys `from` up to `to` of a batch, of which the first begins at `place`; answers where the next one begins. */
  take({ uids, keys }: MessageKeyBatch, from: number, to: number, place: number): number {
    let start = place
    for (let i = from; i < to; i++) {
      const uid = uids[i] ?? 0
      const end = keyEnd(keys, start)
      while (this.#at < this.#uids.length && (this.#uids[this.#at] ?? 0) < uid) this.#at++
      if (this.#uids[this.#at] === uid) this.#read(this.#at, keys, start, end)
      start = end + 1
    }
    return start
  }

  /** `1` or `0`, LF, the id, and each reference behind a LF. */
  #read(at: number, keys: string, begin: number, over: number): void {
    this.#replies[at] = keys.charCodeAt(begin) === ONE ? 1 : 0
    const id = begin + 2
    let end = lineEnd(keys, id, over)
    if (end > id) this.#ids[at] = hashText(keys, id, end)
    for (let start = end + 1; start < over; start = end + 1) {
      end = lineEnd(keys, start, over)
      if (this.#length === this.#references.length) this.#grow()
      this.#references[this.#length++] = hashText(keys, start, end)
      this.#counts[at] = (this.#counts[at] ?? 0) + 1
    }
  }

  #grow(): void {
    const references = new Float64Array(this.#references.length * 2)
    references.set(this.#references)
    this.#references = references
  }

  links(): Links {
    const starts = new Uint32Array(this.#uids.length + 1)
    for (let i = 0; i < this.#counts.length; i++) starts[i + 1] = (starts[i] ?? 0) + (this.#counts[i] ?? 0)
    return {
      uids: this.#uids,
      ids: this.#ids,
      replies: this.#replies,
      starts,
      references: this.#references.slice(0, this.#length),
    }
  }
}

/** Where the line ends; the last one with the key itself. */
function lineEnd(keys: string, start: number, over: number): number {
  let end = start
  while (end < over && keys.charCodeAt(end) !== LF) end++
  return end
}

function merged(uids: Uint32Array, a: Links, b: Links): Links {
  const ids = new Float64Array(uids.length)
  const replies = new Uint8Array(uids.length)
  const starts = new Uint32Array(uids.length + 1)
  const references = new Float64Array(a.references.length + b.references.length)
  const inA = indexesIn(a.uids, uids)
  const inB = indexesIn(b.uids, uids)
  let to = 0
  for (let i = 0; i < uids.length; i++) {
    const from = (inA[i] ?? -1) >= 0 ? a : b
    const index = (from === a ? inA[i] : inB[i]) ?? -1
    if (index >= 0) {
      ids[i] = from.ids[index] ?? 0
      replies[i] = from.replies[index] ?? 0
      const start = from.starts[index] ?? 0
      const end = from.starts[index + 1] ?? start
      for (let reference = start; reference < end; reference++) references[to++] = from.references[reference] ?? 0
    }
    starts[i + 1] = to
  }
  return { uids, ids, replies, starts, references: references.slice(0, to) }
}
