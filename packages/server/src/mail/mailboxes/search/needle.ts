// What a needle asks of the index. Needles and texts are folded.

import { runsOf, SPACED } from './kinds.ts'

/** Stands before and after every term; no octet of UTF-8. */
export const TERM_EDGE = 0xff

/** What to look for in the index. */
export interface Plan {
  /** Octets to find in the list of terms, with TERM_EDGE where a word must begin or end; a message must have a term for each. The most telling first. */
  readonly patterns: readonly Uint8Array[]
  /** True when the messages so found are the answer; false when each must be looked at. */
  readonly exact: boolean
}

/** Enough to tell the messages with a phrase from nearly all others. */
const MOST_PATTERNS = 6
/** A shorter piece of a word is in too many terms to tell much. */
const TELLING = 3

interface Piece {
  readonly text: string
  readonly begins: boolean
  readonly ends: boolean
}

/** How the index finds messages with `needle` in a text; undefined when it cannot tell anything. */
export function planNeedle(needle: string): Plan | undefined {
  // Half a character could match the half of another one that a term holds whole.
  if (!needle.isWellFormed()) return undefined
  const runs = runsOf(needle)
  const pieces: Piece[] = []
  for (const { start, end, kind } of runs) {
    const begins = start > 0
    const ends = end < needle.length
    const text = needle.slice(start, end)
    const characters = kind === SPACED ? [text] : [...text]
    // One of a script without spaces may stand in a pair, unless separators are on both sides of it.
    if (characters.length === 1)
      pieces.push(kind === SPACED ? { text, begins, ends } : { text, begins: begins && ends, ends: begins && ends })
    for (let i = 1; i < characters.length; i++)
      pieces.push({ text: `${characters[i - 1]}${characters[i]}`, begins: true, ends: true })
  }
  const [only, ...others] = pieces
  if (only === undefined) return undefined
  if (others.length === 0 && only.text === needle) return { patterns: [octets(only)], exact: true }
  pieces.sort((a, b) => b.text.length - a.text.length)
  const telling = pieces.filter(({ text, begins, ends }) => text.length >= TELLING || (begins && ends))
  return {
    patterns: (telling.length > 0 ? telling : pieces.slice(0, 1)).slice(0, MOST_PATTERNS).map(octets),
    exact: false,
  }
}

function octets({ text, begins, ends }: Piece): Uint8Array {
  const edge = String.fromCharCode(TERM_EDGE)
  return new Uint8Array(
    Buffer.from(`${begins ? edge : ''}${Buffer.from(text).toString('latin1')}${ends ? edge : ''}`, 'latin1'),
  )
}
