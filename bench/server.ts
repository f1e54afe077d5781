// The server under measurement: found, provisioned, started and stopped as its users would do it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { Reach } from './clients/wire.ts'
import { localPart, PASSWORD } from './clients/logins.ts'
import { cpuSeconds, memory, type MemoryFigures } from './process-figures.ts'

export const DOMAIN = 'bench.example'

const root = fileURLToPath(new URL('..', import.meta.url))
const BUILT = join(root, 'dist/aviso/bin/aviso.cjs')
const SOURCE = join(root, 'packages/server/bin/aviso.cjs')

const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 30_000
const LOOK_MS = 5

/** The program to measure: the release build where there is one, else the sources. */
export interface Programme {
  readonly from: 'release build' | 'sources'
  readonly file: string
}

export function findProgramme(sources: boolean): Programme {
  return !sources && existsSync(BUILT) ? { from: 'release build', file: BUILT } : { from: 'sources', file: SOURCE }
}

/** A data folder with accounts, kept to be copied: every measurement begins with the same. */
export interface Provisioned {
  readonly programme: Programme
  readonly folder: string
  readonly accounts: number
}

/** What a default server has, on ports that the system chooses; passwords are kept in forms that are quick to make. */
const configText = `
hostname: localhost
domain: ${DOMAIN}
data: ./data
run-as-root: true
log: { level: info, format: json }
accounts:
  passwords: { iterations: 4096, forms: [SCRAM-SHA-256, SCRAM-SHA-1] }
endpoints:
  smtp: { listen: ['127.0.0.1:0'] }
  submission: { listen: ['127.0.0.1:0'], listen-tls: ['127.0.0.1:0'] }
  imap: { listen: ['127.0.0.1:0'], listen-tls: ['127.0.0.1:0'] }
  c2s: { listen: ['127.0.0.1:0'], listen-tls: ['127.0.0.1:0'] }
  s2s: false
  http: false
  metrics: { listen: '127.0.0.1:0' }
`
const NO_WEB = 'http: false'
const WEB = "http: { listen: [], listen-tls: ['127.0.0.1:0'] }"

/** Makes the accounts u00000, u00001, ... through the command line, with contacts between u00000 and u00001 and so on. */
export async function provision(programme: Programme, folder: string, accounts: number): Promise<Provisioned> {
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'aviso.yaml')
  writeFileSync(config, configText)
  const lines = (line: (index: number) => string): string =>
    Array.from({ length: accounts }, (_, i) => line(i)).join('')
  const accountFile = join(folder, 'accounts.tsv')
  writeFileSync(
    accountFile,
    lines((i) => `${localPart(i)}\t${PASSWORD}\n`),
  )
  const rosterFile = join(folder, 'roster.tsv')
  writeFileSync(
    rosterFile,
    lines((i) => `${localPart(i)}\t${localPart(i ^ 1)}@${DOMAIN}\tThe other\n`),
  )
  await runCommand(programme, ['account', 'import', accountFile, '--domain', DOMAIN, '--config', config])
  await runCommand(programme, ['roster', 'import', rosterFile, '--domain', DOMAIN, '--config', config])
  return { programme, folder, accounts }
}

async function runCommand({ file }: Programme, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stdout.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`aviso ${args.slice(0, 2).join(' ')} failed: ${complaint}`)
}

/** Where the server listens, by what it is for. */
export interface Ports {
  readonly smtp: number
  readonly imaps: number
  readonly xmpps: number
  /** Where the web was asked for. */
  readonly https: number | undefined
  readonly metrics: number
}

export interface StartOptions {
  /** Arguments for Node itself. */
  readonly node?: readonly string[]
  /** More settings, as YAML at the end of the config. */
  readonly settings?: string
  /** HTTPS too. */
  readonly web?: boolean
}

export class Server {
  readonly pid: number
  readonly ports: Ports
  readonly reach: Reach
  readonly accounts: number
  /** Milliseconds from the start of the process until everything listened. */
  readonly startTime: number
  readonly #child: ChildProcess
  readonly #from: Provisioned
  readonly #folder: string
  readonly #options: StartOptions

  private constructor(
    child: ChildProcess,
    from: Provisioned,
    folder: string,
    options: StartOptions,
    ports: Ports,
    startTime: number,
  ) {
    this.#child = child
    this.#from = from
    this.#folder = folder
    this.#options = options
    this.pid = child.pid ?? 0
    this.ports = ports
    this.startTime = startTime
    this.accounts = from.accounts
    const trust = createSecureContext({ ca: readFileSync(join(folder, 'data/self-signed.crt')) })
    this.reach = { host: '127.0.0.1', serverName: 'localhost', trust }
  }

  /** Starts the server on a copy of the provisioned folder. */
  static async start(from: Provisioned, options: StartOptions = {}): Promise<Server> {
    const folder = `${from.folder}-run`
    rmSync(folder, { recursive: true, force: true })
    cpSync(from.folder, folder, { recursive: true })
    const config = join(folder, 'aviso.yaml')
    if (options.web === true) writeFileSync(config, configText.replace(NO_WEB, WEB))
    if (options.settings !== undefined) appendFileSync(config, options.settings)
    return Server.#launch(from, folder, options)
  }

  /** Where its self-signed certificate for localhost lies. */
  get certificate(): { readonly certificate: string; readonly key: string } {
    const data = join(this.#folder, 'data')
    return { certificate: join(data, 'self-signed.crt'), key: join(data, 'self-signed.key') }
  }

  /** Stops the server and starts it again on the same data; this object is over then. */
  async restart(): Promise<Server> {
    await this.#end()
    return Server.#launch(this.#from, this.#folder, this.#options)
  }

  static async #launch(from: Provisioned, folder: string, options: StartOptions): Promise<Server> {
    const logFile = join(folder, 'log')
    rmSync(logFile, { force: true })
    const log = openSync(logFile, 'a')
    const begun = performance.now()
    const child = spawn(
      process.execPath,
      // As deploy/aviso.service and the launchers start it.
      [
        '--max-semi-space-size=8',
        '--initial-old-space-size=40',
        ...(options.node ?? []),
        from.programme.file,
        'start',
        '--config',
        join(folder, 'aviso.yaml'),
      ],
      { stdio: ['ignore', log, log] },
    )
    closeSync(log)
    // Whatever becomes of the bench, no server stays behind.
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    try {
      const ports = await listening(child, logFile)
      return new Server(child, from, folder, options, ports, performance.now() - begun)
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    }
  }

  cpu(): number | undefined {
    return cpuSeconds(this.pid)
  }

  memory(): MemoryFigures | undefined {
    return memory(this.pid)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Stops the server and removes its data. */
  async stop(): Promise<void> {
    await this.#end()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      const deadline = setTimeout(() => this.#child.kill('SIGKILL'), STOP_DEADLINE_MS)
      await ended
      clearTimeout(deadline)
    }
  }
}

/** Waits for the server's own word that everything listens. */
async function listening(child: ChildProcess, logFile: string): Promise<Ports> {
  const deadline = performance.now() + START_DEADLINE_MS
  for (;;) {
    const log = readFileSync(logFile, 'utf8')
    const line = log.split('\n').find((text) => text.includes('"event":"started"') && text.endsWith('}'))
    if (line !== undefined) return portsOf((JSON.parse(line) as { bound: readonly string[] }).bound)
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`the server did not start:\n${log.slice(-4000)}`)
    await pause(LOOK_MS)
  }
}

/** `bound` has elements such as `imap 127.0.0.1:40123 implicit`. */
function portsOf(bound: readonly string[]): Ports {
  const port = (protocol: string, tls: string | undefined): number => {
    for (const text of bound) {
      const [name, address = '', mode] = text.split(' ')
      if (name === protocol && (tls === undefined || mode === tls))
        return Number(address.slice(address.lastIndexOf(':') + 1))
    }
    throw new Error(`the server does not listen for ${protocol}: ${bound.join(', ')}`)
  }
  return {
    smtp: port('smtp', undefined),
    imaps: port('imap', 'implicit'),
    xmpps: port('c2s', 'implicit'),
    https: bound.some((text) => text.startsWith('http ')) ? port('http', 'implicit') : undefined,
    metrics: port('metrics', undefined),
  }
}
