// Which servers are asked: those of the config, or those of /etc/resolv.conf (resolv.conf(5)).

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import * as v from 'valibot'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { AddressSet } from '../addresses.ts'
import type { DnsServer } from './transport.ts'

/** Reads `192.0.2.1`, `127.0.0.1:5353`, `::1` or `[::1]:5353`; undefined for anything else. */
export function parseServer(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text)
  const host = match === null ? text : (match[1] ?? match[2] ?? '')
  const port = Number(match?.[3] ?? 53)
  return isIP(host) === 0 || port === 0 || port > 65535 ? undefined : { host, port }
}

const count = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected at least 1'))

/** The `network.dns` part of the config. */
export const dnsConfig = v.pipe(
  v.strictObject({
    servers: v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.check(
              (text) => parseServer(text) !== undefined,
              (issue) =>
                `expected an address such as 127.0.0.1, 127.0.0.1:5353 or [::1]:53, but found '${issue.input}'`,
            ),
          ),
        ),
        v.minLength(1, 'expected at least one server'),
        v.maxLength(8, 'expected at most eight servers'),
        v.description('who is asked, with a port if it is not 53; those of /etc/resolv.conf if not set'),
      ),
    ),
    trusted: v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          'whether the servers validate DNSSEC and the way to them is safe: DANE needs that. If not set, servers on loopback are trusted, and those of a resolv.conf that says trust-ad',
        ),
      ),
    ),
    timeout: v.pipe(duration('3s'), v.description('how long one server is waited for, each time it is asked')),
    tries: v.optional(
      v.pipe(count, v.maxValue(10), v.description('how often each server is asked before a question has failed')),
      2,
    ),
    deadline: v.pipe(duration('15s'), v.description('how long a question may take in all')),
    cache: v.pipe(size('16MiB'), v.description('memory for answers that are kept as long as they say')),
  }),
  v.description('How names are looked up.'),
)
export type DnsConfig = v.InferOutput<typeof dnsConfig>

const LOOPBACK = new AddressSet(['127.0.0.0/8', '::1'])

/** resolv.conf(5): more than three are not asked. */
const MAX_SYSTEM_SERVERS = 3

/** The servers that a resolv.conf names; the one on this machine where it names none. */
export function parseResolvConf(text: string): readonly DnsServer[] {
  const hosts: string[] = []
  let trustAd = false
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver' && words[0] !== undefined && isIP(words[0]) !== 0) hosts.push(words[0])
    if (keyword === 'options') trustAd ||= words.includes('trust-ad')
  }
  if (hosts.length === 0) hosts.push('127.0.0.1')
  return hosts
    .slice(0, MAX_SYSTEM_SERVERS)
    .map((host) => ({ host, port: 53, trusted: trustAd || LOOPBACK.has(host.split('%')[0] ?? '') }))
}

/** What is asked of, as it stands now. */
export interface ServerList {
  current(): readonly DnsServer[]
}

const RESOLV_CONF = '/etc/resolv.conf'
const LOOK_AGAIN = 30_000

/** The servers of the config; without any, those of resolv.conf, which is looked at again every half minute until `scope` closes. */
export async function openServers(scope: Scope, config: DnsConfig, file = RESOLV_CONF): Promise<ServerList> {
  const { servers, trusted } = config
  const judge = (server: DnsServer): DnsServer => ({ ...server, trusted: trusted ?? server.trusted })
  if (servers !== undefined) {
    const list = preferTrusted(
      servers.flatMap((text) => {
        const server = parseServer(text)
        return server === undefined ? [] : [judge({ ...server, trusted: LOOPBACK.has(server.host) })]
      }),
    )
    return { current: () => list }
  }
  const readNow = async (): Promise<readonly DnsServer[]> => {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return preferTrusted(parseResolvConf(text).map(judge))
  }
  let list = await readNow()
  scope.interval(LOOK_AGAIN, async () => void (list = await readNow()))
  return { current: () => list }
}

/** With servers of both kinds only the trusted ones are asked: else who keeps us from reaching those could switch DANE off. */
function preferTrusted(servers: readonly DnsServer[]): readonly DnsServer[] {
  const trusted = servers.filter((server) => server.trusted)
  return trusted.length > 0 ? trusted : servers
}

/** RFC 6761 §6.3: the addresses of `localhost` and what is below it, which no server is asked for; undefined for other names. */
export function localhostAddresses(name: string): readonly string[] | undefined {
  return name === 'localhost' || name.endsWith('.localhost') ? ['127.0.0.1', '::1'] : undefined
}
