// What became of mails: the story of each is handed to whoever keeps them.

import type { Step } from './trace.ts'

/** One mail and all decisions about it. */
export interface Story {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly pipeline: string
  readonly protocol: string
  readonly session: string
  readonly remoteAddress: string
  /** The address of the account that sent it; '' for a stranger. */
  readonly account: string
  /** '' for `<>`. */
  readonly sender: string
  readonly recipients: readonly string[]
  /** Octets; 0 when it never came to its data. */
  readonly size: number
  readonly outcome: 'accepted' | 'quarantined' | 'discarded' | 'deferred' | 'rejected' | 'abandoned' | 'simulated'
  readonly steps: readonly Step[]
}

/** Takes stories. Never throws, and never makes a mail wait: what is lost of it in a crash is history, not mail. */
export interface StoryWriter {
  tell(story: Story): void
  /** More of a mail that was told of before: what became of it in the queue. */
  more(id: string, steps: readonly Step[]): void
}
