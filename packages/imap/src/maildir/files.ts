// Writing that outlives a power cut: every change to the disk goes through here, so that a test can make it fail.

import { constants } from 'node:fs'
import { chown, link, mkdir, open, rename, rm, stat, unlink, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** True for the name of a file that was to take the place of another (`Files.replace`). */
export const isReplacement = (name: string): boolean => /\.tmp\d+\.P\d+Q\d+R[0-9a-f]+$/.test(name)

/** Octets written or removed. Files and folders get the permissions (and for root, the owner) of the tree they are in. */
export class Files {
  readonly root: string
  readonly #before: () => void
  #mode:
    | Promise<{ readonly folder: number; readonly file: number; readonly owner: readonly [number, number] | undefined }>
    | undefined
  #made = 0

  /** `root` is the Maildir; `before` is called ahead of every write, and may throw. */
  constructor(root: string, before: () => void = () => undefined) {
    this.root = root
    this.#before = before
  }

  async #modes(): Promise<{ folder: number; file: number; owner: readonly [number, number] | undefined }> {
    this.#mode ??= stat(this.root).then(
      ({ mode, uid, gid }) => ({
        folder: mode & 0o777,
        file: mode & 0o666,
        owner: process.getuid?.() === 0 && (uid !== 0 || gid !== 0) ? ([uid, gid] as const) : undefined,
      }),
      () => ({ folder: 0o700, file: 0o600, owner: undefined }),
    )
    return this.#mode
  }

  /** A name that no other file of this process has, for temporary files. */
  unique(): string {
    return `${Date.now()}.P${process.pid}Q${++this.#made}R${Math.floor(Math.random() * 0xffffffff).toString(16)}`
  }

  /** Writes a file that must not exist, and syncs it. Where that fails, the file is gone. */
  async create(path: string, octets: Uint8Array, modified?: Date): Promise<void> {
    this.#before()
    const { file, owner } = await this.#modes()
    const handle = await open(path, 'wx', file)
    try {
      await handle.writeFile(octets)
      if (owner !== undefined) await handle.chown(...owner)
      if (modified !== undefined) await handle.utimes(modified, modified)
      await handle.sync()
    } catch (error) {
      await unlink(path).catch(() => undefined)
      throw error
    } finally {
      await handle.close()
    }
  }

  /** Replaces a file as a whole: it is the old or the new, at any time. */
  async replace(path: string, octets: Uint8Array): Promise<void> {
    const temporary = `${path}.tmp${this.unique()}`
    await this.create(temporary, octets)
    try {
      await this.rename(temporary, path)
    } catch (error) {
      await unlink(temporary).catch(() => undefined)
      throw error
    }
    await this.sync(dirname(path))
  }

  /** Appends to a file that exists, and syncs it. A short write is taken back as far as can be. */
  async append(path: string, octets: Uint8Array): Promise<void> {
    this.#before()
    const handle = await open(path, constants.O_WRONLY | constants.O_APPEND)
    try {
      const { size } = await handle.stat()
      try {
        await handle.writeFile(octets)
        await handle.datasync()
      } catch (error) {
        await handle.truncate(size).catch(() => undefined)
        throw error
      }
    } finally {
      await handle.close()
    }
  }

  /** Moves a file, over whatever had the name. Durable when both folders are synced. */
  async rename(from: string, to: string): Promise<void> {
    this.#before()
    await rename(from, to)
  }

  /** Gives a file a second name. Rejects with EEXIST where it is taken. */
  async link(from: string, to: string): Promise<void> {
    this.#before()
    await link(from, to)
  }

  /** Takes a name away. */
  async unlink(path: string): Promise<void> {
    this.#before()
    await unlink(path)
  }

  /** Sets the time of a file. */
  async touch(path: string, date: Date): Promise<void> {
    this.#before()
    await utimes(path, date, date)
  }

  /** Makes a folder, and what is missing above it. */
  async mkdir(path: string): Promise<void> {
    this.#before()
    const { folder, owner } = await this.#modes()
    const first = await mkdir(path, { recursive: true, mode: folder })
    if (first === undefined) return
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      if (owner !== undefined) await chown(made, ...owner)
      await this.sync(dirname(made))
    }
  }

  /** Removes a file, or a folder with all that is in it; nothing to do where there is none. */
  async remove(path: string): Promise<void> {
    this.#before()
    await rm(path, { recursive: true, force: true })
  }

  /** Makes what happened in a folder durable: names that came, went or changed. */
  async sync(folder: string): Promise<void> {
    this.#before()
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** The three folders of a Maildir. */
  async maildir(path: string): Promise<void> {
    for (const name of ['tmp', 'new', 'cur']) await this.mkdir(join(path, name))
  }
}

/** Runs `work` over the items, a few at a time, and waits for all. Rejects with the first failure. */
export async function each<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
  width = 8,
): Promise<void> {
  let at = 0
  let failure: { readonly error: unknown } | undefined
  const lane = async (): Promise<void> => {
    while (failure === undefined) {
      const item = items[at++]
      if (item === undefined) return
      try {
        await work(item)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane))
  if (failure !== undefined) throw failure.error
}

/** Undefined where there is no such file; other failures are thrown. */
export async function ifThere<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
