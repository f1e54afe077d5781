// Folders that are there after a power loss.

import { mkdir, open } from 'node:fs/promises'
import { dirname, relative } from 'node:path'

/** Makes what was put into a folder, or renamed in it, safe from power loss. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a folder, and those above it that are not there, for this user alone. */
export async function makeFolder(folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 })
  if (made === undefined) return
  for (let path = folder; ; path = dirname(path)) {
    await syncFolder(dirname(path))
    if (path === made || path === dirname(path)) return
  }
}

/** So many folders are remembered. */
const REMEMBERED = 4096

/** The folders below a root, which is safe. That one is there does not say that it stays: whoever made it, now or in a life before, may not have come to that. */
export class Folders {
  readonly #root: string
  readonly #safe = new Map<string, Promise<void>>()

  readonly #sync: (folder: string) => Promise<void>

  constructor(root: string, sync = syncFolder) {
    this.#root = root
    this.#sync = sync
  }

  /** Makes the folder where it is not there. Resolves when it is safe, with those between it and the root. */
  async make(folder: string): Promise<void> {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    // One that was removed, and those in it, are not safe any more.
    if (made !== undefined)
      for (const path of this.#above(folder)) if (path.length >= made.length) this.#safe.delete(path)
    for (const path of this.#above(folder)) await this.#keep(path)
  }

  /** The folder and those above it, below the root. */
  *#above(folder: string): Generator<string> {
    for (let path = folder; isBelow(path, this.#root); path = dirname(path)) yield path
  }

  async #keep(folder: string): Promise<void> {
    let safe = this.#safe.get(folder)
    if (safe === undefined) {
      safe = this.#sync(dirname(folder))
      this.#safe.set(folder, safe)
      safe.catch(() => this.#safe.delete(folder))
      const [oldest] = this.#safe.size > REMEMBERED ? this.#safe.keys() : []
      if (oldest !== undefined) this.#safe.delete(oldest)
    }
    await safe
  }
}

function isBelow(path: string, root: string): boolean {
  const way = relative(root, path)
  return way !== '' && !way.startsWith('..')
}
