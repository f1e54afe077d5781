// What a folder is cleaned of. Expunged messages, kept in `tmp` for an hour: a session that was not told yet can still read them (RFC 2180 §4.1.1). And what
// programs that were killed left behind.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Files, ifThere, isReplacement } from './files.ts'
import { isDraft } from './lock.ts'

const PREFIX = 'aviso-gone.'
/** Milliseconds that an expunged message stays. */
const STAY = 3_600_000
/** What a program that stopped left in `tmp` (cr.yp.to/proto/maildir.html), in milliseconds. */
const LEFT_OVER = 36 * 3_600_000

/** Where the file of an expunged message is, relative to the folder. */
export const graveOf = (uid: number): string => `tmp/${PREFIX}${uid}`

/** Removes what is old. Failures are of no consequence: the next sweep comes. */
export async function sweep(folder: string, files: Files, now: number): Promise<void> {
  await removeOld(join(folder, 'tmp'), files, now, (name) =>
    name.startsWith(PREFIX) ? STAY : name.startsWith('.') ? undefined : LEFT_OVER,
  )
  // Both are there for moments only.
  await removeOld(folder, files, now, (name) => (isDraft(name) || isReplacement(name) ? STAY : undefined))
}

/** Removes the entries of a folder that have not changed for longer than `stay` milliseconds; undefined: they stay. */
async function removeOld(
  folder: string,
  files: Files,
  now: number,
  stay: (name: string) => number | undefined,
): Promise<void> {
  for (const name of (await ifThere(readdir(folder)).catch(() => undefined)) ?? []) {
    const most = stay(name)
    if (most === undefined) continue
    const path = join(folder, name)
    const found = await ifThere(stat(path)).catch(() => undefined)
    if (found === undefined || now - found.ctimeMs < most) continue
    await files.remove(path).catch(() => undefined)
  }
}
