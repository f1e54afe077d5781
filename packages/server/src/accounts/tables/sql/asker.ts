// The asking side of SQL tables: questions to a thread, each answered within its time.

import { Worker } from 'node:worker_threads'
import type { Timer } from '../../../kernel/clock.ts'
import type { Scope } from '../../../kernel/scope.ts'
import type { Table } from '../contracts.ts'
import type { SqlAnswer, SqlQuestion, SqlSetting } from './protocol.ts'

/** Questions that may wait for one database. */
const MAX_WAITING = 1000

/** Milliseconds that closing waits for the thread. */
const CLOSING = 2000

interface Waiting {
  readonly resolve: (values: readonly string[]) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

/**
 * A table whose look-ups run in a thread of its own until `scope` closes. A thread that died is replaced at the next question. One that hangs in a query cannot be
 * ended, as SQLite does not let itself be interrupted here: it gets no second one beside it, and all look-ups fail until its query is done.
 */
export function sqlTable(scope: Scope, setting: SqlSetting, timeout: number): Table {
  const asker = new SqlAsker(scope, setting, timeout)
  scope.defer(() => asker.close())
  // Mistakes are seen at the start, yet a database that is away for a while keeps no server from starting.
  asker.open().catch((error: unknown) => {
    if (!scope.signal.aborted)
      scope.log.error({ err: error, path: setting.path }, 'the database of a table cannot be opened')
  })
  return asker
}

class SqlAsker implements Table {
  readonly #scope: Scope
  readonly #setting: SqlSetting
  readonly #timeout: number
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  /** Given up, and not yet gone. */
  #stuck: Worker | undefined
  #asked = 0
  #closed = false

  constructor(scope: Scope, setting: SqlSetting, timeout: number) {
    this.#scope = scope
    this.#setting = setting
    this.#timeout = timeout
  }

  lookup(key: string): Promise<readonly string[]> {
    return this.#ask(key)
  }

  /** Opens the database. */
  async open(): Promise<void> {
    await this.#ask(undefined)
  }

  #ask(key: string | undefined): Promise<readonly string[]> {
    if (this.#closed) return Promise.reject(new Error('the table is closed'))
    if (this.#stuck !== undefined)
      return Promise.reject(new Error('the database of the table still works on a query that was given up'))
    if (this.#waiting.size >= MAX_WAITING)
      return Promise.reject(new Error(`${MAX_WAITING} look-ups wait for the database of this table already`))
    const question: SqlQuestion = { id: ++this.#asked, key }
    return new Promise((resolve, reject) => {
      const timer = this.#scope.clock.timeout(this.#timeout, () =>
        this.#lose(new Error(`the database did not answer within ${this.#timeout / 1000} s`)),
      )
      this.#waiting.set(question.id, { resolve, reject, timer })
      this.#thread().postMessage(question)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#lose(new Error('the table was closed'))
    if (this.#stuck === undefined) return
    // Milliseconds, unless it hangs.
    await Promise.race([
      this.#stuck.terminate(),
      new Promise((resolve) => this.#scope.clock.timeout(CLOSING, () => resolve(undefined))),
    ])
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(threadEntry(), { workerData: this.#setting })
    this.#worker = worker
    worker.on('message', (answer: SqlAnswer) => this.#answered(answer))
    const gone = (error: Error): void => {
      if (this.#worker === worker) this.#lose(error)
    }
    worker.on('error', (error) => gone(error instanceof Error ? error : new Error(String(error))))
    worker.on('exit', () => gone(new Error('the thread of the table ended')))
    worker.unref()
    return worker
  }

  #answered({ id, values, error }: SqlAnswer): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    waiting.timer.cancel()
    if (values === undefined) waiting.reject(new Error(`the database of the table: ${error ?? 'no answer'}`))
    else waiting.resolve(values)
  }

  /** Gives up the thread and all that wait for it. */
  #lose(error: Error): void {
    const worker = this.#worker
    this.#worker = undefined
    if (worker !== undefined) {
      this.#stuck = worker
      worker.once('exit', () => (this.#stuck = undefined))
      void worker.terminate()
    }
    for (const { reject, timer } of this.#waiting.values()) {
      timer.cancel()
      reject(error)
    }
    this.#waiting.clear()
  }
}

/** In the sources a file two folders up, in a release build a file beside the bundle. */
const threadEntry = (): URL =>
  import.meta.url.endsWith('.ts')
    ? new URL('../../../table-worker.ts', import.meta.url)
    : new URL('./table-worker.js', import.meta.url)
