// Large octets as files, named by their SHA-256, in a folder of their owner. Owners that get the same content one after the other (the recipients of one
// mail) share it by hard links: the file system counts the references, and nobody can delete what another still has.

import { createHash } from 'node:crypto'
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type Folders, syncFolder } from '../kernel/folders.ts'
import type { Random } from '../kernel/random.ts'
import type { Blobs } from './contracts.ts'
import { storeError } from './sqlite.ts'

const NAME = /^[0-9a-f]{64}$/

/** A folder for files that are being written; what a crash leaves in it is removed at the next start. */
export class TemporaryFiles {
  readonly #folder: string
  readonly #random: Random

  constructor(folder: string, random: Random) {
    this.#folder = folder
    this.#random = random
  }

  /** A name that nobody uses, in a folder that is there. */
  async path(): Promise<string> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    return join(this.#folder, this.#random.bytes(12).toString('hex'))
  }

  async clear(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Where content was put lately: [name, path], the newest last. */
export class RecentBlobs {
  readonly #paths = new Map<string, string>()

  get(name: string): string | undefined {
    return this.#paths.get(name)
  }

  remember(name: string, path: string): void {
    this.#paths.delete(name)
    this.#paths.set(name, path)
    if (this.#paths.size <= 64) return
    const [oldest] = this.#paths.keys()
    if (oldest !== undefined) this.#paths.delete(oldest)
  }
}

export class FileBlobs implements Blobs {
  readonly #folder: string
  readonly #folders: Folders
  readonly #temporary: TemporaryFiles
  readonly #recent: RecentBlobs

  constructor(folder: string, folders: Folders, temporary: TemporaryFiles, recent: RecentBlobs) {
    this.#folder = folder
    this.#folders = folders
    this.#temporary = temporary
    this.#recent = recent
  }

  async put(content: Uint8Array): Promise<string> {
    const name = await nameOf(content)
    const folder = join(this.#folder, name.slice(0, 2))
    const path = join(folder, name)
    try {
      await this.#folders.make(folder)
      if ((await sizeOf(path)) === content.byteLength) {
        // Another `put` may have written it and not have come to this yet.
        await syncFolder(folder)
        return name
      }
      const temporary = await this.#temporary.path()
      try {
        if (!(await this.#shared(name, temporary, content.byteLength))) await write(temporary, content)
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      await syncFolder(folder)
      this.#recent.remember(name, path)
      return name
    } catch (error) {
      throw storeError(error, path)
    }
  }

  async putStream(pieces: AsyncIterable<Uint8Array>): Promise<string> {
    const temporary = await this.#temporary.path()
    try {
      const hash = createHash('sha256')
      const size = await write(temporary, pieces, (piece) => void hash.update(piece))
      const name = hash.digest('hex')
      const folder = join(this.#folder, name.slice(0, 2))
      const path = join(folder, name)
      await this.#folders.make(folder)
      if ((await sizeOf(path)) === size) await rm(temporary, { force: true })
      else await rename(temporary, path)
      await syncFolder(folder)
      this.#recent.remember(name, path)
      return name
    } catch (error) {
      await rm(temporary, { force: true })
      throw storeError(error, this.#folder)
    }
  }

  async get(name: string, start = 0, end?: number): Promise<Uint8Array | undefined> {
    let file: FileHandle
    try {
      file = await open(this.#path(name), 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw storeError(error, this.#path(name))
    }
    try {
      const { size } = await file.stat()
      const length = Math.max(0, Math.min(end ?? size, size) - start)
      const bytes = Buffer.allocUnsafeSlow(length)
      let filled = 0
      while (filled < length) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, start + filled)
        if (bytesRead === 0) throw new Error(`blob ${name} ends early`)
        filled += bytesRead
      }
      return bytes
    } finally {
      await file.close()
    }
  }

  async delete(name: string): Promise<void> {
    await rm(this.#path(name), { force: true })
  }

  async list(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#folder, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile() && NAME.test(entry.name))
        .map((entry) => entry.name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw storeError(error, this.#folder)
    }
  }

  /** Links the copy that another owner has to `path`; false when there is none to be had. */
  async #shared(name: string, path: string, size: number): Promise<boolean> {
    const other = this.#recent.get(name)
    if (other === undefined) return false
    try {
      await link(other, path)
      return (await sizeOf(path)) === size
    } catch {
      return false
    }
  }

  #path(name: string): string {
    if (!NAME.test(name)) throw new Error(`'${name}' cannot name a blob`)
    return join(this.#folder, name.slice(0, 2), name)
  }
}

/** Octets that are hashed in one go: a millisecond or so. */
const HASH_PIECE = 512 * 1024

/** The name of a content, made in pieces: others go on meanwhile. */
async function nameOf(content: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < content.byteLength; at += HASH_PIECE) {
    if (at > 0) await turn()
    hash.update(content.subarray(at, at + HASH_PIECE))
  }
  return hash.digest('hex')
}

/** Writes a file and syncs it; answers its octets. `each` sees every piece. */
async function write(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
  each?: (piece: Uint8Array) => void,
): Promise<number> {
  const file = await open(path, 'w', 0o600)
  let size = 0
  try {
    for await (const piece of content instanceof Uint8Array ? [content] : content) {
      each?.(piece)
      size += piece.byteLength
      await file.writeFile(piece)
    }
    await file.sync()
    return size
  } finally {
    await file.close()
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch {
    return undefined
  }
}
