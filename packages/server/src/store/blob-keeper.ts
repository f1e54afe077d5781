// Between the writing of a blob and the commit of the row that names it, nothing may delete that blob.

import type { Blobs } from './contracts.ts'

/** Those who store blobs work side by side; those who delete unused ones have it alone. One for each process, as the blobs are. */
export class BlobKeeper {
  readonly #storing = new Set<Promise<unknown>>()
  #deleting: Promise<unknown> = Promise.resolve()

  /** Runs `work`, which puts blobs and commits what names them: none is deleted before it is over. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    // Everyone who waits here enters when the deletion ends; the next deletion waits for all who entered.
    for (let before; before !== this.#deleting;) {
      before = this.#deleting
      await before
    }
    const running = work()
    this.#storing.add(running)
    try {
      return await running
    } finally {
      this.#storing.delete(running)
    }
  }

  /** Deletes those of `blobs` that are not among `used` (asked when nobody stores), what an interrupted `hold` left behind included. */
  async deleteUnused(blobs: Blobs, used: () => Promise<Iterable<string>>): Promise<void> {
    const run = this.#deleting.then(async () => {
      await Promise.allSettled(this.#storing)
      const kept = await blobs.list()
      if (kept.length === 0) return
      const needed = new Set(await used())
      for (const blob of kept) if (!needed.has(blob)) await blobs.delete(blob)
    })
    this.#deleting = run.catch(() => undefined)
    await run
  }
}
