// Dovecot's `dovecot-uidvalidity`: each UIDVALIDITY of a tree is given once. The newest is in the name of an empty file, which is renamed to give the next.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Files } from './files.ts'

const NAME = /^dovecot-uidvalidity\.([0-9a-f]{8})$/

/** A UIDVALIDITY above all given before, at least the time in seconds. `now` in milliseconds. */
export async function nextUidValidity(root: string, files: Files, now: number): Promise<number> {
  for (;;) {
    const given = (await readdir(root))
      .map((name) => Number.parseInt(NAME.exec(name)?.[1] ?? '', 16))
      .filter((value) => value > 0)
    const newest = Math.max(0, ...given)
    const next = Math.max(newest + 1, Math.floor(now / 1000), 1) >>> 0
    const path = join(root, `dovecot-uidvalidity.${hex(next)}`)
    try {
      if (newest === 0) await files.create(path, new Uint8Array())
      else await files.rename(join(root, `dovecot-uidvalidity.${hex(newest)}`), path)
    } catch (error) {
      // Another program took this one: there is a newer one now.
      if (['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) continue
      throw error
    }
    await files.replace(join(root, 'dovecot-uidvalidity'), Buffer.from(hex(next)))
    return next
  }
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')
