// Large octets as files, named by their SHA-256: written once, shared by all who hold the name.

import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Random } from '../kernel/random.ts'
import type { Blobs } from './contracts.ts'
import { storeError } from './sqlite.ts'

const NAME = /^[0-9a-f]{64}$/

export class FileBlobs implements Blobs {
  readonly #folder: string
  readonly #random: Random

  constructor(folder: string, random: Random) {
    this.#folder = folder
    this.#random = random
  }

  async put(content: Uint8Array): Promise<string> {
    const name = createHash('sha256').update(content).digest('hex')
    const folder = join(this.#folder, name.slice(0, 2))
    const path = join(folder, name)
    try {
      if ((await sizeOf(path)) === content.byteLength) return name
      const made = await mkdir(folder, { recursive: true, mode: 0o700 })
      if (made !== undefined) await syncFolder(join(made, '..'))
      const temporary = `${path}.${this.#random.bytes(6).toString('hex')}.tmp`
      try {
        const file = await open(temporary, 'wx', 0o600)
        try {
          await file.writeFile(content)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      await syncFolder(folder)
      return name
    } catch (error) {
      throw storeError(error, path)
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

  #path(name: string): string {
    if (!NAME.test(name)) throw new Error(`'${name}' cannot name a blob`)
    return join(this.#folder, name.slice(0, 2), name)
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch {
    return undefined
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
