// A server as an administrator has it: a config file in a folder, and the command line.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { aviso, eventually, type Outcome } from './programs.ts'
import { ServerProcess } from './server.ts'

export interface Settings {
  readonly [name: string]: unknown
}

/** Loopback ports that the system chooses; tests may run as root, and say so. */
export const minimal = (more: Settings = {}): Settings => ({
  hostname: 'mail.example.test',
  domain: 'example.test',
  ...(process.getuid?.() === 0 ? { 'run-as-root': true } : {}),
  log: { level: 'warn' },
  endpoints: {
    smtp: { listen: ['127.0.0.1:0'] },
    submission: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] },
    imap: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] },
    c2s: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] },
    s2s: false,
    http: false,
    metrics: false,
  },
  ...more,
})

/** What `aviso status --json` prints, as far as the tests look at it. */
export interface StatusReport {
  readonly running: boolean
  readonly generation: number
  readonly retiring: number
  readonly domains: readonly string[]
  readonly bound: readonly { readonly protocol: string; readonly port: number; readonly tls: string }[]
  readonly connections: Readonly<Record<string, number>>
}

export class Site {
  readonly folder: string
  readonly config: string

  constructor(folder: string, settings: Settings = minimal()) {
    this.folder = folder
    this.config = join(folder, 'aviso.yaml')
    this.write(settings)
  }

  get data(): string {
    return join(this.folder, 'data')
  }

  write(settings: Settings | string): void {
    writeFileSync(this.config, typeof settings === 'string' ? settings : stringify(settings))
  }

  /** `aviso ARGS --config FILE` */
  aviso(args: readonly string[], input = ''): Promise<Outcome> {
    return aviso([...args, '--config', this.config], { input, cwd: this.folder })
  }

  /** `aviso ARGS --config FILE --json`: the exit status and what was printed. */
  async json(
    args: readonly string[],
    input = '',
  ): Promise<{ readonly status: number | null; readonly value: unknown }> {
    const { status, stdout, stderr } = await this.aviso([...args, '--json'], input)
    const [line, ...more] = stdout.trimEnd().split('\n')
    if (line === undefined || line === '' || more.length > 0)
      throw new Error(`aviso ${args.join(' ')} --json printed no single line of JSON:\n${stdout}${stderr}`)
    return { status, value: JSON.parse(line) as unknown }
  }

  /** Asked by the data folder, so that it works while the config file is broken. */
  async status(): Promise<StatusReport> {
    const { stdout } = await aviso(['status', '--data', this.data, '--json'])
    return JSON.parse(stdout) as StatusReport
  }

  /** Starts the server; resolves when it answers. */
  async start(): Promise<ServerProcess> {
    const server = ServerProcess.begin(['start', '--config', this.config])
    await eventually(
      () => `the server to answer; it said:\n${server.log}`,
      async () => (server.over || (await this.status()).running ? true : undefined),
    )
    if (server.over) throw new Error(`the server ended:\n${server.log}`)
    return server
  }
}

/** The port that a protocol listens on. */
export function portOf({ bound }: StatusReport, protocol: string, tls: 'starttls' | 'implicit'): number {
  const found = bound.find((one) => one.protocol === protocol && one.tls === tls)
  if (found === undefined) throw new Error(`${protocol} with ${tls} is not among ${JSON.stringify(bound)}`)
  return found.port
}
