// Files that are whole and safe from power loss, or not there.

import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Makes what was renamed or created in the folder safe. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the folder and those above it, safely, for this user alone. */
export async function makeFolder(folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 })
  if (made === undefined) return
  for (let path = folder; ; path = dirname(path)) {
    await syncFolder(dirname(path))
    if (path === made || path === dirname(path)) return
  }
}

/** Writes a file that takes the place of the one before as a whole. `between` runs before it does. */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  temporary = `${path}.aviso-new`,
  between?: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(content)
    await between?.(file)
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(temporary, { force: true })
    throw error
  }
  await file.close()
  await rename(temporary, path)
}
