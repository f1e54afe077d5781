// XEP-0474 0.4: what a server announced, as SCRAM signs it, so that a change on the way is seen.

import { digest } from './mechanisms/scram-keys.ts'
import type { ScramHash } from './contract.ts'

/** What a client chooses from. */
export interface Announcement {
  /** All mechanisms of the list that the client uses, in any order. */
  readonly mechanisms: readonly string[]
  /** The types of channel binding (XEP-0440); undefined where none were announced. */
  readonly bindings: readonly string[] | undefined
}

const octetwise = (texts: readonly string[]): string =>
  texts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).join('\x1e')

/** The value of the attribute `h` (§5.1): the lists, hashed with the hash of the SCRAM mechanism, in base64. */
export function announcementHash(hash: ScramHash, { mechanisms, bindings }: Announcement): string {
  const text = octetwise(mechanisms) + (bindings === undefined ? '' : `\x1f${octetwise(bindings)}`)
  return digest(hash, Buffer.from(text)).toString('base64')
}
