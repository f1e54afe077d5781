// What was found out about a mail or a session, once.

import type { Finding } from './contracts.ts'

/** Promises by the names of their findings. One that is rejected is forgotten, so that whoever asks next tries again. */
export class Findings {
  readonly #made = new Map<string, Promise<unknown>>()

  once<T>({ name }: Finding<T>, make: () => Promise<T>): Promise<T> {
    const made = this.#made.get(name)
    if (made !== undefined) return made as Promise<T>
    const fresh = make()
    this.#made.set(name, fresh)
    fresh.catch(() => this.#made.delete(name))
    return fresh
  }
}
