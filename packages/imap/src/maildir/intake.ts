// Files that were found, on their way to becoming messages: each base name once, with date and size.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { each, ifThere } from './files.ts'
import { flagsOfLetters, sizeField } from './file-name.ts'
import type { Folder } from './folder.ts'
import { type Found, measure, type Measure } from './scan.ts'
import type { Row } from './state.ts'
import type { UidListEntry } from './uidlist.ts'

/** One file of each base name: a second one, of a program that stopped between linking and removing, goes or gets a name of its own. */
export async function distinct(folder: Folder, found: readonly Found[]): Promise<Found[]> {
  const seen = new Map<string, Found>()
  const out: Found[] = []
  for (const one of found) {
    const other = seen.get(one.base)
    if (other === undefined) {
      seen.set(one.base, one)
      out.push(one)
      continue
    }
    const [a, b] = await Promise.all([one, other].map(({ file }) => ifThere(stat(join(folder.path, file)))))
    if (a === undefined || b === undefined) continue
    if (a.ino === b.ino && a.dev === b.dev) await ifThere(folder.files.unlink(join(folder.path, one.file)))
    else out.push(await rebase(folder, one))
  }
  return out
}

/** Gives a file another base name. Answers it there. */
export async function rebase(folder: Folder, one: Found): Promise<Found> {
  const { size } = await stat(join(folder.path, one.file))
  const base = folder.newBase(size, sizeField(one.base, 'W') ?? size).replace(/,W=\d+$/, '')
  const file = `${one.file.slice(0, 4)}${base}${one.file.slice(4 + one.base.length)}`
  await folder.files.rename(join(folder.path, one.file), join(folder.path, file))
  return { ...one, base, file }
}

/** Rows of files that have none yet, ascending by UID: those of the list with its UIDs, the others with new ones. Files that went in the meantime are left out. */
export async function measured(
  folder: Folder,
  arrivals: readonly { readonly found: Found; readonly uid: number | undefined }[],
  entries: readonly UidListEntry[],
  modseq: number,
): Promise<{ row: Omit<Row, 'file'>; file: string }[]> {
  const widths = new Map(entries.map(({ uid, fields }) => [uid, /(?:^| )W(\d+)/.exec(fields)?.[1]]))
  const measured: { found: Found; uid: number | undefined; measure: Measure }[] = []
  await each(arrivals, async ({ found, uid }) => {
    const width = uid === undefined ? undefined : widths.get(uid)
    const size = await measure(folder.path, found, width === undefined ? undefined : Number(width))
    if (size !== undefined) measured.push({ found, uid, measure: size })
  })
  let next = folder.state.uidNext
  // New ones in the order in which they were delivered, as the time in front of their names tells.
  const time = (base: string): number => Number.parseInt(base, 10) || 0
  return measured
    .sort(
      (a, b) =>
        (a.uid ?? Infinity) - (b.uid ?? Infinity) ||
        time(a.found.base) - time(b.found.base) ||
        (a.found.base < b.found.base ? -1 : 1),
    )
    .map(({ found: { base, file, letters }, uid, measure: { size, internalDate, changed } }) => ({
      row: {
        uid: uid ?? next++,
        base,
        flags: flagsOfLetters(letters, folder.state.keywords),
        modseq,
        size,
        internalDate,
        zone: 0,
        saveDate: changed,
      },
      file,
    }))
}
