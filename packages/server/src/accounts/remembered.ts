// Passwords that were right a moment ago are not hashed again: mail clients open several connections and log in on each.

import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { Random } from '../kernel/random.ts'
import { RecentMap } from './recent.ts'

/** Recent successes, by account id. Holds HMACs under a key that never leaves this process, no passwords. */
export class RememberedLogins {
  readonly #key: KeyObject
  readonly #digests: RecentMap<string, Buffer>
  #round = 0

  constructor(random: Random, most: number) {
    this.#key = createSecretKey(random.bytes(32))
    this.#digests = new RecentMap(most)
  }

  /** To be taken before the credentials are read, and given back to `remember`: what changed in between is then not remembered wrongly. */
  ticket(): number {
    return this.#round
  }

  remember(account: string, password: string, ticket: number): void {
    if (ticket === this.#round) this.#digests.set(account, this.#digest(account, password))
  }

  knows(account: string, password: string): boolean {
    const digest = this.#digests.get(account)
    return digest !== undefined && timingSafeEqual(digest, this.#digest(account, password))
  }

  /** The account's password is another now, or nobody may use it. */
  forget(account: string): void {
    this.#round++
    this.#digests.delete(account)
  }

  #digest(account: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${account}\0${password}`).digest()
  }
}
