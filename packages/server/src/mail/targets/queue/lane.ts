// One destination at work: who is due there, how many deliveries it gets at the same time, and whether it is in trouble.

import type { Destination, DueRecipient } from './contracts.ts'
import type { Cursor } from './work-operations.ts'

export const START: Cursor = [-1, -1, -1]

/** Deliveries to a destination of which nothing is known yet (as Postfix begins); each one that works allows one more. */
const FIRST_WINDOW = 5

/** Recipients of one delivery: a hundred is what every server must take (RFC 5321 §4.5.3.1.8). */
const RECIPIENTS = 100
/**
 * Mailboxes of ours that one delivery is for, and such deliveries at the same time. Each mailbox is a commit with its sync, all of them share the disk with those whose
 * clients wait: more at the same time are not faster, but hold others up.
 */
const MAILBOXES = 4
const MAILBOX_DELIVERIES = 2

export class Lane {
  readonly destination: Destination
  /** Read and not tried yet, in the order of their times. */
  page: DueRecipient[] = []
  cursor: Cursor = START
  inFlight = 0
  window = FIRST_WINDOW
  /** In a row, of the destination itself. */
  failures = 0
  /** Changes when the page was thrown away: what was read before does not belong on it. */
  edition = 0
  /** Counts the troubles that were found: what was begun before the last one tells nothing new. */
  troubles = 0
  fetching = false
  /** Nobody is due behind the cursor. */
  end = false
  /** Somebody came who may stand before the cursor. */
  stale = false
  /** Somebody was found since the lane was opened. */
  found = false

  readonly #local: boolean

  constructor(destination: Destination) {
    this.destination = destination
    this.#local = destination.target === 'mailbox'
  }

  /** The next recipients of one mail, as many as one delivery takes. */
  take(): readonly DueRecipient[] {
    const [first] = this.page
    if (first === undefined) return []
    const most = this.#local ? MAILBOXES : RECIPIENTS
    let count = 1
    while (count < Math.min(most, this.page.length) && this.page[count]?.mail === first.mail) count++
    return this.page.splice(0, count)
  }

  /** Something can be begun now; `parallel`: most at the same time. */
  ready(parallel: number): boolean {
    return (
      this.page.length > 0 &&
      this.inFlight < Math.min(this.#local ? MAILBOX_DELIVERIES : parallel, this.failures > 0 ? 1 : this.window)
    )
  }

  /** Nothing is left to do here. */
  get idle(): boolean {
    return this.end && this.page.length === 0 && this.inFlight === 0 && !this.fetching
  }

  /** The destination works. Answers true when it did not before. */
  works(): boolean {
    const before = this.failures > 0
    this.failures = 0
    this.window = before ? FIRST_WINDOW : this.window + 1
    return before
  }

  /** The destination is in trouble: whatever is due there waits. */
  fails(failures: number): void {
    this.failures = failures
    this.troubles++
    this.window = FIRST_WINDOW
    this.page = []
    this.edition++
    this.end = true
    this.stale = false
  }

  /** Forgets what was read: somebody may have changed it. */
  forget(): void {
    this.page = []
    this.edition++
    this.rewind()
  }

  /** From the beginning again. */
  rewind(): void {
    this.cursor = START
    this.end = false
    this.stale = false
  }
}
