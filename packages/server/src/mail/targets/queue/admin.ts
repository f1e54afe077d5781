// What an administrator does with the queue: for the command line and the web.

import { randomWord, type Random } from '../../../kernel/random.ts'
import type { Store } from '../../../store/contracts.ts'
import type { Place, QueueFilter, QueueLine } from './list-operations.ts'
import { QUEUE, spoolStore } from './store.ts'

export type { QueueFilter, QueueLine } from './list-operations.ts'

export type QueueAction = 'retry' | 'hold' | 'release' | 'delete'

export interface QueueFigures {
  readonly mails: number
  readonly recipients: number
  readonly held: number
  /** When the oldest came, milliseconds since the epoch. */
  readonly oldest: number | undefined
  readonly targets: readonly {
    readonly target: string
    readonly recipients: number
    readonly destinations: number
    /** Destinations that are known to be down. */
    readonly down: number
  }[]
}

export interface QueueAdmin {
  /** The first recipients that fit, the longest in the queue first. */
  list(filter: QueueFilter, limit: number): Promise<readonly QueueLine[]>
  /**
   * Does something to all recipients that fit; answers to how many. `retry`: they are tried now, known to be down or not. `hold`: nothing happens to them until
   * `release`. `delete`: they get no mail; with `tell` their sender is told so.
   */
  change(action: QueueAction, filter: QueueFilter, tell: boolean): Promise<number>
  figures(): Promise<QueueFigures>
}

const BEGIN: Place = [-1, -1]

/** `refresh` is called when somebody is due whom nobody expected. */
export function createQueueAdmin(store: Store, random: Random, refresh: () => void): QueueAdmin {
  const calls = store.service(spoolStore, QUEUE)
  return {
    async list(filter, limit) {
      const lines: QueueLine[] = []
      for (let after: Place | undefined = BEGIN; after !== undefined && lines.length < limit;) {
        const page: Awaited<ReturnType<typeof calls.list>> = await calls.list({ filter, after, limit: 1000 })
        lines.push(...page.lines)
        after = page.next
      }
      return lines.slice(0, limit)
    },

    async change(action, filter, tell) {
      let changed = 0
      const name = randomWord(random, 12)
      for (let after: Place | undefined = BEGIN; after !== undefined;) {
        const done: Awaited<ReturnType<typeof calls.change>> = await calls.change({
          action,
          filter,
          after,
          ...(tell ? { tell: name } : {}),
        })
        changed += done.changed
        after = done.next
      }
      if (changed > 0) refresh()
      return changed
    },

    figures: () => calls.figures(),
  }
}
