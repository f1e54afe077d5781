// A Prosody of our own, on loopback, with a folder of its own: it serves one domain, and finds others at the ports that it is told.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { eventually, needs, run } from './programs.ts'
import { temporaryFolder } from './server.ts'

export interface ProsodyWish {
  readonly domain: string
  /** PEM. */
  readonly certificate: string
  readonly key: string
  readonly ca: string
  /** Its accounts; the password is `pencil`. */
  readonly users: readonly string[]
  /** Ports of other domains' servers. */
  readonly routes: Readonly<Record<string, number>>
  /** Further lines of its config. */
  readonly settings?: readonly string[]
}

/** For `skip:` of a test. */
export const needsProsody = (): string | false => needs('prosody', 'prosodyctl')

// Its own way to tell it where a domain is: without a DNS.
const ROUTES = `
module:set_global()
local service = require "net.resolvers.service"
local manual = require "net.resolvers.manual"
local routes = module:get_option("test_routes")
local new = service.new
function service.new(host, name, proto, extra)
  local port = routes[host]
  if port then return manual.new({ { "tcp4", "127.0.0.1", port, extra } }, proto) end
  return new(host, name, proto, extra)
end
`

export class Prosody {
  readonly clients: number
  readonly servers: number
  readonly #folder: ReturnType<typeof temporaryFolder>
  readonly #process: ChildProcess

  private constructor(
    clients: number,
    servers: number,
    folder: ReturnType<typeof temporaryFolder>,
    child: ChildProcess,
  ) {
    this.clients = clients
    this.servers = servers
    this.#folder = folder
    this.#process = child
  }

  static async start(wish: ProsodyWish): Promise<Prosody> {
    const folder = temporaryFolder()
    const { path } = folder
    const [clients, servers] = [await freePort(), await freePort()]
    for (const name of ['data', 'plugins']) mkdirSync(join(path, name))
    writeFileSync(join(path, 'plugins/mod_test_routes.lua'), ROUTES)
    writeFileSync(join(path, 'cert.pem'), wish.certificate)
    writeFileSync(join(path, 'key.pem'), wish.key, { mode: 0o600 })
    writeFileSync(join(path, 'ca.pem'), wish.ca)
    const config = join(path, 'prosody.cfg.lua')
    writeFileSync(config, configOf(path, wish, clients, servers))
    for (const user of wish.users) {
      const { status, stdout, stderr } = await run('prosodyctl', [
        '--config',
        config,
        'register',
        user,
        wish.domain,
        'pencil',
      ])
      if (status !== 0) throw new Error(`prosodyctl register: ${stdout}${stderr}`)
    }
    const child = spawn('prosody', ['--config', config, '-F'], { stdio: 'ignore' })
    const prosody = new Prosody(clients, servers, folder, child)
    try {
      await eventually('Prosody listens', async () =>
        (await reachable(clients)) && (await reachable(servers)) ? true : undefined,
      )
    } catch (error) {
      const said = prosody.log
      await prosody.stop()
      throw new Error(`Prosody does not listen: ${said}`, { cause: error })
    }
    return prosody
  }

  get log(): string {
    try {
      return readFileSync(join(this.#folder.path, 'prosody.log'), 'utf8')
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

const configOf = (path: string, wish: ProsodyWish, clients: number, servers: number): string =>
  [
    'run_as_root = true',
    `data_path = "${path}/data"`,
    `pidfile = "${path}/prosody.pid"`,
    `plugin_paths = { "${path}/plugins" }`,
    `log = { { levels = { min = "debug" }, to = "file", filename = "${path}/prosody.log" } }`,
    'interfaces = { "127.0.0.1" }',
    `c2s_ports = { ${clients} }`,
    'c2s_direct_tls_ports = {}',
    `s2s_ports = { ${servers} }`,
    'c2s_require_encryption = false',
    'allow_unencrypted_plain_auth = true',
    'authentication = "internal_plain"',
    'storage = "internal"',
    `test_routes = { ${Object.entries(wish.routes)
      .map(([domain, port]) => `["${domain}"] = ${port}`)
      .join(', ')} }`,
    'modules_enabled = { "test_routes", "roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq"' +
      ', "dialback", "s2s_bidi", "pep" }',
    ...(wish.settings ?? []),
    `VirtualHost "${wish.domain}"`,
    `  ssl = { certificate = "${path}/cert.pem", key = "${path}/key.pem", cafile = "${path}/ca.pem" }`,
    '',
  ].join('\n')

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
