// How soon the server is there, and what it takes while nobody wants anything.

import { setTimeout as pause } from 'node:timers/promises'
import { eventLoopDelay } from '../event-loop.ts'
import { figure } from '../figures.ts'
import type { Measurement } from '../measurement.ts'
import { Server } from '../server.ts'

const SETTLE_MS = 5000

export const start: Measurement = {
  name: 'start',
  summary: 'from the start of the process until everything listens; then at rest',

  async measure({ quick, provisioned }) {
    const times: number[] = []
    for (let round = 0; round < (quick ? 2 : 7); round++) {
      const server = await Server.start(provisioned)
      times.push(server.startTime)
      await server.stop()
    }
    const server = await Server.start(provisioned)
    try {
      await eventLoopDelay(server.ports.metrics)
      const cpu = server.cpu()
      await pause(SETTLE_MS)
      const cpuAfter = server.cpu()
      const memory = server.memory()
      times.push(server.startTime)
      const sorted = times.sort((a, b) => a - b)
      return {
        figures: [
          figure('start-up time, median', sorted[Math.floor(sorted.length / 2)], 'ms'),
          figure('start-up time, slowest', sorted.at(-1), 'ms'),
          figure('CPU of the start', cpu, 's'),
          figure('idle memory (PSS)', memory === undefined ? undefined : memory.pss / 2 ** 20, 'MiB'),
          figure('idle memory (RSS)', memory === undefined ? undefined : memory.rss / 2 ** 20, 'MiB'),
          figure(
            'CPU at rest',
            cpu === undefined || cpuAfter === undefined ? undefined : ((cpuAfter - cpu) / SETTLE_MS) * 1e5,
            '%',
          ),
          ...(await eventLoopDelay(server.ports.metrics)),
        ],
      }
    } finally {
      await server.stop()
    }
  },
}
