// Chat servers that are none of ours, on loopback, each in a folder of its own: they serve one domain, and find others as they are told.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { eventually } from './programs.ts'
import { temporaryFolder } from './server.ts'

export interface ForeignWish {
  readonly domain: string
  /** PEM. */
  readonly certificate: string
  readonly key: string
  readonly ca: string
  /** Its accounts; the password is `pencil`. */
  readonly users: readonly string[]
  /** Ports of other domains' servers. */
  readonly routes: Readonly<Record<string, number>>
  /** Other servers need a certificate that can be verified. */
  readonly strict: boolean
}

/** Where a server has its files, and where it is to listen. */
export interface Premises {
  readonly path: string
  readonly clients: number
  readonly servers: number
}

export interface Command {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class ForeignServer {
  readonly clients: number
  readonly servers: number
  readonly #folder: ReturnType<typeof temporaryFolder>
  readonly #process: ChildProcess
  readonly #log: string

  private constructor(
    { clients, servers }: Premises,
    folder: ReturnType<typeof temporaryFolder>,
    child: ChildProcess,
    log: string,
  ) {
    this.clients = clients
    this.servers = servers
    this.#folder = folder
    this.#process = child
    this.#log = log
  }

  /** `prepare` writes its config, and tells how it is started; the certificate, its key and the authority are there already, as `cert.pem`, `key.pem` and `ca.pem`. `log`: the name of its log. */
  static async start(
    wish: ForeignWish,
    log: string,
    prepare: (premises: Premises) => Command | Promise<Command>,
  ): Promise<ForeignServer> {
    const folder = temporaryFolder()
    const { path } = folder
    writeFileSync(join(path, 'cert.pem'), wish.certificate)
    writeFileSync(join(path, 'key.pem'), wish.key, { mode: 0o600 })
    writeFileSync(join(path, 'ca.pem'), wish.ca)
    const premises = { path, clients: await freePort(), servers: await freePort() }
    const { command, args, env } = await prepare(premises)
    const child = spawn(command, args, { stdio: 'ignore', cwd: path, env: { ...process.env, ...env } })
    const server = new ForeignServer(premises, folder, child, join(path, log))
    try {
      await eventually(`${command} listens`, async () =>
        (await reachable(premises.clients)) && (await reachable(premises.servers)) ? true : undefined,
      )
    } catch (error) {
      const said = server.log
      await server.stop()
      throw new Error(`${command} does not listen: ${said}`, { cause: error })
    }
    return server
  }

  get log(): string {
    try {
      return readFileSync(this.#log, 'utf8')
    } catch {
      return ''
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'close')
      this.#process.kill('SIGTERM')
      await ended
    }
    this.#folder.remove()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

const reachable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })
