// A queue of a million recipients: what putting, finding the due, settling and listing cost while it grows. `node scripts/run.cjs bench/in-process/queue.ts [ROWS]`

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { systemClock } from '../../packages/server/src/kernel/clock.ts'
import { silentLog } from '../../packages/server/src/kernel/log.ts'
import { Metrics } from '../../packages/server/src/kernel/metrics.ts'
import { systemRandom } from '../../packages/server/src/kernel/random.ts'
import { Scope } from '../../packages/server/src/kernel/scope.ts'
import { QUEUE, spoolStore } from '../../packages/server/src/mail/targets/queue/store.ts'
import { openStore } from '../../packages/server/src/store/open.ts'

const ROWS = Number(process.argv[2] ?? 1_000_000)
const DESTINATIONS = 10_000
/** Mails put at the same time, as group commit has it under load. */
const TOGETHER = 500
const FAR = 3_600_000

const scope = Scope.root({ log: silentLog(), metrics: new Metrics(), clock: systemClock, random: systemRandom })
const folder = mkdtempSync(join(tmpdir(), 'aviso-queue-bench-'))
const worker = pathToFileURL(join(import.meta.dirname, '../../packages/server/src/store-worker.ts'))
const { stores } = await import('../../packages/server/src/stores.ts')
const store = await openStore(scope, { folder, definitions: stores, worker, waiting: 100_000 })
const calls = store.service(spoolStore, QUEUE)
const bytes = Buffer.from(`Subject: bench\r\n\r\n${'All work and no play.\r\n'.repeat(8)}`)
let count = 0

/** One mail to one recipient. */
async function put(first: number): Promise<number> {
  const i = count++
  const [destination] = await calls.put([
    {
      mail: {
        id: `mail${i}`,
        created: first,
        reversePath: 'anna@example.org',
        sender: 'anna@example.org',
        parameters: '{"body":"7BIT","smtpUtf8":false,"requireTls":false}',
        client: '{"session":"s","protocol":"submission","remoteAddress":"","hello":"","extended":true}',
        quarantined: false,
        size: bytes.byteLength,
        head: 18,
        blob: null,
      },
      bytes: new Uint8Array(bytes),
      recipients: [
        {
          address: `u${i}@d${i % DESTINATIONS}.example`,
          recipient: `u${i}@d${i % DESTINATIONS}.example`,
          account: '',
          parameters: '{}',
          target: 'remote',
          destination: `d${i % DESTINATIONS}.example`,
          held: false,
        },
      ],
      first,
      wake: first + 4 * FAR,
      expires: first + 120 * FAR,
    },
  ])
  return destination?.id ?? 0
}

/** Milliseconds of one call, the median of some. */
async function timed(call: () => Promise<unknown>, times = 51): Promise<string> {
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    await call()
    took.push(performance.now() - began)
  }
  took.sort((a, b) => a - b)
  return `${(took[took.length >> 1] ?? 0).toFixed(2)} (max ${(took.at(-1) ?? 0).toFixed(1)})`
}

try {
  console.log(
    'rows       put/s  put ms            due page ms       destinations ms   put+settle ms     list page ms      figures ms',
  )
  for (let goal = 0; goal < ROWS;) {
    const before = count
    goal = goal === 0 ? 10_000 : Math.min(ROWS, goal * (goal < 100_000 ? 10 : goal < 500_000 ? 5 : 2))
    const began = performance.now()
    // They wait: nothing of it is due.
    for (let left = goal - before; left > 0; left -= TOGETHER)
      await Promise.all(Array.from({ length: TOGETHER }, () => put(systemClock.now() + FAR + (count % 1000))))
    const rate = (count - before) / ((performance.now() - began) / 1000)
    const now = (): number => systemClock.now()
    const settle = async (): Promise<void> => {
      const destination = await put(now() - 1)
      const { rows } = await calls.due({ destination, now: now(), horizon: 2 * FAR, after: [-1, -1, -1], limit: 128 })
      await calls.settle({ destination, gone: rows, later: [], outage: null })
    }
    const cells = [
      await timed(() => put(now() + FAR)),
      await timed(() =>
        calls.due({ destination: 5, now: now() + 2 * FAR, horizon: 2 * FAR, after: [-1, -1, -1], limit: 128 }),
      ),
      await timed(() => calls.destinations({ now: now(), horizon: 2 * FAR, after: [-1, -1], limit: 1000 })),
      await timed(settle),
      await timed(() => calls.list({ filter: {}, after: [count >> 1, 0], limit: 1000 })),
      await timed(() => calls.figures()),
    ]
    console.log(
      `${String(count).padEnd(10)} ${rate.toFixed(0).padStart(5)}  ${cells.map((cell) => cell.padEnd(17)).join(' ')}`,
    )
  }
} finally {
  await scope.close()
  rmSync(folder, { recursive: true, force: true })
}
