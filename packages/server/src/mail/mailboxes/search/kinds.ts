// Kinds of characters. Any run of one kind in a needle lies within one run of that kind in a text: that is all that the index rests on.

export const SEPARATOR = 1
/** Letters, digits and marks of scripts that put spaces between words: a run of them is a term. */
export const SPACED = 2
/** Letters of scripts without spaces, and symbols such as emoji: any two neighbours are a term, one that stands alone is a term. */
export const UNSPACED = 3

const WORD = /[\p{L}\p{N}\p{M}]/u
const SCRIPTS_WITHOUT_SPACES =
  /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Tibt}\p{scx=Yiii}\p{scx=Talu}\p{scx=Tale}\p{scx=Lana}\p{scx=Tavt}\p{scx=Java}\p{scx=Bali}]/u
const SYMBOL = /\p{S}/u

function look(character: string): number {
  if (WORD.test(character)) return SCRIPTS_WITHOUT_SPACES.test(character) ? UNSPACED : SPACED
  return character > '\x7f' && SYMBOL.test(character) ? UNSPACED : SEPARATOR
}

/** Kinds of UTF-16 units, as they were met; 0: not looked at yet. */
const UNITS = new Uint8Array(0x10000)

/** The kind of a character by its code point. A lone surrogate is a separator. */
export function kindOf(code: number): number {
  if (code > 0xffff) return look(String.fromCodePoint(code))
  const known = UNITS[code] ?? 0
  if (known !== 0) return known
  const kind = code >= 0xd800 && code <= 0xdfff ? SEPARATOR : look(String.fromCharCode(code))
  UNITS[code] = kind
  return kind
}

/** A stretch of characters of one kind, no separators. */
export interface Run {
  readonly start: number
  readonly end: number
  readonly kind: typeof SPACED | typeof UNSPACED
}

/** The runs of `text`. */
export function runsOf(text: string): Run[] {
  const runs: Run[] = []
  let start = 0
  let running = SEPARATOR
  const end = (at: number): void => {
    if (running === SPACED || running === UNSPACED) runs.push({ start, end: at, kind: running })
    start = at
  }
  let at = 0
  for (const character of text) {
    const kind = kindOf(character.codePointAt(0) ?? 0)
    if (kind !== running) {
      end(at)
      running = kind
    }
    at += character.length
  }
  end(text.length)
  return runs
}
