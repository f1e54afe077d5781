// A server of its own process on a data folder of its own: started, killed, started again.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connectControl } from '../../packages/server/src/admin/control.ts'
import { PROGRAM } from '../../packages/server/test/fixtures/program.ts'
import type { ArgumentsOf, OperationName, ResultOf } from '../../packages/server/src/admin/operations.ts'

/** A start takes under a second on a quiet machine. */
const START_MS = 30_000
const STOP_MS = 30_000

export const DOMAIN = 'aviso.test'
export const PASSWORD = 'correct horse battery'
export const ANNA = `anna@${DOMAIN}`
export const BERT = `bert@${DOMAIN}`

export type PortName = 'smtp' | 'submission' | 'submissions' | 'imap' | 'imaps' | 'xmpp' | 'xmpps' | 'metrics'
export type Ports = Readonly<Record<PortName, number>>

/** One line of the server's log. */
export type LogLine = Readonly<Record<string, unknown>>

/** A config file as an object: YAML takes JSON. Objects are merged one level deep. */
export type Settings = Readonly<Record<string, unknown>>

export interface StartOptions {
  /** Holds the config and, in `data`, the data. */
  readonly folder: string
  readonly settings?: Settings
  /** Words of a command that runs the server, before `node`. */
  readonly under?: readonly string[]
  /** Options of node. */
  readonly node?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** The server ended before it listened. */
export class NotStarted extends Error {
  readonly status: number | null
  readonly stderr: string
  constructor(status: number | null, stderr: string) {
    super(`the server did not start (status ${String(status)}):\n${stderr}`)
    this.status = status
    this.stderr = stderr
  }
}

const any = '127.0.0.1:0'

/** Ports chosen by the system, logins without TLS from loopback, cheap password hashes. */
export function settingsOf(changes: Settings = {}): Settings {
  const base: Record<string, unknown> = {
    hostname: 'localhost',
    domain: DOMAIN,
    data: 'data',
    'run-as-root': true,
    log: { level: 'info', format: 'json' },
    mail: {
      // More than any test fills: only what is limited is counted where a client can see it.
      quota: { storage: '100 GiB', messages: 1_000_000, mailboxes: 1000 },
      // Nobody listens there: mail for others waits in the queue, and no name is looked up.
      remote: { destinations: { '*': { host: '127.0.0.1', port: 1 } } },
    },
    accounts: { cleartext: 'loopback', passwords: { iterations: 4096 } },
    endpoints: {
      smtp: { listen: [any] },
      submission: { listen: [any], 'listen-tls': [any] },
      imap: { listen: [any], 'listen-tls': [any] },
      c2s: { listen: [any], 'listen-tls': [any], 'require-tls': false },
      s2s: false,
      http: false,
      metrics: { listen: any },
    },
  }
  for (const [key, value] of Object.entries(changes))
    base[key] =
      typeof value === 'object' && !Array.isArray(value) ? { ...(base[key] as object | undefined), ...value } : value
  return base
}

/** A folder under the temporary one, removed by `dispose`. */
export class Folder {
  readonly path: string
  constructor(name: string) {
    this.path = mkdtempSync(join(tmpdir(), `aviso-${name}-`))
  }
  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

export class Server {
  readonly folder: string
  readonly log: LogLine[] = []
  readonly #process: ChildProcess
  readonly #ended: Promise<number | null>
  #ports: Ports | undefined
  #text = ''

  private constructor(options: StartOptions) {
    this.folder = options.folder
    mkdirSync(options.folder, { recursive: true })
    const config = join(options.folder, 'aviso.yaml')
    writeFileSync(config, JSON.stringify(settingsOf(options.settings)))
    const words = [
      ...(options.under ?? []),
      process.execPath,
      ...(options.node ?? []),
      PROGRAM,
      'start',
      '--config',
      config,
    ]
    this.#process = spawn(words[0] ?? '', words.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_TEST_CONTEXT: '', ...options.environment },
    })
    this.#ended = new Promise((resolve) => {
      this.#process.once('close', (status) => resolve(status))
      this.#process.once('error', (error) => {
        this.#text += error.message
        resolve(null)
      })
    })
  }

  /** Resolves when everything listens. Throws `NotStarted`. */
  static async start(options: StartOptions): Promise<Server> {
    const server = Server.begin(options)
    await server.listening()
    return server
  }

  /** Starts the process without waiting for it. */
  static begin(options: StartOptions): Server {
    const server = new Server(options)
    server.#read()
    return server
  }

  #onPorts: ((ports: Ports) => void) | undefined

  async listening(): Promise<void> {
    if (this.#ports !== undefined) return
    const ports = new Promise<Ports>((resolve) => (this.#onPorts = resolve))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), START_MS)))
    const outcome = await Promise.race([ports, this.#ended, late])
    clearTimeout(timer)
    if (outcome !== null && typeof outcome === 'object') return
    if (outcome === 'late') await this.kill()
    throw new NotStarted(outcome === 'late' ? null : outcome, this.#text)
  }

  get ports(): Ports {
    if (this.#ports === undefined) throw new Error('the server does not listen yet')
    return this.#ports
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Everything on standard error that is no line of the log. */
  get stderr(): string {
    return this.#text
  }

  /** Lines of level error, and warnings of defects. */
  errors(): readonly LogLine[] {
    return this.log.filter(({ level, event }) => level === 'error' || event === 'unhandled-rejection')
  }

  /** Asks the running server, as the command line does. */
  async ask<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): Promise<ResultOf<Name>> {
    // The control socket comes a moment after the listeners.
    const admin = await eventually('the control socket', 5000, () => connectControl(join(this.folder, 'data')))
    try {
      return await admin.ask(name, args)
    } finally {
      await admin.close()
    }
  }

  /** Anna (an administrator) and Bert. */
  async makeAccounts(): Promise<void> {
    await this.ask('account.add', { address: ANNA, password: PASSWORD, role: 'admin' })
    await this.ask('account.add', { address: BERT, password: PASSWORD, role: 'user' })
  }

  /** `kill -9`. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Stops it politely; answers the exit status. Kills it when that takes too long, and throws. */
  async stop(): Promise<number | null> {
    if (!this.running) return this.#ended
    this.#process.kill('SIGTERM')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), STOP_MS)))
    const status = await Promise.race([this.#ended, late])
    clearTimeout(timer)
    if (status !== 'late') return status
    await this.kill()
    throw new Error('the server did not stop')
  }

  /** Resolves when the process has ended by itself. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  #read(): void {
    const { stderr } = this.#process
    if (stderr === null) return
    createInterface({ input: stderr }).on('line', (line) => {
      const parsed = logLine(line)
      if (parsed === undefined) {
        this.#text += `${line}\n`
        return
      }
      this.log.push(parsed)
      if (parsed['event'] === 'started') {
        this.#ports = portsOf(parsed['bound'] as readonly string[])
        this.#onPorts?.(this.#ports)
      }
    })
  }
}

function logLine(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined
  }
}

/** From `imap 127.0.0.1:40917 implicit` to `imaps: 40917`. */
function portsOf(bound: readonly string[]): Ports {
  const names: Readonly<Record<string, PortName>> = {
    'smtp starttls': 'smtp',
    'submission starttls': 'submission',
    'submission implicit': 'submissions',
    'imap starttls': 'imap',
    'imap implicit': 'imaps',
    'c2s starttls': 'xmpp',
    'c2s implicit': 'xmpps',
    'metrics none': 'metrics',
  }
  const ports: Partial<Record<PortName, number>> = {}
  for (const entry of bound) {
    const [protocol = '', address = '', tls = 'none'] = entry.split(' ')
    const name = names[`${protocol} ${tls}`]
    if (name !== undefined) ports[name] = Number(address.slice(address.lastIndexOf(':') + 1))
  }
  return ports as Ports
}

/** Runs a command of the program `aviso` to its end. */
export async function aviso(
  words: readonly string[],
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr }
}

export const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks again and again until the answer is not undefined; throws when `ms` have passed. */
export async function eventually<T>(
  what: string,
  ms: number,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await delay(20)
  }
}
