// What the stories of this room are told with.

import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import * as v from 'valibot'
import { HandClock } from '../../src/kernel/clock.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { Metrics } from '../../src/kernel/metrics.ts'
import { SeededRandom } from '../../src/kernel/random.ts'
import { Scope } from '../../src/kernel/scope.ts'
import { readKeyPair } from '../../src/net/certificate-files.ts'
import { Certificates } from '../../src/net/certificates.ts'
import type { Connection, Session } from '../../src/net/contracts.ts'
import { networkConfig, type NetworkConfig } from '../../src/net/listeners.ts'
import { selfSignedCertificate } from '../../src/net/self-signed.ts'
import { tlsConfig } from '../../src/net/tls.ts'

export interface House {
  readonly root: Scope
  readonly clock: HandClock
  readonly lines: Record<string, unknown>[]
  readonly metrics: Metrics
}

/** A process of its own, with a clock that is turned by hand (it starts now, so that certificates hold). */
export function house(t: TestContext): House {
  const clock = new HandClock(Date.now())
  const { log, lines } = recordingLog()
  const metrics = new Metrics()
  const root = Scope.root({ log, metrics, clock, random: new SeededRandom(7) })
  t.after(() => root.close())
  return { root, clock, lines, metrics }
}

export const settings = (some: v.InferInput<typeof networkConfig> = {}): NetworkConfig => v.parse(networkConfig, some)

export async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), 'aviso-net-'))
  t.after(() => rm(made, { recursive: true, force: true }))
  return made
}

export async function selfSigned(t: TestContext, scope: Scope, ...names: string[]): Promise<Certificates> {
  const files = await selfSignedCertificate(await folder(t), names, scope.clock.now())
  const keys = scope.random.bytes(48)
  return new Certificates(scope, v.parse(tlsConfig, {}), [await readKeyPair(files)], { current: () => keys })
}

/** A protocol that greets with `name`, says every line back with its name in front, takes `starttls`, and says `bye` at shutdown. */
export function echo(name: string): (connection: Connection) => Session {
  return (connection) => {
    const attend = (): void => {
      connection.socket.on('data', (octets) => {
        const line = octets.toString().trim()
        if (line === 'starttls') {
          connection.socket.write('go ahead\n')
          connection.startTls().then(attend, () => {})
        } else connection.socket.write(`${name}: ${line}\n`)
      })
    }
    attend()
    connection.socket.write(`${name}\n`)
    return { shutdown: () => new Promise((done) => connection.socket.once('close', () => done()).end('bye\n')) }
  }
}

/** Someone at the other end, who reads by lines. */
export class Peer {
  readonly socket: Socket
  readonly closed: Promise<void>
  #text = ''
  #ended = false
  #wake: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('data', (octets) => {
      this.#text += octets.toString()
      this.#wake?.()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  static to(port: number, host = '127.0.0.1'): Peer {
    return new Peer(connect(port, host))
  }

  /** The next line, or `(closed)`. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 1)
        return line
      }
      if (this.#ended) return '(closed)'
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async ask(line: string): Promise<string> {
    this.socket.write(`${line}\n`)
    return this.line()
  }
}
