// RFC 6203 §4: how well messages that were found match the fuzzy keys of the search.

import { FuzzyText } from './fuzzy.ts'
import type { SearchKey } from './keys.ts'
import { HeaderText } from './message-text.ts'
import type { Pace } from './pace.ts'
import type { SearchTarget } from './target.ts'

const BATCH = 256
const EMPTY = new Uint8Array(0)

/**
 * The scores of `positions`, from 1 to 100: the mean of those fuzzy keys that the message matches (see `FuzzyText.score`); 1 where it was found without
 * matching any.
 */
export async function relevancy(
  target: SearchTarget,
  positions: Uint32Array,
  key: SearchKey,
  pace: Pace,
): Promise<Uint8Array> {
  const texts = fuzzyTexts(key)
  const withBody = texts.some(({ query }) => query.kind !== 'header')
  const scores = new Uint8Array(positions.length).fill(1)
  const { mailbox, rows } = target
  for (let from = 0; from < positions.length; from += BATCH) {
    const uids = Array.from(positions.subarray(from, from + BATCH), (position) => rows.uids[position] ?? 0)
    const indexes = new Map(uids.map((uid, i) => [uid, from + i]))
    for await (const metas of mailbox.meta(uids, ['header'])) {
      for (const { uid, header } of metas) {
        const bytes = withBody ? ((await mailbox.raw(uid)) ?? EMPTY) : EMPTY
        const index = indexes.get(uid)
        if (index !== undefined) scores[index] = score(texts, new HeaderText(header ?? EMPTY), bytes)
        if (pace.winded) await pace.breathe()
      }
    }
  }
  return scores
}

function score(texts: readonly FuzzyText[], header: HeaderText, bytes: Uint8Array): number {
  const scores = texts.map((text) => text.score(header, bytes)).filter((one) => one > 0)
  if (scores.length === 0) return 1
  return Math.max(1, Math.round(scores.reduce((sum, one) => sum + one, 0) / scores.length))
}

/** The fuzzy keys that a message is to match: what stands below NOT says nothing about how well. */
function fuzzyTexts(key: SearchKey): FuzzyText[] {
  if (key.kind === 'fuzzy') return [new FuzzyText(key.query)]
  return key.kind === 'and' || key.kind === 'or' ? key.keys.flatMap((one) => fuzzyTexts(one)) : []
}
