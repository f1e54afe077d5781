// The running server of a journey: `aviso demo` as a process of its own, on a data folder of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { AVISO, PATIENCE, type RunOptions } from './programs.ts'

export interface DemoAccount {
  readonly address: string
  readonly password: string
}

/** What `aviso demo --json` prints. */
export interface Reach {
  readonly domain: string
  readonly host: string
  readonly ports: Readonly<
    Record<'smtp' | 'submission' | 'submissions' | 'imap' | 'imaps' | 'xmpp' | 'xmpps' | 'metrics', number>
  >
  readonly accounts: readonly DemoAccount[]
  readonly ca: string
  readonly data: string
  readonly pid: number
}

/** A folder for one test file, gone with `remove`. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'aviso-interop-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** The server ended before it was ready. */
export class ServerDidNotStart extends Error {}

/** A server process that runs until it is told to end. */
export class ServerProcess {
  readonly child: ChildProcess
  readonly #ended: Promise<number | null>
  #log = ''

  private constructor(args: readonly string[], options: RunOptions) {
    const child = spawn(process.execPath, [AVISO, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    this.#ended = new Promise((resolve) => child.once('close', resolve))
    child.stderr?.on('data', (bytes: Buffer) => (this.#log += bytes.toString()))
  }

  /** Starts `aviso ARGS`, without waiting for anything. */
  static begin(args: readonly string[], options: RunOptions = {}): ServerProcess {
    const server = new ServerProcess(args, options)
    server.child.stdout?.on('data', (bytes: Buffer) => (server.#log += bytes.toString()))
    return server
  }

  /** Starts `aviso ARGS`; resolves with the process and what `ready` made of its output. Rejects with what it said when it ends before. */
  static async start<T>(
    args: readonly string[],
    ready: (line: string) => T | undefined,
    options: RunOptions = {},
  ): Promise<{ readonly server: ServerProcess; readonly value: T }> {
    const server = new ServerProcess(args, options)
    const { stdout } = server.child
    if (stdout === null) throw new Error('no standard output')
    const said = new Promise<T>((resolve) =>
      createInterface({ input: stdout }).on('line', (line) => {
        const value = ready(line)
        if (value !== undefined) resolve(value)
      }),
    )
    const patience = setTimeout(() => server.child.kill('SIGKILL'), PATIENCE)
    const value = await Promise.race([said, server.#ended.then(() => undefined)])
    clearTimeout(patience)
    if (value !== undefined) return { server, value }
    const status = await server.stop()
    throw new ServerDidNotStart(`aviso ${args.join(' ')} ended with ${String(status)}:\n${server.log}`)
  }

  /** True when the process has ended. */
  get over(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Everything that it wrote to its standard error. */
  get log(): string {
    return this.#log
  }

  /** Ends it politely (SIGTERM), by force when that takes too long. Resolves with its exit status. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.over) this.child.kill(signal)
    const force = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE)
    const status = await this.#ended
    clearTimeout(force)
    return status
  }
}

/** The demo server. */
export class Demo {
  readonly data: string
  /** Set anew by `restart`: ports may change. */
  reach: Reach
  #server: ServerProcess

  private constructor(data: string, server: ServerProcess, reach: Reach) {
    this.data = data
    this.#server = server
    this.reach = reach
  }

  static async start(data: string): Promise<Demo> {
    const { server, value } = await startDemoProcess(data)
    return new Demo(data, server, value)
  }

  get anna(): DemoAccount {
    return this.#account(0)
  }

  get bert(): DemoAccount {
    return this.#account(1)
  }

  get log(): string {
    return this.#server.log
  }

  #account(index: number): DemoAccount {
    const account = this.reach.accounts[index]
    if (account === undefined) throw new Error('the demo has two accounts')
    return account
  }

  /** Ends the server and starts another one on the same folder. Resolves with the exit status of the first. */
  async restart(): Promise<number | null> {
    const status = await this.#server.stop()
    const { server, value } = await startDemoProcess(this.data)
    this.#server = server
    this.reach = value
    return status
  }

  stop(): Promise<number | null> {
    return this.#server.stop()
  }
}

const ATTEMPTS = 5

async function startDemoProcess(data: string): Promise<{ readonly server: ServerProcess; readonly value: Reach }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ServerProcess.start(['demo', '--json', '--data', data], (line) => {
        const said = JSON.parse(line) as Reach | { readonly error: unknown }
        return 'error' in said ? undefined : said
      })
    } catch (error) {
      // Another demo server took a port between this one's looking for a free one and its listening: look again.
      if (!(error instanceof ServerDidNotStart) || !error.message.includes('cannot listen') || attempt === ATTEMPTS)
        throw error
    }
  }
}

export interface DemoJourney {
  readonly demo: Demo
  readonly folder: string
  /** Ends the server by its pid and removes the folder. Resolves with the exit status. */
  stop(): Promise<number | null>
}

/** Starts a demo server on a new folder. */
export async function startDemo(): Promise<DemoJourney> {
  const folder = temporaryFolder()
  try {
    const demo = await Demo.start(join(folder.path, 'data'))
    return {
      demo,
      folder: folder.path,
      async stop() {
        const status = await demo.stop()
        folder.remove()
        return status
      },
    }
  } catch (error) {
    folder.remove()
    throw error
  }
}
