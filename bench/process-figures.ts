// What the operating system tells of a process. Linux only: elsewhere every figure is undefined, and the table says n/a.

import { readdirSync, readFileSync, statfsSync } from 'node:fs'

export interface MemoryFigures {
  /** Octets in RAM, pages shared with others counted by their share. */
  readonly pss: number
  /** Octets in RAM. */
  readonly rss: number
}

/** Clock ticks a second: the kernel's interface has them fixed at 100 on every platform that Node runs on. */
const TICKS = 100

/** User and system time of a process in seconds: all its threads, and its children that have ended. */
export function cpuSeconds(pid: number): number | undefined {
  const stat = readProc(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The second field is the name in parentheses and may hold anything; utime is the 14th (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0)
  return ticks / TICKS
}

/** As {@link cpuSeconds}, of a process and of all that came from it and are there. */
export function cpuSecondsOfTree(pid: number): number | undefined {
  let sum = cpuSeconds(pid)
  if (sum === undefined) return undefined
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readProc(`/proc/${name}/stat`) : undefined
    if (stat === undefined) continue
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const waiting = [...(children.get(pid) ?? [])]
  for (let child = waiting.pop(); child !== undefined; child = waiting.pop()) {
    sum += cpuSeconds(child) ?? 0
    waiting.push(...(children.get(child) ?? []))
  }
  return sum
}

export function memory(pid: number): MemoryFigures | undefined {
  const rollup = readProc(`/proc/${pid}/smaps_rollup`)
  if (rollup === undefined) return undefined
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? NaN) * 1024
  return { pss: kib('Pss'), rss: kib('Rss') }
}

/** True where a folder lies in memory: syncs cost nothing there, and what is measured as durable is not. */
export function isInMemory(folder: string): boolean {
  const TMPFS = 0x01021994
  try {
    return process.platform === 'linux' && statfsSync(folder).type === TMPFS
  } catch {
    return false
  }
}

function readProc(file: string): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return undefined
  }
}
