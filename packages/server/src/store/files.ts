// Files of one owner: streamed to a temporary file, synced, and only then under their name.

import { createWriteStream } from 'node:fs'
import { type FileHandle, open, opendir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Folders, syncFolder } from '../kernel/folders.ts'
import type { TemporaryFiles } from './blobs.ts'
import type { Files } from './contracts.ts'
import { storeError } from './sqlite.ts'

/** No dots and no slashes: no name leads out of the folder. */
const NAME = /^[A-Za-z0-9_-]{1,100}$/

function gone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

/** Octets that wait for the disk at most; what comes meanwhile is written in one call. */
const PIECE = 1024 * 1024

export class FolderOfFiles implements Files {
  readonly #folder: string
  readonly #folders: Folders
  readonly #temporary: TemporaryFiles

  constructor(folder: string, folders: Folders, temporary: TemporaryFiles) {
    this.#folder = folder
    this.#folders = folders
    this.#temporary = temporary
  }

  async receive(name: string, content: Readable, size: number): Promise<void> {
    const path = this.#path(name)
    const temporary = await this.#temporary.path()
    try {
      const file = createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true, highWaterMark: PIECE })
      await pipeline(content, file)
      if (file.bytesWritten !== size)
        throw new RangeError(`${file.bytesWritten} octets came where there should be ${size}`)
      await this.#folders.make(this.#folder)
      await rename(temporary, path)
      await syncFolder(this.#folder)
    } catch (error) {
      await rm(temporary, { force: true })
      throw storeError(error, path)
    }
  }

  async open(name: string): Promise<FileHandle | undefined> {
    const path = this.#path(name)
    try {
      return await open(path, 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw storeError(error, path)
    }
  }

  async delete(name: string): Promise<void> {
    await rm(this.#path(name), { force: true })
  }

  async list(): Promise<readonly { readonly name: string; readonly size: number }[]> {
    try {
      const found: { readonly name: string; readonly size: number }[] = []
      for await (const entry of await opendir(this.#folder)) {
        if (!entry.isFile() || !NAME.test(entry.name)) continue
        // One that goes meanwhile is not there.
        const size = await stat(join(this.#folder, entry.name)).then((file) => file.size, gone)
        if (size !== undefined) found.push({ name: entry.name, size })
      }
      return found
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw storeError(error, this.#folder)
    }
  }

  #path(name: string): string {
    if (!NAME.test(name)) throw new Error(`'${name}' cannot name a file`)
    return join(this.#folder, name)
  }
}
