// Notices what other programs do: deliveries, flags, new folders. A help only: what it misses, the next sync sees.

import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'

/** Milliseconds over which a burst of changes is taken together. */
const GATHER = 15

export class Watcher {
  #watchers = new Map<string, FSWatcher>()
  #due = new Map<string, NodeJS.Timeout>()
  readonly #changed: (folder: string) => void
  readonly #relisted: () => void

  /** `changed`: something happened in this folder; `relisted`: in the list of folders. */
  constructor(changed: (folder: string) => void, relisted: () => void) {
    this.#changed = changed
    this.#relisted = relisted
  }

  /** Watches these folders and the root, and no others. */
  follow(root: string, folders: readonly string[]): void {
    const wanted = new Map<string, () => void>([[root, () => undefined]])
    for (const folder of folders)
      for (const place of ['new', 'cur'])
        wanted.set(join(folder, place), () => this.#soon(folder, () => this.#changed(folder)))
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue
      watcher.close()
      this.#watchers.delete(path)
    }
    for (const [path, notice] of wanted) {
      if (this.#watchers.has(path)) continue
      const heard = (_event: string, name: string | null): void => {
        if (path !== root) notice()
        // The root holds files of many programs: what is no folder, and not the subscriptions, is not news.
        else if (name !== null && (/^\.[^.]/.test(name) || name === 'subscriptions')) this.#soon(root, this.#relisted)
      }
      try {
        const watcher = watch(path, { persistent: false }, heard)
        watcher.on('error', () => this.#drop(path))
        this.#watchers.set(path, watcher)
      } catch {
        // Gone already, or the system gives no more watches: sync points remain.
      }
    }
  }

  #soon(key: string, work: () => void): void {
    if (this.#due.has(key)) return
    const timer = setTimeout(() => {
      this.#due.delete(key)
      work()
    }, GATHER)
    timer.unref()
    this.#due.set(key, timer)
  }

  #drop(path: string): void {
    this.#watchers.get(path)?.close()
    this.#watchers.delete(path)
  }

  close(): void {
    for (const timer of this.#due.values()) clearTimeout(timer)
    this.#due.clear()
    for (const path of this.#watchers.keys()) this.#drop(path)
  }
}
