// Places where features may have their say. A place is a typed object, not a name: who asks and who answers meet at the compiler.

import type { Log } from '../../kernel/log.ts'
import { type Domains, isFor } from './domains.ts'

/** Higher ones run first; those of the same priority in the order of their registration. 0 is the middle. */
export type Priority = number

/** The side of the features: the first answer other than undefined wins, and nobody further is asked. */
export interface AnswerHook<Event, Answer> {
  on(handler: (event: Event) => Answer | undefined, priority?: Priority): void
}

/** The side of the features: everybody is told. What one of them throws is logged and keeps nobody else from hearing. */
export interface TellHook<Event> {
  on(handler: (event: Event) => void, priority?: Priority): void
}

interface Entry<Handler> {
  readonly handler: Handler
  readonly priority: Priority
}

/** Handlers in the order in which they run; the array is made anew at each change, so that a running loop is not disturbed. */
class Handlers<Handler> {
  #entries: readonly Entry<Handler>[] = []
  list: readonly Handler[] = []
  changes = 0

  /** Adds a handler; returns the way to take it off. */
  add(handler: Handler, priority: Priority): () => void {
    const entry = { handler, priority }
    this.#set([...this.#entries, entry].sort((a, b) => b.priority - a.priority))
    return () => this.#set(this.#entries.filter((other) => other !== entry))
  }

  #set(entries: readonly Entry<Handler>[]): void {
    this.#entries = entries
    this.list = entries.map((entry) => entry.handler)
    this.changes++
  }
}

/** The side of the core of an `AnswerHook`. */
export class AnswerPoint<Event, Answer> {
  readonly #handlers = new Handlers<(event: Event) => Answer | undefined>()

  /** True when nobody would answer: then the event need not be made. */
  get empty(): boolean {
    return this.#handlers.list.length === 0
  }

  /** Grows with each handler that comes or goes. */
  get changes(): number {
    return this.#handlers.changes
  }

  /** The first answer; undefined when nobody has one. A handler's throw passes through. */
  ask(event: Event): Answer | undefined {
    for (const handler of this.#handlers.list) {
      const answer = handler(event)
      if (answer !== undefined) return answer
    }
    return undefined
  }

  add(handler: (event: Event) => Answer | undefined, priority: Priority = 0): () => void {
    return this.#handlers.add(handler, priority)
  }
}

/** The side of the core of a `TellHook`. */
export class TellPoint<Event> {
  readonly #handlers = new Handlers<(event: Event) => void>()
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  get empty(): boolean {
    return this.#handlers.list.length === 0
  }

  tell(event: Event): void {
    for (const handler of this.#handlers.list) {
      try {
        handler(event)
      } catch (error) {
        this.#log.error({ err: error }, 'a chat feature failed')
      }
    }
  }

  add(handler: (event: Event) => void, priority: Priority = 0): () => void {
    return this.#handlers.add(handler, priority)
  }
}

interface ForDomains<Handler> {
  readonly handler: Handler
  readonly domains: Domains | undefined
}

/** Handlers of which each element name has one; or one for each set of domains. */
export class NamedHandlers<Handler> {
  readonly #handlers = new Map<string, readonly ForDomains<Handler>[]>()
  readonly #what: string

  /** `what` they do with an element, for the complaint that two do it. */
  constructor(what: string) {
    this.#what = what
  }

  /** Adds a handler; returns the way to take it off. Throws where there is one. */
  add(xmlns: string, name: string, handler: Handler, domains?: Domains): () => void {
    const key = `${xmlns} ${name}`
    const others = this.#handlers.get(key) ?? []
    if (others.some((other) => domains === undefined || other.domains === undefined))
      throw new Error(`two features ${this.#what} <${name} xmlns='${xmlns}'/>`)
    const entry = { handler, domains }
    this.#handlers.set(key, [...others, entry])
    return () => {
      const left = (this.#handlers.get(key) ?? []).filter((other) => other !== entry)
      if (left.length > 0) this.#handlers.set(key, left)
      else this.#handlers.delete(key)
    }
  }

  find(element: { readonly xmlns: string; readonly name: string }, domain: string): Handler | undefined {
    const entries = this.#handlers.get(`${element.xmlns} ${element.name}`)
    return entries?.find((entry) => isFor(entry.domains, domain))?.handler
  }
}
