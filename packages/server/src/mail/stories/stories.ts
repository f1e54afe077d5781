// Keeps the stories of mails for a while: `aviso mail explain`.

import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Calls, Store } from '../../store/contracts.ts'
import type { Story, StoryWriter } from '../pipeline/stories.ts'
import type { Step } from '../pipeline/trace.ts'
import { STORIES, storyStore, type Written } from './store.ts'

/** Milliseconds that stories are gathered before they are written. */
const GATHER = 1_000
/** Stories in memory beyond which the oldest are lost: the disk does not keep up, and mail goes first. */
const MOST = 20_000
/** Written in one transaction. */
const BATCH = 500
/** Milliseconds between two rounds of forgetting. */
const FORGET_EVERY = 3_600_000

/** The stories of the server, told and read. */
export interface Stories extends StoryWriter {
  /** Writes what was gathered. */
  settle(): Promise<void>
  byId(id: string): Promise<Story | undefined>
  /** The newest first. */
  byAddress(address: string, limit: number): Promise<readonly Story[]>
}

export const Stories = serviceKey<Stories>('mail-stories')

/** Opens the stories until `scope` closes; what was gathered is written then. `keep`: milliseconds that a story is kept; 0 keeps none. */
export function openStories(scope: Scope, store: Store, keep: number): Stories {
  const stories = new KeptStories(scope, store.service(storyStore, STORIES), keep)
  scope.interval(GATHER, () => stories.settle())
  scope.interval(FORGET_EVERY, () => stories.forget())
  scope.defer(() => stories.settle())
  return stories
}

class KeptStories implements Stories {
  readonly #scope: Scope
  readonly #calls: Calls<typeof storyStore.operations>
  readonly #keep: number
  #told: Story[] = []
  #more: { readonly id: string; readonly steps: readonly Step[] }[] = []
  #writing: Promise<void> = Promise.resolve()

  constructor(scope: Scope, calls: Calls<typeof storyStore.operations>, keep: number) {
    this.#scope = scope
    this.#calls = calls
    this.#keep = keep
  }

  tell(story: Story): void {
    if (this.#keep === 0) return
    if (this.#told.length >= MOST) this.#told.splice(0, MOST / 2)
    this.#told.push(story)
  }

  more(id: string, steps: readonly Step[]): void {
    if (this.#keep === 0) return
    if (this.#more.length >= MOST) this.#more.splice(0, MOST / 2)
    this.#more.push({ id, steps })
  }

  settle(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write())
    return this.#writing
  }

  async byId(id: string): Promise<Story | undefined> {
    await this.settle()
    return this.#calls.byId({ id })
  }

  async byAddress(address: string, limit: number): Promise<readonly Story[]> {
    await this.settle()
    return this.#calls.byAddress({ address, limit })
  }

  async forget(): Promise<void> {
    const before = this.#scope.clock.now() - this.#keep
    while (!this.#scope.signal.aborted && (await this.#calls.forget({ before })));
  }

  async #write(): Promise<void> {
    while (this.#told.length + this.#more.length > 0) {
      const told = this.#told.splice(0, BATCH)
      // What goes on with a mail comes behind the mail itself.
      const more = this.#told.length === 0 ? this.#more.splice(0, BATCH) : []
      try {
        await this.#calls.tell({ json: JSON.stringify({ told, more } satisfies Written) })
      } catch (error) {
        this.#scope.log.warn({ err: error, stories: told.length }, 'stories of mails could not be written')
        return
      }
    }
  }
}
