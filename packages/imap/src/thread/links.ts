// RFC 5256 §3: what messages say of each other (Message-ID, References), as numbers, remembered in the mailbox's cache. They never change, so only new messages are read.

import type { Mailbox } from '../backend.ts'
import type { Pace } from '../search/pace.ts'
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
  const ids = new Float64Array(uids.length)
  const replies = new Uint8Array(uids.length)
  const starts = new Uint32Array(uids.length + 1)
  const counts = new Uint32Array(uids.length)
  const references: number[] = []
  let at = 0
  for await (const batch of mailbox.keys(uids, 'threading')) {
    for (let i = 0; i < batch.uids.length; i++) {
      const uid = batch.uids[i] ?? 0
      while ((uids[at] ?? Infinity) < uid) at++
      if (uids[at] !== uid) continue
      const [reply, id = '', ...others] = (batch.keys[i] ?? '').split('\n')
      replies[at] = reply === '1' ? 1 : 0
      if (id !== '') ids[at] = hashText(id)
      for (const other of others) references.push(hashText(other))
      counts[at] = others.length
      if ((i & 255) === 255 && pace.winded) await pace.breathe()
    }
    if (pace.winded) await pace.breathe()
  }
  for (let i = 0; i < counts.length; i++) starts[i + 1] = (starts[i] ?? 0) + (counts[i] ?? 0)
  return { uids: Uint32Array.from(uids), ids, replies, starts, references: Float64Array.from(references) }
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
