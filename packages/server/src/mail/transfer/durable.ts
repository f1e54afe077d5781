// Files that are whole, or not there.

import { type FileHandle, open, rename, rm } from 'node:fs/promises'

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
