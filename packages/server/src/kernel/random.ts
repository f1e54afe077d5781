// Randomness, handed in: a test makes it repeat.

import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(length: number): Buffer
}

/** Taken from the system at once: each time costs more than the octets. */
const PORTION = 4096
/** Who wants more has it made for himself. */
const SMALL = 128

/** Random octets of the system. What was given out is not kept, and never given a second time. */
class SystemRandom implements Random {
  #portion: Buffer = Buffer.alloc(0)
  #used = 0

  bytes(length: number): Buffer {
    if (length > SMALL) return randomBytes(length)
    if (this.#used + length > this.#portion.length) {
      this.#portion = randomBytes(PORTION)
      this.#used = 0
    }
    const from = this.#used
    this.#used += length
    // A copy: whoever keeps it would otherwise keep the whole portion.
    const bytes = Buffer.from(this.#portion.subarray(from, this.#used))
    this.#portion.fill(0, from, this.#used)
    return bytes
  }
}

export const systemRandom: Random = new SystemRandom()

const BASE32 = 'abcdefghijkmnpqrstuvwxyz23456789'

/** A random word of `length` letters and digits (5 bits each) without the look-alikes 0, o, 1 and l: readable aloud, safe in file names and XML ids. */
export function randomWord(random: Random, length: number): string {
  let word = ''
  for (const byte of random.bytes(length)) word += BASE32[byte & 31]
  return word
}

/** Random bytes that repeat for the same seed (xorshift): for tests only. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed = 1) {
    this.#state = seed | 1
  }

  bytes(length: number): Buffer {
    const out = Buffer.alloc(length)
    for (let i = 0; i < length; i++) {
      this.#state ^= this.#state << 13
      this.#state ^= this.#state >>> 17
      this.#state ^= this.#state << 5
      out[i] = this.#state & 0xff
    }
    return out
  }
}
