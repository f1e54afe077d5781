// Messages into a folder, out of it, and from one to the other: whole or not at all, and on the disk before it is said.

import { join } from 'node:path'
import { BackendError, type FlagSet } from '../backend.ts'
import { each, ifThere } from './files.ts'
import { canKeep, formatFileName, lettersOfFlags, parseFileName } from './file-name.ts'
import type { Folder } from './folder.ts'
import { graveOf } from './graveyard.ts'
import { spell } from './keywords.ts'
import { type Change, type Row } from './state.ts'

/** A message on its way into a folder. */
export interface Arrival {
  readonly flags: FlagSet
  readonly internalDate: number
  readonly zone: number
  /** Octets of the file, and with CRLF line ends. */
  readonly fileSize: number
  readonly size: number
  /** Puts the file at a path, on the same file system, in one step. */
  place(path: string): Promise<void>
  /** Takes that back. */
  undo(path: string): Promise<void>
}

/** Runs work with these folders to itself: in this process and, by their locks, among all. After a failure only the disk counts. */
export async function withFolders<Value>(folders: readonly Folder[], work: () => Promise<Value>): Promise<Value> {
  // The same order everywhere, so that two never wait for each other.
  const [first, ...others] = [...new Set(folders)].sort((a, b) => (a.path < b.path ? -1 : 1))
  if (first === undefined) return work()
  return first.exclusive(async () => {
    const unlock = await first.lock()
    try {
      return await withFolders(others, work)
    } catch (error) {
      first.forget()
      throw error
    } finally {
      await unlock()
    }
  })
}

/** Flags as the folder spells them, its table of keywords grown where needed. LIMIT. */
export async function spelt(folder: Folder, flags: FlagSet): Promise<FlagSet> {
  for (const flag of flags)
    if (!canKeep(flag)) throw new BackendError('CANNOT', `A Maildir cannot keep the flag ${flag}`)
  const found = spell(flags, folder.state.keywords)
  if (found === undefined) throw new BackendError('LIMIT', 'A Maildir keeps no more than 26 keywords in one folder')
  await folder.keepKeywords(found.keywords)
  return found.flags
}

/**
 * Puts messages into a folder. `depart` runs when they are all there and durable, but not yet known; what it answers takes it back. Answers their UIDs.
 * The folder's lock is held and its control files are read.
 */
export async function arrive(
  folder: Folder,
  arrivals: readonly Arrival[],
  depart?: () => Promise<() => Promise<void>>,
): Promise<number[]> {
  const { state } = folder
  // All keywords at once: either every message finds room for its own, or none comes.
  await spelt(folder, [...new Set(arrivals.flatMap(({ flags }) => flags))])
  const modseq = await folder.nextModseq()
  const saveDate = folder.now()
  const planned = await Promise.all(
    arrivals.map(async (arrival, i) => {
      const flags = await spelt(folder, arrival.flags)
      const base = folder.newBase(arrival.fileSize, arrival.size)
      const file = `cur/${formatFileName({ base, letters: lettersOfFlags(flags, state.keywords, ''), extra: '' })}`
      const { size, internalDate, zone } = arrival
      return { arrival, file, row: { uid: state.uidNext + i, base, flags, modseq, size, internalDate, zone, saveDate } }
    }),
  )
  const undo: (() => Promise<void>)[] = []
  try {
    await each(planned, async ({ arrival, file }) => {
      const path = join(folder.path, file)
      await arrival.place(path)
      undo.push(() => arrival.undo(path))
    })
    await folder.files.sync(join(folder.path, 'cur'))
    await folder.list(planned.map(({ row }) => row))
    if (depart !== undefined) undo.push(await depart())
    await folder.commit(planned.map(({ row }): Change => ({ kind: 'message', row })))
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined)
    throw error
  }
  for (const { row, file } of planned) Object.assign(state.get(row.uid) ?? {}, { file })
  await folder.committed()
  return planned.map(({ row }) => row.uid)
}

/** Takes messages out: to where they stay readable for a while. Answers how to bring them back. */
export async function bury(folder: Folder, rows: readonly Row[]): Promise<() => Promise<void>> {
  const moved: { from: string; to: string }[] = []
  const back = async (): Promise<void> => {
    for (const { from, to } of moved) await folder.files.rename(to, from).catch(() => undefined)
    await syncPlaces(folder)
  }
  try {
    await each(rows, async (row) => {
      const from = join(folder.path, row.file ?? '')
      const to = join(folder.path, graveOf(row.uid))
      await folder.files.rename(from, to)
      moved.push({ from, to })
    })
    await syncPlaces(folder)
  } catch (error) {
    await back().catch(() => undefined)
    throw error
  }
  return back
}

async function syncPlaces(folder: Folder): Promise<void> {
  for (const place of ['cur', 'new']) await ifThere(folder.files.sync(join(folder.path, place)))
}

/** Records that messages went, whose files went already. That cannot be undone any more: where it fails, the next sync finds out by itself. */
export async function departed(folder: Folder, rows: readonly Row[]): Promise<void> {
  try {
    const modseq = await folder.nextModseq()
    await folder.commit(rows.map(({ uid }) => ({ kind: 'gone', uid, modseq })))
  } catch {
    folder.forget()
  }
  await folder.committed()
}

/** Arrival of a copy: a hard link, or the octets where the file system cannot link. */
export function copyOf(
  from: Folder,
  row: Row,
  octets: () => Promise<Uint8Array | undefined>,
  fileSize: number,
): Arrival {
  const { files } = from
  return {
    ...row,
    fileSize,
    async place(path) {
      try {
        await files.link(join(from.path, row.file ?? ''), path)
      } catch (error) {
        if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? ''))
          throw error
        const content = await octets()
        if (content === undefined) throw error
        await files.create(path, content, new Date(row.internalDate))
      }
    },
    undo: (path) => files.unlink(path),
  }
}

/** Arrival of a message that leaves `from`: the file itself moves, and stays readable there for a while. */
export function moveOf(from: Folder, row: Row, fileSize: number): Arrival {
  const { files } = from
  const here = join(from.path, row.file ?? '')
  const grave = join(from.path, graveOf(row.uid))
  return {
    ...row,
    fileSize,
    async place(path) {
      // A second name for those who were not told yet; where there can be none, they hear that it is expunged.
      const linked = await files.link(here, grave).then(
        () => true,
        () => false,
      )
      try {
        await files.rename(here, path)
      } catch (error) {
        if (linked) await files.unlink(grave).catch(() => undefined)
        throw error
      }
    },
    async undo(path) {
      await files.rename(path, here)
      await files.unlink(grave).catch(() => undefined)
    },
  }
}

/** Renames files for new flags, in place or from `new` to `cur`. Answers the rows with their new files; where one rename fails, all are taken back. */
export async function reflag(
  folder: Folder,
  wanted: readonly { readonly row: Row; readonly flags: FlagSet }[],
): Promise<readonly { readonly row: Row; readonly file: string }[]> {
  const { files, state } = folder
  const done: { row: Row; from: string; file: string }[] = []
  const places = new Set<string>(['cur'])
  try {
    await each(wanted, async ({ row, flags }) => {
      const from = row.file ?? ''
      const name = parseFileName(from.slice(4))
      const file = `cur/${formatFileName({ ...name, letters: lettersOfFlags(flags, state.keywords, name.letters) })}`
      places.add(from.slice(0, 3))
      if (file !== from) await files.rename(join(folder.path, from), join(folder.path, file))
      done.push({ row, from, file })
    })
    for (const place of places) await files.sync(join(folder.path, place))
  } catch (error) {
    for (const { from, file } of done)
      await files.rename(join(folder.path, file), join(folder.path, from)).catch(() => undefined)
    throw error
  }
  return done
}
