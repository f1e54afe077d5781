// For tests: hostile octets without end, and the same again when they found something.

/** Small and the same everywhere (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** An integer from 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let value = this.#state
    value = Math.imul(value ^ (value >>> 15), value | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 4294967296) * below)
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0
  }

  /** One of them. */
  pick<T>(list: readonly [T, ...T[]] | readonly T[]): T {
    const one = list[this.below(list.length)]
    if (one === undefined) throw new Error('nothing to pick from')
    return one
  }
}

/** Octets that parsers stumble over. */
const NASTY = [0, 9, 10, 13, 32, 34, 40, 41, 42, 43, 45, 46, 48, 57, 58, 59, 61, 92, 123, 125, 126, 127, 128, 255]

/** `octets` with a few changes: bits turned, octets put in or taken out, runs said twice or moved, the end cut off. */
export function mutate(octets: Uint8Array, random: Random): Uint8Array {
  let out = Buffer.from(octets)
  for (let changes = 1 + random.below(6); changes > 0; changes--) {
    const at = random.below(out.length + 1)
    const length = random.once(4) ? random.below(200) : random.below(12)
    const [before, run, after] = [out.subarray(0, at), out.subarray(at, at + length), out.subarray(at + length)]
    switch (random.below(8)) {
      case 0:
        out = Buffer.concat([before, Buffer.of(random.pick(NASTY)), out.subarray(at)])
        break
      case 1:
        out = Buffer.concat([before, after])
        break
      case 2:
        out = Buffer.concat([before, run, run, after])
        break
      case 3:
        if (at < out.length) out[at] = (out[at] ?? 0) ^ (1 << random.below(8))
        break
      case 4:
        if (at < out.length) out[at] = random.pick(NASTY)
        break
      case 5:
        out = Buffer.concat([before, after.subarray(0, 20), run, after.subarray(20)])
        break
      case 6:
        out = Buffer.concat([before, Buffer.alloc(length, random.pick(NASTY)), out.subarray(at)])
        break
      default:
        if (random.once(5)) out = Buffer.from(before)
    }
  }
  return out
}

/** The octets in pieces. */
export function cut(octets: Uint8Array, random: Random): Uint8Array[] {
  if (random.once(4)) return [octets]
  const longest = random.pick([1, 2, 7, 50, 1000])
  const pieces: Uint8Array[] = []
  for (let at = 0; at < octets.length;) {
    const end = at + 1 + random.below(longest)
    pieces.push(octets.subarray(at, end))
    at = end
  }
  return pieces
}

/**
 * Calls `round` with other randomness again and again: for a moment (`seconds`), or as many seconds as AVISO_FUZZ_SECONDS says. What a round throws is thrown on with
 * the seed that repeats it: AVISO_FUZZ_SEED runs that one round. Answers how many rounds there were.
 */
export async function fuzz(
  test: { diagnostic(message: string): void },
  round: (random: Random) => Promise<void> | void,
  seconds = 0.8,
): Promise<number> {
  const only = process.env['AVISO_FUZZ_SEED']
  const first = only === undefined ? Math.floor(Math.random() * 0x100000000) : Number(only)
  const until = performance.now() + Number(process.env['AVISO_FUZZ_SECONDS'] ?? seconds) * 1000
  let rounds = 0
  for (;;) {
    const seed = (first + rounds) >>> 0
    try {
      await round(new Random(seed))
    } catch (error) {
      throw new Error(`found something: AVISO_FUZZ_SEED=${seed} repeats it`, { cause: error })
    }
    rounds++
    if (only !== undefined || performance.now() >= until) break
  }
  test.diagnostic(`seed ${first}, ${rounds} rounds`)
  return rounds
}
