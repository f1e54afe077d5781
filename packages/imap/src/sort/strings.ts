// Sorting many texts without holding up anybody: short runs by the engine's own sort, merged in slices.

import type { Pace } from '../search/pace.ts'

/** Texts sorted in one go: about a millisecond's work. */
const RUN = 1024

/**
 * A text in the form whose code units sort as i;unicode-casemap (RFC 5051) does: decomposed, and in capitals, so that `_` comes behind letters.
 * Equal keys of `messageKeys` stay equal.
 */
export const collated = (key: string): string => (ASCII.test(key) ? key : key.normalize('NFKD')).toUpperCase()

const ASCII = /^[\0-\x7f]*$/

/** The indexes of `texts` in the order of their code units; of equal texts, the first comes first. */
export async function sortedIndexes(texts: readonly string[], pace: Pace): Promise<Uint32Array> {
  const compare = (a: number, b: number): number => {
    const left = texts[a] ?? ''
    const right = texts[b] ?? ''
    return left < right ? -1 : left > right ? 1 : a - b
  }
  let from = new Uint32Array(texts.length)
  for (let start = 0; start < texts.length; start += RUN) {
    const end = Math.min(texts.length, start + RUN)
    for (let i = start; i < end; i++) from[i] = i
    from.subarray(start, end).sort(compare)
    if (pace.winded) await pace.breathe()
  }
  let to = new Uint32Array(texts.length)
  for (let width = RUN; width < texts.length; width *= 2) {
    for (let start = 0; start < texts.length; start += 2 * width) {
      const middle = Math.min(texts.length, start + width)
      const end = Math.min(texts.length, middle + width)
      let left = start
      let right = middle
      for (let out = start; out < end; out++) {
        const takeLeft = right >= end || (left < middle && compare(from[left] ?? 0, from[right] ?? 0) < 0)
        to[out] = (takeLeft ? from[left++] : from[right++]) ?? 0
        if ((out & 1023) === 1023 && pace.winded) await pace.breathe()
      }
    }
    ;[from, to] = [to, from]
  }
  return from
}
