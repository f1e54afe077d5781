// Randomness, handed in: a test makes it repeat.

import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(length: number): Buffer
}

export const systemRandom: Random = { bytes: (length) => randomBytes(length) }

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
