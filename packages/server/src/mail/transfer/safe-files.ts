// Reading files of a folder that somebody else may have filled: root, who imports it, must not be led to files that only root may read.

import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** Opens a regular file for reading: no symbolic link, no pipe, no device. Rejects with an error that has a message for people. */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    if (!(await handle.stat()).isFile()) throw new Error('it is no regular file')
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** The file's octets from `start` on, in pieces that are nobody else's. */
export async function* pieces(file: FileHandle, size = 1024 * 1024, start = 0): AsyncGenerator<Buffer> {
  for (let at = start; ;) {
    const buffer = Buffer.allocUnsafeSlow(size)
    const { bytesRead } = await file.read(buffer, 0, size, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** All octets; undefined when they are more than `limit`. */
export async function readWhole(file: FileHandle, limit: number): Promise<Buffer | undefined> {
  const { size } = await file.stat()
  if (size > limit) return undefined
  const buffer = Buffer.allocUnsafeSlow(size)
  let filled = 0
  while (filled < size) {
    const { bytesRead } = await file.read(buffer, filled, size - filled, filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** Why a file could not be read, for people. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'ELOOP':
      return 'it is a symbolic link'
    case 'ENXIO':
      return 'it is no regular file'
    case 'EACCES':
    case 'EPERM':
      return 'it may not be read by this user'
    case 'ENOENT':
      return 'it is not there (any more)'
    default:
      return message
  }
}
