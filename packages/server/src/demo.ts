// `npm start`: a complete local server for trying Aviso out.

import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { DemoOptions } from './admin/programme.ts'
import { configSchema, defineConfig, type Settings } from './config.ts'
import type { House, SettingsSource } from './house.ts'
import { checkConfig, inlineSource } from './kernel/config/load.ts'

const DOMAIN = 'aviso.test'
const HOST = 'localhost'

/** What listens where, unless somebody else does. */
const PORTS = {
  smtp: 2525,
  submission: 2587,
  submissions: 2465,
  imap: 2143,
  imaps: 2993,
  xmpp: 5222,
  xmpps: 5223,
  http: 5280,
  https: 5281,
  metrics: 9464,
} as const
type Ports = Record<keyof typeof PORTS, number>

interface DemoAccount {
  readonly address: string
  readonly password: string
}

/** What `--json` prints. */
interface Reach {
  readonly domain: string
  readonly host: string
  readonly ports: Ports
  readonly accounts: readonly DemoAccount[]
  /** PEM file of the certificate, to be given to clients as their CA. */
  readonly ca: string
  readonly data: string
  readonly pid: number
}

export async function runDemo(
  options: DemoOptions,
  run: (source: SettingsSource, started: (house: House) => Promise<void>) => Promise<number>,
): Promise<number> {
  // `localhost` is ::1 for some programs and 127.0.0.1 for others.
  const hosts = (await bindable('::1', 0)) === undefined ? ['127.0.0.1'] : ['127.0.0.1', '::1']
  const ports = await freePorts(hosts)
  const settings = demoSettings(options, hosts, ports)
  return run({ folder: options.data, load: async () => settings }, async (house) => {
    const fresh = !existsSync(passwordFile(options.data))
    const accounts = await demoAccounts(house, options.data)
    const reach: Reach = {
      domain: DOMAIN,
      host: HOST,
      ports,
      accounts,
      ca: join(options.data, 'self-signed.crt'),
      data: options.data,
      pid: process.pid,
    }
    process.stdout.write(options.json ? `${JSON.stringify(reach)}\n` : welcome(reach, fresh))
  })
}

function demoSettings({ data }: DemoOptions, hosts: readonly string[], ports: Ports): Settings {
  const at = (port: number): string[] =>
    hosts.map((host) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`))
  const config = defineConfig({
    hostname: HOST,
    domain: DOMAIN,
    data,
    'run-as-root': true,
    log: { level: 'warn' },
    endpoints: {
      smtp: { listen: at(ports.smtp) },
      submission: { listen: at(ports.submission), 'listen-tls': at(ports.submissions) },
      imap: { listen: at(ports.imap), 'listen-tls': at(ports.imaps) },
      c2s: { listen: at(ports.xmpp), 'listen-tls': at(ports.xmpps) },
      s2s: false,
      http: { listen: at(ports.http), 'listen-tls': at(ports.https) },
      metrics: { listen: `127.0.0.1:${ports.metrics}` },
    },
  })
  return checkConfig(configSchema, inlineSource(config)).settings
}

const passwordFile = (data: string): string => join(data, 'demo-accounts.json')

/** The two accounts of the demo, made at its first start. Their passwords are kept beside the data, so that scripts find them again. */
async function demoAccounts(house: House, data: string): Promise<readonly DemoAccount[]> {
  const file = passwordFile(data)
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as DemoAccount[]
  const accounts = ['anna', 'bert'].map((name) => ({
    address: `${name}@${DOMAIN}`,
    password: randomBytes(9).toString('base64url'),
  }))
  const { admin } = house.accounts
  const there = new Set((await admin.listAccounts()).map(({ address }) => address))
  for (const [index, { address, password }] of accounts.entries()) {
    if (there.has(address)) await admin.setPassword(address, password)
    else await admin.createAccount({ address, password, role: index === 0 ? 'admin' : 'user' })
  }
  // Whole or not at all: half a file would keep the demo from starting for ever.
  writeFileSync(`${file}.new`, JSON.stringify(accounts), { mode: 0o600 })
  renameSync(`${file}.new`, file)
  return accounts
}

/** The usual ports; where one is taken, any other that is free. */
async function freePorts(hosts: readonly string[]): Promise<Ports> {
  const ports: Record<string, number> = {}
  const chosen = new Set<number>(Object.values(PORTS))
  const everywhere = async (port: number): Promise<number | undefined> => {
    const [first, ...others] = hosts
    const free = first === undefined ? undefined : await bindable(first, port)
    if (free === undefined) return undefined
    for (const host of others) if ((await bindable(host, free)) === undefined) return undefined
    return free
  }
  for (const [name, port] of Object.entries(PORTS)) {
    let free = await everywhere(port)
    // The system may offer the same one twice, or one that is meant for another name.
    while (free === undefined || (free !== port && chosen.has(free))) free = await everywhere(0)
    chosen.add((ports[name] = free))
  }
  return ports as Ports
}

/** The port if it can be listened on now (0: one that the system chooses), else undefined. */
function bindable(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, host, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? undefined) : undefined))
    })
  })
}

function welcome({ domain, host, ports, accounts, ca, data }: Reach, fresh: boolean): string {
  const [anna, bert] = accounts as readonly [DemoAccount, DemoAccount]
  const credentials = fresh
    ? accounts.map(({ address, password }) => `    ${address}    password  ${password}`)
    : [
        ...accounts.map(({ address }) => `    ${address}`),
        `    (passwords were shown at the first start; they are in ${passwordFile(data)})`,
      ]
  const curl = `curl --silent --show-error --cacert ${ca}`
  const mail = `printf 'From: ${anna.address}\\r\\nTo: ${bert.address}\\r\\nSubject: Hello\\r\\n\\r\\nIt works.\\r\\n'`
  return `
Aviso is up: mail and chat for ${domain} on this machine.

  Two accounts, each a mailbox and a chat address:
${credentials.join('\n')}

  What          Server       Port   Setting in the client
  Read mail     ${host}    ${ports.imaps}   IMAP, TLS           (or ${ports.imap} with STARTTLS)
  Send mail     ${host}    ${ports.submissions}   SMTP, TLS, login    (or ${ports.submission} with STARTTLS)
  Chat          ${host}    ${ports.xmpps}   XMPP, direct TLS    (or ${ports.xmpp} with STARTTLS)
  Other servers ${host}    ${ports.smtp}   SMTP
  Web           ${host}    ${ports.https}   https://${host}:${ports.https}/chat/ to chat in a browser (it warns of the certificate)
  Metrics       127.0.0.1    ${ports.metrics}   http://127.0.0.1:${ports.metrics}/metrics
  The user name is the whole address. The certificate is self-signed; clients trust it with ${ca}

  Try, in another terminal:
    ${mail} | ${curl} smtps://${host}:${ports.submissions} --user ${anna.address}:${fresh ? anna.password : 'PASSWORD'} --mail-from ${anna.address} --mail-rcpt ${bert.address} --upload-file -
    ${curl} "imaps://${host}:${ports.imaps}/INBOX;MAILINDEX=1" --user ${bert.address}:${fresh ? bert.password : 'PASSWORD'}
    npm run --silent aviso -- status --data ${data}
    npm run --silent aviso -- account add carla@${domain} --data ${data}

  Stop with Ctrl+C. Everything is kept in ${data}
`
}
