// Dovecot's lock of a Maildir: the file `dovecot-uidlist.lock`, made by whoever changes the folder.

import { link, open, readFile, stat, unlink, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BackendError } from '../backend.ts'
import { ifThere } from './files.ts'

export const LOCK_FILE = 'dovecot-uidlist.lock'
/** Milliseconds without a sign of life after which a lock of another machine is dead; its holder touches it more often. */
const STALE = 120_000
const SIGN_OF_LIFE = 15_000

/** Waits for the lock of a folder, and takes it. */
export const lockFolder = (folder: string, patience: number): Promise<() => Promise<void>> =>
  lockFile(join(folder, LOCK_FILE), patience)

/** Waits for a lock and takes it. The answer gives it back. INUSE when `patience` milliseconds were not enough. */
export async function lockFile(path: string, patience: number): Promise<() => Promise<void>> {
  const began = performance.now()
  for (let pause = 2; ; pause = Math.min(pause * 2, 100)) {
    const inode = await take(path)
    if (inode !== undefined) return hold(path, inode)
    await breakStale(path)
    if (performance.now() - began > patience)
      throw new BackendError('INUSE', 'Another program holds the lock of this mailbox: try again')
    await wait(pause)
  }
}

/** Locks made by this process: each is written under a name of its own first. */
let made = 0

/** True for the name of a lock that was to be: who is killed between writing it and naming it leaves it there for good. */
export const isDraft = (name: string): boolean => /\.lock(?:\.break)?\.\d+\.\d+$/.test(name)

/** Answers the inode of the lock made, undefined when there is one. It comes with its content: who dies meanwhile leaves none that names nobody. */
async function take(path: string): Promise<number | undefined> {
  const draft = `${path}.${process.pid}.${++made}`
  try {
    // One that a dead process of this number left is not written to: it may be the lock itself, by its other name.
    const handle = await open(draft, 'wx', 0o644)
    try {
      await handle.writeFile(`${process.pid}:${hostname()}`)
      await link(draft, path)
      return (await handle.stat()).ino
    } finally {
      await handle.close()
      await unlink(draft).catch(() => undefined)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
}

function hold(path: string, inode: number): () => Promise<void> {
  const life = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, SIGN_OF_LIFE)
  life.unref()
  return async () => {
    clearInterval(life)
    // Somebody who took us for dead may have a lock of their own there.
    if ((await ifThere(stat(path)))?.ino === inode) await unlink(path).catch(() => undefined)
  }
}

/** Removes a lock whose holder is gone. Who removes it holds a second lock meanwhile: two at once could remove the lock of a third. */
async function breakStale(path: string): Promise<void> {
  if (!(await isStale(path))) return
  const guard = `${path}.break`
  const age = (await ifThere(stat(guard)))?.mtimeMs
  if (age !== undefined && Date.now() - age > STALE) await unlink(guard).catch(() => undefined)
  if ((await take(guard)) === undefined) return
  try {
    if (await isStale(path)) await unlink(path)
  } catch {
    // Given back in the meantime.
  } finally {
    await unlink(guard).catch(() => undefined)
  }
}

async function isStale(path: string): Promise<boolean> {
  const found = await ifThere(Promise.all([readFile(path, 'latin1'), stat(path)]))
  if (found === undefined) return false
  const [text, { mtimeMs }] = found
  const age = Date.now() - mtimeMs
  const match = /^(\d{1,10}):(.*?)\s*$/.exec(text)
  if (match?.[2] === hostname() && !isAlive(Number(match[1]))) return true
  // Of another machine, or of a program that has not written it yet.
  return age > STALE
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
