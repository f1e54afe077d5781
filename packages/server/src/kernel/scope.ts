// A scope is everything that a module may take from the house. What the scope gave, the scope takes back.

import type { Clock, Timer } from './clock.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Random } from './random.ts'

/** Names a service that one room provides and others use. Made once, by the room that owns the contract. */
export interface ServiceKey<T> {
  readonly name: string
  /** Carries the type only; never set. */
  readonly contract?: T
}

/** Makes the key of a service whose contract is `T`. */
export const serviceKey = <T>(name: string): ServiceKey<T> => ({ name })

/** What the whole process shares among its scopes. */
export interface Surroundings {
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
}

type Cleanup = () => void | Promise<void>

/** One thing that was taken. An object of its own, so that it can be given back early at no cost, however many there are. */
interface Taken {
  readonly undo: Cleanup
}

/** A service that outlives one generation of the configuration: alive while any scope holds it. */
interface Kept {
  readonly value: Promise<unknown>
  readonly scope: Scope
  holders: number
}

/**
 * The scope of one module. It opens nothing by itself: every `defer`, timer and child that is taken through it is undone by `close`,
 * last taken first, whatever happened in between. A cleanup that throws is logged and does not keep the others from running.
 */
export class Scope {
  readonly name: string
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
  readonly #parent: Scope | undefined
  readonly #services = new Map<string, unknown>()
  readonly #kept: Map<string, Kept>
  /** In the order of taking. */
  readonly #taken = new Set<Taken>()
  readonly #abort = new AbortController()
  #closing: Promise<void> | undefined

  private constructor(name: string, around: Surroundings, parent: Scope | undefined, kept: Map<string, Kept>) {
    this.name = name
    this.log = around.log
    this.metrics = around.metrics
    this.clock = around.clock
    this.random = around.random
    this.#parent = parent
    this.#kept = kept
  }

  /** The outermost scope of a process (or of a test). */
  static root(around: Surroundings): Scope {
    return new Scope('', around, undefined, new Map())
  }

  /** Aborted when the scope starts to close. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** A scope inside this one, closed before it. Its log lines carry `module: name`. */
  child(name: string): Scope {
    this.#mustBeOpen()
    const path = this.name === '' ? name : `${this.name}.${name}`
    const child = new Scope(
      path,
      { log: this.#root().log.child({ module: path }), metrics: this.metrics, clock: this.clock, random: this.random },
      this,
      this.#kept,
    )
    const taken = this.#take(() => child.close())
    child.#take(() => void this.#taken.delete(taken))
    return child
  }

  /** Runs `cleanup` when the scope closes. */
  defer(cleanup: Cleanup): void {
    this.#mustBeOpen()
    this.#take(cleanup)
  }

  /** Calls `callback` once after `ms` milliseconds, unless the scope closes first. What it throws or rejects with is logged. */
  timeout(ms: number, callback: () => void | Promise<void>): Timer {
    this.#mustBeOpen()
    const guarded = this.#guarded('timer', callback)
    const timer = this.#timer(
      this.clock.timeout(ms, () => {
        // Once it has fired there is nothing left to take back.
        timer.cancel()
        void guarded()
      }),
    )
    return timer
  }

  /** Calls `callback` every `ms` milliseconds until the scope closes; never twice at the same time. What it throws or rejects with is logged. */
  interval(ms: number, callback: () => void | Promise<void>): Timer {
    this.#mustBeOpen()
    let running = false
    const guarded = this.#guarded('interval', callback)
    return this.#timer(
      this.clock.interval(ms, () => {
        if (running) return
        running = true
        void guarded().finally(() => (running = false))
      }),
    )
  }

  /** Makes `value` the service `key` for this scope and everything inside it. Throws when this scope provides it already. */
  provide<T>(key: ServiceKey<T>, value: T): T {
    this.#mustBeOpen()
    if (this.#services.has(key.name)) throw new Error(`service ${key.name} is provided twice in scope '${this.name}'`)
    this.#services.set(key.name, value)
    return value
  }

  /** The service `key` of this scope or the nearest one around it. Throws when nobody provides it. */
  use<T>(key: ServiceKey<T>): T {
    const found = this.find(key)
    if (found === undefined)
      throw new Error(`module '${this.name}' needs the service '${key.name}', which nothing provides`)
    return found
  }

  /** As `use`, or undefined when nobody provides it. */
  find<T>(key: ServiceKey<T>): T | undefined {
    if (this.#services.has(key.name)) return this.#services.get(key.name) as T
    return this.#parent?.find(key)
  }

  /**
   * A value that outlives a reload: the first scope that asks for `key` makes it, later ones (of the next generation) get the same one, and it is closed
   * after the last holder closed. `make` gets a scope of its own for that life. When `make` fails, all who wait for it get its error, and the next one who asks
   * makes it anew. Rejects when this scope closes meanwhile.
   */
  async keep<T>(key: ServiceKey<T>, make: (scope: Scope) => T | Promise<T>): Promise<T> {
    this.#mustBeOpen()
    let kept = this.#kept.get(key.name)
    if (kept === undefined) {
      const root = this.#root()
      const scope = new Scope(
        key.name,
        { log: root.log.child({ module: key.name }), metrics: root.metrics, clock: root.clock, random: root.random },
        root,
        this.#kept,
      )
      kept = { value: (async () => make(scope))(), scope, holders: 0 }
      this.#kept.set(key.name, kept)
    }
    const mine = kept
    const forget = (): void => {
      if (this.#kept.get(key.name) === mine) this.#kept.delete(key.name)
    }
    mine.holders++
    this.defer(async () => {
      if (--mine.holders > 0) return
      forget()
      // What is still being made takes things through its scope until it is done.
      await mine.value.catch(() => {})
      await mine.scope.close()
    })
    let value: unknown
    try {
      value = await mine.value
    } catch (error) {
      forget()
      await mine.scope.close()
      throw error
    }
    this.#mustBeOpen()
    return value as T
  }

  /** Undoes everything, last taken first. Safe to call twice: the second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#undo()
    return this.#closing
  }

  async #undo(): Promise<void> {
    this.#abort.abort()
    for (const taken of [...this.#taken].reverse()) {
      // Some give back others.
      if (!this.#taken.delete(taken)) continue
      try {
        await taken.undo()
      } catch (error) {
        this.log.error({ err: error }, 'clean-up failed')
      }
    }
  }

  #take(undo: Cleanup): Taken {
    const taken = { undo }
    this.#taken.add(taken)
    return taken
  }

  #timer(inner: Timer): Timer {
    const taken = this.#take(() => inner.cancel())
    return {
      cancel: () => {
        inner.cancel()
        this.#taken.delete(taken)
      },
    }
  }

  #guarded(what: string, callback: () => void | Promise<void>): () => Promise<void> {
    return async () => {
      try {
        await callback()
      } catch (error) {
        // What it worked with is being taken away while it ran.
        if (this.#closing !== undefined) this.log.debug({ err: error }, `${what} was interrupted`)
        else this.log.error({ err: error }, `${what} failed`)
      }
    }
  }

  #root(): Scope {
    return this.#parent === undefined ? this : this.#parent.#root()
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new Error(`scope '${this.name}' is closed`)
  }
}
