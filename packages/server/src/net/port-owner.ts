// Who listens on a port: for the message of a server that found it taken.

import { readFile, readdir, readlink } from 'node:fs/promises'

const LISTENING = '0A'
const BATCH = 64

/** The program that listens on TCP `port` on this machine, as `name (process id)`; undefined where that cannot be told. Reads Linux's /proc and never rejects. */
export async function portOwner(port: number): Promise<string | undefined> {
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'latin1').catch(() => '')
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      if (state === LISTENING && Number.parseInt(local.split(':')[1] ?? '', 16) === port)
        inodes.add(`socket:[${inode}]`)
    }
  }
  if (inodes.size === 0) return undefined
  const processes = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of processes) {
    const handles = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (let start = 0; start < handles.length; start += BATCH) {
      const links = await Promise.all(
        handles.slice(start, start + BATCH).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
      )
      if (!links.some((link) => inodes.has(link))) continue
      // The command's name, as `ps` has it; the kernel's own (`comm`) may be a thread's.
      const [command = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split(/[\0 ]/)
      const name = command.slice(command.lastIndexOf('/') + 1) || 'a program'
      return `${name} (process ${pid})`
    }
  }
  return undefined
}
