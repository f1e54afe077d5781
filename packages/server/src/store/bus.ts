// The bus of a server that is alone: what was committed reaches the listeners of this process at once.

import type { Log } from '../kernel/log.ts'
import { accountTopic, type Bus, type Change } from './contracts.ts'

type Listener = (change: Change) => void

const ACCOUNTS = accountTopic('')

export class LocalBus implements Bus {
  readonly #log: Log
  readonly #topics = new Map<string, Set<Listener>>()
  readonly #accounts = new Set<(account: string, change: Change) => void>()

  constructor(log: Log) {
    this.#log = log
  }

  publish(topic: string, change: Change): void {
    for (const listener of this.#topics.get(topic) ?? []) this.#tell(topic, () => listener(change))
    if (this.#accounts.size === 0 || !topic.startsWith(ACCOUNTS)) return
    const account = topic.slice(ACCOUNTS.length)
    for (const listener of this.#accounts) this.#tell(topic, () => listener(account, change))
  }

  #tell(topic: string, tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#log.error({ err: error, topic }, 'a listener of the bus failed')
    }
  }

  subscribeAccounts(listener: (account: string, change: Change) => void): () => void {
    const own = (account: string, change: Change): void => listener(account, change)
    this.#accounts.add(own)
    return () => void this.#accounts.delete(own)
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
