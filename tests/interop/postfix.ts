// A Postfix of our own, on loopback, with folders of its own: it takes mail for example.net into a Maildir, and sends everything else to one relay.

import { chownSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { type ChildProcess, spawn } from 'node:child_process'
import { eventually, needs, succeed } from './programs.ts'
import { temporaryFolder } from './server.ts'

export interface PostfixWish {
  /** PEM: its certificate and key. */
  readonly certificate: string
  readonly key: string
  /** Where mail for others goes, `[127.0.0.1]:port`, and with what TLS: further lines of main.cf. */
  readonly relay?: { readonly port: number; readonly settings: readonly string[] }
}

/** For `skip:` of a test. */
export const needsPostfix = (): string | false =>
  process.getuid?.() === 0 ? needs('/usr/sbin/postfix') : 'needs Postfix and the rights of root to run one'

const NOBODY = 65_534

export class Postfix {
  readonly port: number
  readonly #folder: ReturnType<typeof temporaryFolder>
  readonly #process: ChildProcess
  readonly #said: Buffer[]

  private constructor(port: number, folder: ReturnType<typeof temporaryFolder>, child: ChildProcess, said: Buffer[]) {
    this.port = port
    this.#folder = folder
    this.#process = child
    this.#said = said
  }

  static async start({ certificate, key, relay }: PostfixWish): Promise<Postfix> {
    const folder = temporaryFolder()
    const { path } = folder
    await succeed('chmod', ['755', path])
    for (const name of ['conf', 'queue', 'data', 'mail']) mkdirSync(join(path, name), { mode: 0o755 })
    const [uid = '0', gid = '0'] = (await succeed('sh', ['-c', 'id -u postfix; id -g postfix'])).trim().split('\n')
    chownSync(join(path, 'data'), Number(uid), Number(gid))
    chownSync(join(path, 'mail'), NOBODY, NOBODY)
    writeFileSync(join(path, 'key.pem'), key, { mode: 0o600 })
    writeFileSync(join(path, 'cert.pem'), certificate)
    const port = await freePort()
    writeFileSync(join(path, 'conf/main.cf'), mainCf(path, relay))
    writeFileSync(join(path, 'conf/master.cf'), masterCf(port))
    const said: Buffer[] = []
    const child = spawn('/usr/sbin/postfix', ['-c', join(path, 'conf'), 'start-fg'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (octets: Buffer) => said.push(octets))
    const postfix = new Postfix(port, folder, child, said)
    try {
      await eventually('Postfix listens', async () => ((await reachable(port)) ? true : undefined))
    } catch (error) {
      const said = postfix.log
      await postfix.stop()
      throw new Error(`Postfix does not listen: ${said}`, { cause: error })
    }
    return postfix
  }

  get log(): string {
    return this.#read('log') + Buffer.concat(this.#said).toString()
  }

  /** The process that all others of it come from; undefined when it does not run. */
  get master(): number | undefined {
    const pid = Number(this.#read('queue/pid/master.pid').trim())
    return pid > 1 ? pid : undefined
  }

  #read(file: string): string {
    try {
      return readFileSync(join(this.#folder.path, file), 'utf8')
    } catch {
      return ''
    }
  }

  /** The messages that it has taken, without the fields that it put on top. */
  get mail(): readonly string[] {
    const folder = join(this.#folder.path, 'mail/all/new')
    try {
      return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    } catch {
      return []
    }
  }

  async stop(): Promise<void> {
    // Its master is no child of the command that started it; `postfix stop` would wait for a log that nobody writes any more.
    const master = this.master
    if (master !== undefined) process.kill(master, 'SIGTERM')
    this.#process.kill('SIGTERM')
    // Its last children write while they end.
    await eventually('the folder of Postfix goes', () => {
      try {
        rmSync(this.#folder.path, { recursive: true, force: true })
        return true
      } catch {
        return undefined
      }
    })
  }
}

const mainCf = (path: string, relay: PostfixWish['relay']): string =>
  [
    'compatibility_level = 3.6',
    `queue_directory = ${path}/queue`,
    `data_directory = ${path}/data`,
    'command_directory = /usr/sbin',
    'daemon_directory = /usr/lib/postfix/sbin',
    'mail_owner = postfix',
    'setgid_group = postdrop',
    'myhostname = mx.example.net',
    'mydestination =',
    'alias_maps =',
    'alias_database =',
    'inet_interfaces = 127.0.0.1',
    'inet_protocols = ipv4',
    `maillog_file = ${path}/log`,
    `maillog_file_prefixes = ${path}`,
    'mynetworks = 127.0.0.0/8',
    'smtputf8_enable = yes',
    'virtual_mailbox_domains = example.net',
    `virtual_mailbox_base = ${path}/mail`,
    'virtual_mailbox_maps = static:all/',
    `virtual_uid_maps = static:${NOBODY}`,
    `virtual_gid_maps = static:${NOBODY}`,
    'smtpd_tls_security_level = may',
    `smtpd_tls_chain_files = ${path}/key.pem, ${path}/cert.pem`,
    'smtpd_tls_received_header = yes',
    ...(relay === undefined ? [] : [`relayhost = [127.0.0.1]:${relay.port}`, ...relay.settings]),
    '',
  ].join('\n')

const masterCf = (port: number): string =>
  [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    'postlog unix-dgram n - n - 1 postlogd',
    'pickup unix n - n 60 1 pickup',
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'proxymap unix - - n - - proxymap',
    'tlsmgr unix - - n 1000? 1 tlsmgr',
    'smtp unix - - n - - smtp',
    'error unix - - n - - error',
    'retry unix - - n - - error',
    'virtual unix - n n - - virtual',
    'anvil unix - - n - 1 anvil',
    'scache unix - - n - 1 scache',
    '',
  ].join('\n')

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

const reachable = async (port: number): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1')
  try {
    const [greeting] = (await once(socket, 'data')) as [Buffer]
    return greeting.toString().startsWith('220')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
