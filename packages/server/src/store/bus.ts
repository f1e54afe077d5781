// The bus of a server that is alone: what was committed reaches the listeners of this process at once.

import type { Log } from '../kernel/log.ts'
import type { Bus, Change } from './contracts.ts'

type Listener = (change: Change) => void

export class LocalBus implements Bus {
  readonly #log: Log
  readonly #topics = new Map<string, Set<Listener>>()

  constructor(log: Log) {
    this.#log = log
  }

  publish(topic: string, change: Change): void {
    const listeners = this.#topics.get(topic)
    if (listeners === undefined) return
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        this.#log.error({ err: error, topic }, 'a listener of the bus failed')
      }
    }
  }

  /** Publishes `change` on every topic. */
  broadcast(change: Change): void {
    for (const topic of this.#topics.keys()) this.publish(topic, change)
  }

  subscribe(topic: string, listener: Listener): () => void {
    let listeners = this.#topics.get(topic)
    if (listeners === undefined) this.#topics.set(topic, (listeners = new Set()))
    const mine = listeners
    const own: Listener = (change) => listener(change)
    mine.add(own)
    return () => {
      mine.delete(own)
      if (mine.size === 0 && this.#topics.get(topic) === mine) this.#topics.delete(topic)
    }
  }
}
