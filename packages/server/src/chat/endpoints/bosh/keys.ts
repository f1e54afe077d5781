// XEP-0124 §15: keys that each follow from the next, so that nobody who has seen a request can make one

import { createHash } from 'node:crypto'
import type { BoshRequest } from './body.ts'

const hash = (key: string): string => createHash('sha1').update(key).digest('hex')

/** The keys of one session. */
export class KeySequence {
  /** What the next key is hashed to; undefined: the client does without keys. */
  #expected: string | undefined

  constructor({ newKey }: BoshRequest) {
    this.#expected = newKey?.toLowerCase()
  }

  /** Takes the key of the next request in order; false: it is not the client's. */
  take({ key, newKey }: BoshRequest): boolean {
    if (this.#expected === undefined) return true
    if (key === undefined || hash(key) !== this.#expected) return false
    this.#expected = (newKey ?? key).toLowerCase()
    return true
  }
}
