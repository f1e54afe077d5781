// What IMAP sessions derive of mailboxes (sort orders, threads): shared by the sessions, bounded for the whole process.

import type { MailboxCache } from '@aviso/imap'
import { LRUCache } from 'lru-cache'

/** Values of all mailboxes; the least recently used go first. */
export class Caches {
  readonly #kept: LRUCache<string, { readonly value: unknown; readonly octets: number }>

  /** `octets`: never more than this, by what their makers say. */
  constructor(octets: number) {
    this.#kept = new LRUCache({ maxSize: octets, sizeCalculation: (kept) => kept.octets })
  }

  /** Octets held now. */
  get size(): number {
    return this.#kept.calculatedSize
  }

  of(account: string, mailbox: number): MailboxCache {
    const prefix = `${account}/${mailbox}/`
    return {
      get: (key) => this.#kept.get(prefix + key)?.value,
      set: (key, value, octets) => {
        // A value that would not fit takes its older self along.
        this.#kept.set(prefix + key, { value, octets: Math.max(1, Math.ceil(octets)) + OVERHEAD })
      },
    }
  }
}

/** Octets that keeping a value costs beside it. */
const OVERHEAD = 256
