// What the directories of a folder say: names, and of a file that was not seen before its date and its size with CRLF line ends.

import type { Stats } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ifThere } from './files.ts'
import { parseFileName, sizeField } from './file-name.ts'

/** A message file found: its base name, its place (`cur/...` or `new/...`), its letters. */
export interface Found {
  readonly base: string
  readonly file: string
  readonly letters: string
}

/** Files of `cur` and `new`; undefined when the folder is no Maildir (any more). */
export async function scan(folder: string): Promise<readonly Found[] | undefined> {
  // `new` first: what another program moves from there to `cur` in the meantime is seen at least once.
  const [fresh, seen] = [await ifThere(readdir(join(folder, 'new'))), await ifThere(readdir(join(folder, 'cur')))]
  if (seen === undefined) return undefined
  const found: Found[] = []
  for (const [place, names] of [
    ['cur', seen],
    ['new', fresh ?? []],
  ] as const)
    for (const name of names) {
      // Names with a dot in front are no messages; a line end cannot stand in the list of UIDs.
      if (name.startsWith('.') || /[\n\r\0]/.test(name) || name.startsWith(':')) continue
      const { base, letters } = parseFileName(name)
      found.push({ base, file: `${place}/${name}`, letters })
    }
  return found
}

/** What changes when somebody changes the folder: times of the directories and identities of the control files. */
export async function fingerprint(folder: string, names: readonly string[]): Promise<readonly (Stats | undefined)[]> {
  return Promise.all(names.map((name) => ifThere(stat(join(folder, name)))))
}

export interface Measure {
  /** Modification time, whole seconds, in milliseconds: INTERNALDATE. */
  readonly internalDate: number
  /** Status change, in milliseconds: when it came here, as far as anything tells. */
  readonly changed: number
  readonly size: number
}

const CHUNK = 262_144

/** Undefined when the file is gone. `known` is the size that the list of UIDs gives (`W`). */
export async function measure(
  folder: string,
  { base, file }: Found,
  known: number | undefined,
): Promise<Measure | undefined> {
  const handle = await ifThere(open(join(folder, file), 'r'))
  if (handle === undefined) return undefined
  try {
    const { mtimeMs, ctimeMs, size } = await handle.stat()
    const claimed = sizeField(base, 'W') ?? known
    // A size that another program wrote into the name is believed where it can be right: octets of the file, and at most as many line ends more.
    const trusted =
      claimed !== undefined && claimed >= size && claimed <= size * 2 && (sizeField(base, 'S') ?? size) === size
    return {
      internalDate: Math.floor(mtimeMs / 1000) * 1000,
      changed: Math.floor(ctimeMs),
      size: trusted ? claimed : size + (await bareLineFeeds(handle)),
    }
  } finally {
    await handle.close()
  }
}

async function bareLineFeeds(handle: Awaited<ReturnType<typeof open>>): Promise<number> {
  const chunk = Buffer.allocUnsafe(CHUNK)
  let count = 0
  let last = 0
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, CHUNK, null)
    if (bytesRead === 0) return count
    for (let at = chunk.indexOf(0x0a); at >= 0 && at < bytesRead; at = chunk.indexOf(0x0a, at + 1))
      if ((at === 0 ? last : chunk[at - 1]) !== 0x0d) count++
    last = chunk[bytesRead - 1] ?? 0
  }
}

/** Octets with every bare LF made CRLF; the same octets where there is none. */
export function withCrlf(octets: Buffer): Buffer {
  const pieces: Uint8Array[] = []
  let from = 0
  for (let at = octets.indexOf(0x0a); at >= 0; at = octets.indexOf(0x0a, at + 1)) {
    if (at > 0 && octets[at - 1] === 0x0d) continue
    pieces.push(octets.subarray(from, at), CRLF)
    from = at + 1
  }
  if (pieces.length === 0) return octets
  pieces.push(octets.subarray(from))
  return Buffer.concat(pieces)
}

const CRLF = Buffer.from('\r\n')
