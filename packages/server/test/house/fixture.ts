// A whole server in this process: every endpoint on a port of the system's choice, cheap passwords, data in a folder of its own.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { type Config, configSchema } from '../../src/config.ts'
import { House, type HouseOptions } from '../../src/house.ts'
import { checkConfig, inlineSource } from '../../src/kernel/config/load.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { FakeDns } from '../../src/net/dns/testing/index.ts'

export const BASE = {
  hostname: 'mail.example.org',
  domain: 'example.org',
  data: 'data',
  'run-as-root': true,
  accounts: { passwords: { iterations: 4096, argon2: { memory: 8192, passes: 1 } } },
  store: { threads: 1 },
  endpoints: {
    smtp: { listen: ['127.0.0.1:0'] },
    submission: { listen: ['127.0.0.1:0'], 'listen-tls': [] },
    imap: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] },
    c2s: { listen: ['127.0.0.1:0'], 'listen-tls': [] },
    s2s: { listen: ['127.0.0.1:0'], 'listen-tls': [] },
    http: { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] },
    metrics: { listen: '127.0.0.1:0' },
  },
} satisfies Config

/** A folder that goes after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-house-'))
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  return folder
}

export interface Running {
  readonly house: House
  readonly lines: Record<string, unknown>[]
  readonly folder: string
  /** What the next reload reads. */
  config: Config
  port(protocol: string, tls?: string): number
}

/** Starts the server; it is stopped after the test. */
export async function startHouse(
  t: TestContext,
  config: Config = BASE,
  folder = temporaryFolder(t),
  more: Pick<HouseOptions, 'clock' | 'rest'> = {},
): Promise<Running> {
  const { log, lines } = recordingLog('info')
  const running = { config }
  // Tests ask no DNS of the world: here nothing is known, and that is known at once.
  const dns = await FakeDns.start({})
  t.after(() => dns.close())
  const load = async () => {
    const { network = {} } = running.config
    const around = { ...running.config, network: { dns: { servers: [dns.address] }, ...network } }
    return checkConfig(configSchema, inlineSource(around)).settings
  }
  const house = await House.start({ ...more, source: { folder, load }, log, environment: {} })
  t.after(() => house.stop())
  return Object.assign(running, {
    house,
    lines,
    folder,
    port(protocol: string, tls = 'starttls'): number {
      const bound = house.bound.find((one) => one.protocol === protocol && (protocol === 'metrics' || one.tls === tls))
      if (bound === undefined) throw new Error(`nothing listens for ${protocol}`)
      return bound.port
    },
  })
}

/** A client that reads and writes text. */
export class Talker {
  readonly socket: Socket
  #text = ''
  #ended = false
  #notice: () => void = () => {}

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8')
    const end = (): void => {
      this.#ended = true
      this.#notice()
    }
    socket.on('error', end).on('close', end)
    socket.on('data', (text: string) => {
      this.#text += text
      this.#notice()
    })
  }

  static to(port: number, tls = false): Talker {
    const at = { port, host: '127.0.0.1' }
    return new Talker(tls ? connectTls({ ...at, rejectUnauthorized: false }) : connect(at))
  }

  /** Everything up to the first match, which is taken off what came in. */
  async expect(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#text)
      if (match !== null) {
        const end = match.index + match[0].length
        const taken = this.#text.slice(0, end)
        this.#text = this.#text.slice(end)
        return taken
      }
      if (this.#ended) throw new Error(`ended before ${String(pattern)}: ${JSON.stringify(this.#text)}`)
      await new Promise<void>((resolve) => (this.#notice = resolve))
    }
  }

  /** Says a line and waits for an answer like `pattern`. */
  ask(line: string, pattern: RegExp): Promise<string> {
    this.socket.write(`${line}\r\n`)
    return this.expect(pattern)
  }

  async ended(): Promise<void> {
    while (!this.#ended) await new Promise<void>((resolve) => (this.#notice = resolve))
  }
}
