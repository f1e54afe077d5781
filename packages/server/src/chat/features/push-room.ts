// What the administrators' door asks of the feature `push`

import type { Account } from '../../accounts/contracts.ts'
import { serviceKey } from '../../kernel/scope.ts'
import type { Registration } from './push.store.ts'

/** What an app server made of a notification. `failed`: it could not be asked, or says that this may pass. */
export interface PushAnswer {
  readonly outcome: 'published' | 'refused' | 'failed'
  /** What it said, where it did not publish. */
  readonly why?: string
}

/** The feature, as far as others need it. */
export interface PushWork {
  /** Sends a notification of the server's own, and waits for the answer. The registration stays whatever that is. */
  test(account: Account, registration: Registration): Promise<PushAnswer>
  /** The account's registrations were changed to these. */
  know(account: Account, registrations: readonly Registration[]): void
}

/** The place where the feature is found. */
export class PushRoom {
  readonly #entries = new Set<{ readonly work: PushWork; covers(domain: string): boolean }>()

  /** What works for the accounts of a domain; undefined where the feature is switched off. */
  of(domain: string): PushWork | undefined {
    for (const { work, covers } of this.#entries) if (covers(domain)) return work
    return undefined
  }

  /** Answers the way to leave again. */
  enter(work: PushWork, covers: (domain: string) => boolean): () => void {
    const entry = { work, covers }
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }
}

export const pushRoom = serviceKey<PushRoom>('chat-push')
