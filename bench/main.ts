// `npm run bench`: measures the server on this machine, over loopback. See `npm run bench -- --help`.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Measurement } from './measurement.ts'
import { chatArchive, chatRouting, chatWebSocket } from './measurements/chat-routing.ts'
import { idleImap, idleXmpp } from './measurements/idle-sessions.ts'
import { imapCrowd } from './measurements/imap-crowd.ts'
import { imapLarge } from './measurements/imap-large.ts'
import { imapReading } from './measurements/imap-reading.ts'
import { mailIn } from './measurements/mail-in.ts'
import { mailOut } from './measurements/mail-out.ts'
import { slowConnections } from './measurements/slow-connections.ts'
import { start } from './measurements/start.ts'
import { isInMemory } from './process-figures.ts'
import { asJson, type Result, table } from './report.ts'
import { findProgramme, provision } from './server.ts'

const measurements: readonly Measurement[] = [
  start,
  mailIn,
  mailOut,
  slowConnections,
  imapReading,
  imapLarge,
  imapCrowd,
  chatRouting,
  chatWebSocket,
  chatArchive,
  idleImap,
  idleXmpp,
]

const usage = `npm run bench -- [options]
  --quick         small sizes: to see that it works, not to quote
  --only NAME     ${measurements.map(({ name }) => name).join(', ')}; may be given more than once
  --json FILE     where the results go (default: bench/results/TIME.json)
  --folder DIR    where data is kept meanwhile: a folder on the disk to measure (default: the system's temporary folder)
  --sources       measure the sources even where there is a release build
`

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    json: { type: 'string' },
    folder: { type: 'string', default: tmpdir() },
    sources: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

process.exitCode = values.help ? help() : await bench()

function help(): number {
  console.log(usage)
  return 0
}

/** Returns the exit status: 0 where every measurement counts. */
async function bench(): Promise<number> {
  const unknown = values.only?.find((word) => !measurements.some(({ name }) => name === word))
  if (unknown !== undefined) {
    console.error(`there is no measurement '${unknown}'\n\n${usage}`)
    return 2
  }
  const chosen = measurements.filter(({ name }) => values.only?.includes(name) ?? true)
  const programme = findProgramme(values.sources)
  const about = {
    time: new Date().toISOString(),
    measured: programme.from,
    quick: values.quick,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpus: `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown'}`,
    folder: values.folder,
    durable: !isInMemory(values.folder),
  }
  console.log(`Aviso, ${programme.from}, Node ${about.node}, ${about.platform}, ${about.cpus}`)
  if (programme.from === 'sources') console.log('(no release build in dist/: `npm run build` makes one)')
  if (!about.durable)
    console.log(`NOTE: ${values.folder} lies in memory, so nothing here is durable: choose a --folder on a disk`)
  if (values.quick) console.log('NOTE: --quick: not to be quoted')

  const folder = mkdtempSync(join(values.folder, 'aviso-bench-'))
  const results: Result[] = []
  try {
    const provisioned = await provision(programme, join(folder, 'home'), values.quick ? 50 : 200)
    for (const measurement of chosen) {
      const result: Result = await measurement.measure({ quick: values.quick, provisioned }).then(
        (outcome) => ({ measurement, outcome }),
        (error: unknown) => ({
          measurement,
          outcome: undefined,
          error: error instanceof Error ? error.message : String(error),
        }),
      )
      results.push(result)
      console.log(`\n${table(result)}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const file =
    values.json ?? join(dirname(fileURLToPath(import.meta.url)), 'results', `${about.time.replaceAll(':', '')}.json`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, asJson(results, about))
  console.log(`\n${file}`)
  return results.every(({ outcome }) => outcome !== undefined && outcome.void === undefined) ? 0 : 1
}
