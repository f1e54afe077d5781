// A configuration for coturn that takes our tickets, and is no way into the networks around it

import type { RelayConfig } from './config.ts'

/** Where nobody's phone is: a relay that reaches these would open what firewalls close (RFC 6890). */
const INNER = [
  '0.0.0.0-0.255.255.255',
  '10.0.0.0-10.255.255.255',
  '100.64.0.0-100.127.255.255',
  '127.0.0.0-127.255.255.255',
  '169.254.0.0-169.254.255.255',
  '172.16.0.0-172.31.255.255',
  '192.0.0.0-192.0.0.255',
  '192.168.0.0-192.168.255.255',
  '198.18.0.0-198.19.255.255',
  '240.0.0.0-255.255.255.255',
  '::1',
  '::ffff:0:0-::ffff:ffff:ffff',
  '64:ff9b::-64:ff9b::ffff:ffff',
  'fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  'fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
]

/** The text of `turnserver.conf`. `secret`: what tickets are made with. */
export function coturnConfig(settings: RelayConfig, secret: string): string {
  const {
    host,
    port,
    tcp,
    realm = host,
    certificate,
    key,
    ports,
    'tls-port': tls,
    'external-address': outer,
  } = settings
  const lines = [
    '# For coturn: /etc/turnserver.conf. Made by `aviso turn config`; it holds a secret.',
    `listening-port=${port}`,
    ...(tls === undefined
      ? ['no-tls']
      : [
          `tls-listening-port=${tls}`,
          `cert=${certificate ?? '/etc/turnserver.crt'}`,
          `pkey=${key ?? '/etc/turnserver.key'}`,
        ]),
    'no-dtls',
    ...(tcp || tls !== undefined ? [] : ['no-tcp']),
    ...(outer === undefined ? [] : [`external-ip=${outer}`]),
    `realm=${realm}`,
    `min-port=${ports[0]}`,
    `max-port=${ports[1]}`,
    '# Only who has a ticket of ours is served, until it expires.',
    'use-auth-secret',
    `static-auth-secret=${secret}`,
    'stale-nonce=600',
    'fingerprint',
    '# Calls are between phones, by UDP.',
    'no-tcp-relay',
    'no-multicast-peers',
    ...INNER.map((range) => `denied-peer-ip=${range}`),
    'user-quota=12',
    'total-quota=1200',
    'no-cli',
    'no-rfc5780',
    'no-stun-backward-compatibility',
    'response-origin-only-with-rfc5780',
    'log-file=stdout',
    'simple-log',
  ]
  return `${lines.join('\n')}\n`
}
