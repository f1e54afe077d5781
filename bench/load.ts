// One stretch of load on a running server: its time, its CPU, and how busy the bench itself was.

import { performance } from 'node:perf_hooks'
import { eventLoopDelay } from './event-loop.ts'
import { type Figure, figure } from './figures.ts'
import type { Server } from './server.ts'

export interface Load {
  readonly seconds: number
  /** CPU-seconds of the server's process. */
  readonly cpu: number | undefined
  /** The event loop's delay, and the share of one CPU that the bench's process used: near 100 % the bench was the limit. */
  readonly figures: readonly Figure[]
}

export async function underLoad(server: Server, work: () => Promise<void>): Promise<Load> {
  await eventLoopDelay(server.ports.metrics)
  const cpuBefore = server.cpu()
  const ownBefore = process.cpuUsage()
  const begun = performance.now()
  await work()
  const seconds = (performance.now() - begun) / 1000
  const cpuAfter = server.cpu()
  const own = process.cpuUsage(ownBefore)
  return {
    seconds,
    cpu: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
    figures: [
      ...(await eventLoopDelay(server.ports.metrics)),
      figure('bench busy', (own.user + own.system) / 1e4 / seconds, '% of a CPU'),
    ],
  }
}
