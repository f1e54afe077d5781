// What outlives a generation of chat, and which generation serves.

import { serviceKey } from '../../kernel/scope.ts'
import type { Core } from './core.ts'
import { Directory } from './directory.ts'

export class Life {
  readonly directory = new Directory()
  /** Stanzas that were answered with an error, by its condition. */
  readonly refused = new Map<string, number>()
  /** The generations that are up, the one that sessions use last. */
  readonly #cores: Core[] = []

  /** An error was sent. */
  refuse(condition: string): void {
    this.refused.set(condition, (this.refused.get(condition) ?? 0) + 1)
  }

  /** The generation that serves stanzas now. */
  get current(): Core | undefined {
    return this.#cores.at(-1)
  }

  enter(core: Core): void {
    // A generation that is being built stays behind the one that works.
    if (this.#cores.length === 0) this.#cores.push(core)
    else this.#cores.unshift(core)
  }

  promote(core: Core): void {
    if (this.current === core || !this.#cores.includes(core)) return
    this.leave(core)
    this.#cores.push(core)
  }

  leave(core: Core): void {
    const at = this.#cores.indexOf(core)
    if (at >= 0) this.#cores.splice(at, 1)
  }
}

export const LIFE = serviceKey<Life>('chat-life')
