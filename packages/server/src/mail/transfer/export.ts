// Writing mailboxes to files: what both forms have in common.

import type { MailboxLine, MessageLine } from '../administration.ts'
import type { Progress } from './import.ts'

/** Where messages come from. */
export interface ExportSource {
  /** The messages of a mailbox with UIDs above `after`, ascending, some at a time. */
  lines(mailbox: string, after: number): AsyncIterable<readonly MessageLine[]>
  /** These messages with their octets; those that have gone meanwhile are passed over. */
  messages(
    mailbox: string,
    lines: readonly MessageLine[],
  ): AsyncIterable<{ readonly line: MessageLine; readonly bytes: Uint8Array }>
}

export interface ExportOptions {
  /** A folder; made when it is missing. */
  readonly target: string
  readonly mailboxes: readonly MailboxLine[]
  readonly source: ExportSource
  progress(progress: Progress): void
  /** Told of what could not be written as it is. */
  problem(problem: { readonly mailbox: string; readonly reason: string }): void
}

export interface ExportedMailbox {
  readonly mailbox: string
  readonly path: string
  /** Messages written now. */
  written: number
  /** Messages that an earlier export has written. */
  skipped: number
}

export interface ExportReport {
  readonly mailboxes: readonly ExportedMailbox[]
  readonly written: number
  readonly skipped: number
  readonly failed: number
  /** Of what was written. */
  readonly octets: number
}

/** The target cannot be used: the message says why. */
export class ExportError extends Error {
  readonly code = 'exists'
}

/** How far an export is, by the sizes of the messages that it has dealt with. */
export class Tally {
  readonly #total: number
  readonly #options: ExportOptions
  readonly #mailboxes: ExportedMailbox[] = []
  #dealt = 0
  #octets = 0
  #failed = 0

  constructor(options: ExportOptions) {
    this.#options = options
    this.#total = options.mailboxes.reduce((sum, { size }) => sum + size, 0)
  }

  begin(mailbox: string, path: string): ExportedMailbox {
    const entry = { mailbox, path, written: 0, skipped: 0 }
    this.#mailboxes.push(entry)
    return entry
  }

  written(entry: ExportedMailbox, line: MessageLine): void {
    entry.written++
    this.#octets += line.size
    this.#step(line.size)
  }

  skipped(entry: ExportedMailbox, size: number, messages = 1): void {
    entry.skipped += messages
    this.#step(size)
  }

  failed(mailbox: string, reason: string): void {
    this.#failed++
    this.#options.problem({ mailbox, reason })
  }

  report(): ExportReport {
    const sum = (of: 'written' | 'skipped'): number => this.#mailboxes.reduce((all, one) => all + one[of], 0)
    return {
      mailboxes: this.#mailboxes,
      written: sum('written'),
      skipped: sum('skipped'),
      failed: this.#failed,
      octets: this.#octets,
    }
  }

  #step(size: number): void {
    this.#dealt += size
    this.#options.progress({
      messages: this.#mailboxes.reduce((all, one) => all + one.written, 0),
      octets: this.#octets,
      done: this.#total === 0 ? 1 : Math.min(1, this.#dealt / this.#total),
    })
  }
}
