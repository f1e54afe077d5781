// Results one by one, at the pace of who takes them.

import { ImapClientError } from './errors.ts'

/** Results, and octets, that may wait before the source is asked to stop for a while. */
const HIGH = { results: 64, octets: 1_048_576 }

export interface ResultSource {
  /** Sends the command; called when the first result is asked for. */
  start(): Promise<unknown>
  hold(): void
  release(): void
  /** Octets that may wait when the source cannot stop because others use the connection. */
  readonly limit: number
}

/**
 * The results of one command, as `for await` takes them. Leaving the loop early costs the connection nothing: what still comes is read and dropped.
 * Asking something else inside the loop works too: what comes in the meantime waits in memory, up to a limit (then `next` rejects with LIMIT).
 */
export class ResultStream<T> implements AsyncIterableIterator<T> {
  readonly #source: ResultSource
  #queue: { readonly value: T; readonly octets: number }[] = []
  #octets = 0
  #started = false
  #over = false
  #error: unknown
  #wake: (() => void) | undefined

  constructor(source: ResultSource) {
    this.#source = source
  }

  /** `octets`: what it weighs in memory. */
  push(value: T, octets: number): void {
    if (this.#over) return
    this.#queue.push({ value, octets })
    this.#octets += octets
    this.#wake?.()
    if (this.#octets > this.#source.limit) {
      this.#queue = []
      this.fail(new ImapClientError('LIMIT', `More than ${this.#source.limit} octets of results wait to be taken`))
    } else if (this.#full) this.#source.hold()
  }

  get #full(): boolean {
    return this.#queue.length >= HIGH.results || this.#octets >= HIGH.octets
  }

  end(): void {
    this.#over = true
    this.#wake?.()
  }

  fail(error: unknown): void {
    if (this.#over) return
    this.#error = error
    this.end()
    this.#source.release()
  }

  /** Sends the command without waiting for the first result to be asked for. */
  start(): void {
    if (this.#started) return
    this.#started = true
    this.#source.start().then(
      () => this.end(),
      (error: unknown) => this.fail(error),
    )
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (!this.#over) this.start()
    for (;;) {
      const first = this.#queue.shift()
      if (first !== undefined) {
        this.#octets -= first.octets
        if (!this.#full) this.#source.release()
        return { done: false, value: first.value }
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#over) return { done: true, value: undefined }
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#queue = []
    this.#error = undefined
    this.end()
    this.#source.release()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
