// The `mail.remote` part of the config: how mail goes to other servers.

import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { isIP } from 'node:net'
import * as v from 'valibot'
import { duration } from '../../../kernel/units.ts'
import { networkRange } from '../../../net/addresses.ts'
import { dnsName } from '../../../net/dns/names.ts'
import { StartError } from '../../../net/start-error.ts'
import type { DestinationRule } from './courier.ts'

const count = (least = 1) => v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(least))
export const portNumber = v.pipe(count(), v.maxValue(65_535))

const tlsLevel = v.picklist(['none', 'encrypted', 'authenticated'])
const mxLevel = v.picklist(['none', 'mtasts', 'dnssec'])

/** `trust-store`: whose certificates are good. */
export const trustStore = v.optional(
  v.pipe(
    v.string(),
    v.check(
      (text) => text === 'bundled' || text === 'system' || text.startsWith('/'),
      (issue) => `expected bundled, system or the absolute path of a PEM file, but found '${issue.input}'`,
    ),
    v.description(
      "which authorities are believed: bundled (those that Node.js brings), system (those of this machine), or a PEM file of one's own",
    ),
  ),
  'bundled',
)

/** Makes the TLS settings of outgoing connections; `own` are PEM files to log in with. Throws StartError for a file that cannot be read or does not fit. */
export function clientContext(trust: string, own?: { readonly cert: string; readonly key: string }): SecureContext {
  const what =
    own === undefined ? `the trust-store '${trust}'` : `the trust-store '${trust}' or the certificate '${own.cert}'`
  try {
    // Naming the authorities of Node itself would make a store of its own of them: a few milliseconds and megabytes for nothing.
    const ca =
      trust === 'bundled'
        ? undefined
        : trust === 'system'
          ? getCACertificates('system')
          : certificatesOf(readFileSync(trust, 'utf8'))
    return createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
      ...(own === undefined ? {} : { cert: readFileSync(own.cert), key: readFileSync(own.key) }),
    })
  } catch (error) {
    throw new StartError(`${what} cannot be used: ${(error as Error).message}`, { cause: error })
  }
}

function certificatesOf(pem: string): string {
  // OpenSSL takes a file without certificates for an empty one, and then nobody would be believed.
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate')
  return pem
}

export const connectTimeouts = {
  'connect-timeout': v.pipe(
    duration('30s'),
    v.description('how long one address may take to answer, and then for the TLS handshake'),
  ),
  'command-timeout': v.pipe(duration('5m'), v.description('how long another server may take for a command')),
  'submission-timeout': v.pipe(
    duration('12m'),
    v.description('how long another server may take to confirm a message that was sent'),
  ),
}

export const timeoutsOf = (config: {
  readonly 'connect-timeout': number
  readonly 'command-timeout': number
  readonly 'submission-timeout': number
}) => {
  const command = config['command-timeout']
  return {
    connect: config['connect-timeout'],
    greeting: command,
    command,
    mail: command,
    rcpt: command,
    dataStart: command,
    dataBlock: command,
    dataEnd: config['submission-timeout'],
  }
}

export const reuse = {
  'reuse-messages': v.optional(
    v.pipe(count(), v.description('how many messages one connection carries before it is closed')),
    10,
  ),
  'idle-connections': v.optional(
    v.pipe(count(0), v.description('how many idle connections to one server are kept; 0: none')),
    5,
  ),
  'idle-time': v.pipe(duration('150s'), v.description('how long an idle connection is kept')),
}

export const poolOf = (config: {
  readonly 'reuse-messages': number
  readonly 'idle-connections': number
  readonly 'idle-time': number
}) => ({ idle: config['idle-connections'], idleTime: config['idle-time'], messages: config['reuse-messages'] })

export const sourceAddresses = v.optional(
  v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((text) => isIP(text) !== 0, 'expected an IP address of this machine'),
      ),
    ),
    v.description(
      "this machine's addresses that connections are made from, one of each family; the system chooses if none is set",
    ),
  ),
  [],
)

const rate = v.strictObject({
  messages: v.pipe(count(), v.description('how many messages may be begun')),
  per: v.pipe(duration('1m'), v.description('in this time')),
})

/** What can be set for one destination, and for all. */
const limits = {
  concurrency: v.optional(v.pipe(count(), v.description('how many messages are under way to it at the same time'))),
  rate: v.optional(v.pipe(rate, v.description('how many messages are begun in a time'))),
  tls: v.optional(v.pipe(tlsLevel, v.description('the least that TLS must reach, or the mail waits'))),
  mx: v.optional(
    v.pipe(mxLevel, v.description("how the names of the destination's servers must be assured, or the mail waits")),
  ),
}

const pattern = v.pipe(
  v.string(),
  v.check(
    (text) => text === '*' || dnsName(text.startsWith('*.') ? text.slice(2) : text) !== undefined,
    (issue) => `expected a domain such as example.org, or *.example.org for those below it, but found '${issue.input}'`,
  ),
)

export const remoteConfig = v.strictObject({
  port: v.optional(v.pipe(portNumber, v.description('where servers are asked')), 25),
  families: v.optional(
    v.pipe(
      v.picklist(['both', 'ipv4', 'ipv6']),
      v.description('which addresses are tried; IPv6 first where there are both'),
    ),
    'both',
  ),
  source: sourceAddresses,
  'own-addresses': v.optional(
    v.pipe(
      v.array(networkRange),
      v.description(
        'addresses at which others reach this server, where its interfaces do not show them (NAT): mail that is led back to them goes in circles',
      ),
    ),
    [],
  ),
  'ignored-addresses': v.optional(
    v.pipe(
      v.array(networkRange),
      v.description('addresses that no other server has: names that lead there are not followed'),
    ),
    ['127.0.0.0/8', '0.0.0.0/8', '::1', '::', '224.0.0.0/4', 'ff00::/8'],
  ),
  'address-literals': v.optional(
    v.pipe(v.boolean(), v.description('send to addresses such as anna@[192.0.2.1]')),
    false,
  ),
  'trust-store': trustStore,
  dane: v.optional(
    v.pipe(
      v.boolean(),
      v.description('believe TLSA records (RFC 7672); needs a DNS server that is trusted to validate'),
    ),
    true,
  ),
  'mta-sts': v.optional(
    v.pipe(v.boolean(), v.description('fetch and follow the MTA-STS policies of domains (RFC 8461)')),
    true,
  ),
  'require-tls': v.optional(
    v.pipe(
      v.picklist(['strict', 'relaxed']),
      v.description(
        'where a message must go with TLS (REQUIRETLS): strict asks that the other server promises the same, relaxed only that the way there is safe',
      ),
    ),
    'strict',
  ),
  'tls-required-no': v.optional(
    v.pipe(v.boolean(), v.description('messages with "TLS-Required: No" go out also where TLS policies are not met')),
    true,
  ),
  concurrency: v.optional(v.pipe(count(), v.description('messages under way to one destination at the same time')), 20),
  rate: v.optional(v.pipe(rate, v.description('messages that are begun to one destination in a time'))),
  tls: v.optional(v.pipe(tlsLevel, v.description('the least that TLS must reach, or the mail waits')), 'none'),
  mx: v.optional(v.pipe(mxLevel, v.description('how the names of servers must be assured, or the mail waits')), 'none'),
  ...reuse,
  ...connectTimeouts,
  destinations: v.optional(
    v.pipe(
      v.record(
        pattern,
        v.strictObject({
          host: v.optional(
            v.pipe(
              v.string(),
              v.check(
                (text) => isIP(text) !== 0 || dnsName(text) !== undefined,
                'expected a host name or an IP address',
              ),
              v.description('send there, whatever the DNS says'),
            ),
          ),
          port: v.optional(v.pipe(portNumber, v.description('where its servers are asked'))),
          ...limits,
        }),
      ),
      v.description('what is different for some domains; the longest pattern that fits counts'),
    ),
    {},
  ),
})

export type RemoteConfig = v.InferOutput<typeof remoteConfig>

/** What the config says of a destination: its own entry, else the nearest `*.` above it, else `*`. */
export function ruleFinder(config: RemoteConfig): (domain: string) => DestinationRule {
  const entries = new Map(
    Object.entries(config.destinations).map(([key, entry]) => {
      const wild = key.startsWith('*.')
      const name = dnsName(wild ? key.slice(2) : key) ?? key
      return [wild ? `*.${name}` : name, entry] as const
    }),
  )
  const find = (domain: string): RemoteConfig['destinations'][string] | undefined => {
    const exact = entries.get(domain)
    if (exact !== undefined) return exact
    for (let above = domain; above.includes('.');) {
      above = above.slice(above.indexOf('.') + 1)
      const wild = entries.get(`*.${above}`)
      if (wild !== undefined) return wild
    }
    return entries.get('*')
  }
  return (domain) => {
    const own = find(domain)
    return {
      host: own?.host === undefined ? undefined : (dnsName(own.host) ?? own.host),
      port: own?.port ?? config.port,
      tls: own?.tls ?? config.tls,
      mx: own?.mx ?? config.mx,
      limits: { concurrency: own?.concurrency ?? config.concurrency, rate: own?.rate ?? config.rate },
    }
  }
}
