// Expunged messages, kept in `tmp` for an hour: a session that was not told yet can still read them (RFC 2180 §4.1.1).

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Files, ifThere } from './files.ts'

const PREFIX = 'aviso-gone.'
/** Milliseconds that an expunged message stays. */
const STAY = 3_600_000
/** What a program that stopped left in `tmp` (cr.yp.to/proto/maildir.html), in milliseconds. */
const LEFT_OVER = 36 * 3_600_000

/** Where the file of an expunged message is, relative to the folder. */
export const graveOf = (uid: number): string => `tmp/${PREFIX}${uid}`

/** Removes what is old. Failures are of no consequence: the next sweep comes. */
export async function sweep(folder: string, files: Files, now: number): Promise<void> {
  for (const name of (await ifThere(readdir(join(folder, 'tmp'))).catch(() => undefined)) ?? []) {
    const path = join(folder, 'tmp', name)
    const found = await ifThere(stat(path)).catch(() => undefined)
    if (found === undefined || now - found.ctimeMs < (name.startsWith(PREFIX) ? STAY : LEFT_OVER)) continue
    if (name.startsWith('.')) continue
    await files.remove(path).catch(() => undefined)
  }
}
