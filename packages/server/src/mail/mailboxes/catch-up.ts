// Brings the accounts in use up to the newest edition of the renderer, while nobody waits for it.

import type { Scope } from '../../kernel/scope.ts'
import { answered } from './answers.ts'
import type { Source } from './pieces.ts'

/** Renders emails that an older Aviso rendered: these, or without `emails` some of the oldest. True when more are left. */
export async function renderStale(source: Source, emails?: readonly number[]): Promise<boolean> {
  const { calls, blobs } = source
  for (let wanted = emails; ;) {
    const { large, rest, more } = await answered(calls.catchUp({ emails: wanted }))
    for (const { email, blob } of large) {
      const bytes = await answered(blobs.get(blob))
      const rendered = bytes === undefined ? undefined : (await answered(calls.prerender({ bytes }))).rendered
      await answered(calls.rendered({ email, rendered }))
    }
    if (emails === undefined || rest.length === 0) return more
    wanted = rest
  }
}

/** How long after it was first used an account's turn comes; milliseconds. */
const FIRST = 2000
/** Between two turns: the store does other things meanwhile. */
const PAUSE = 100

/** Works through accounts one after the other, one small step at a time. */
export class CatchUp {
  readonly #scope: Scope
  readonly #source: (account: string) => Source
  /** Accounts that were seen in this process: a second look is not needed. */
  readonly #seen = new Set<string>()
  readonly #waiting = new Set<string>()
  #running = false

  constructor(scope: Scope, source: (account: string) => Source) {
    this.#scope = scope
    this.#source = source
  }

  /** Says that the account is in use. */
  see(account: string): void {
    if (this.#seen.has(account) || this.#scope.signal.aborted) return
    this.#seen.add(account)
    this.#waiting.add(account)
    if (this.#running) return
    this.#running = true
    this.#scope.timeout(FIRST, () => this.#turn())
  }

  forget(account: string): void {
    this.#seen.delete(account)
    this.#waiting.delete(account)
  }

  async #turn(): Promise<void> {
    for (const account of this.#waiting) {
      try {
        if (!(await renderStale(this.#source(account)))) this.#waiting.delete(account)
      } catch (error) {
        this.#waiting.delete(account)
        this.#scope.log.warn({ err: error, account }, 'rendering the mail of an older version failed')
      }
      if (this.#scope.signal.aborted) return
    }
    if (this.#waiting.size === 0) this.#running = false
    else this.#scope.timeout(PAUSE, () => this.#turn())
  }
}
