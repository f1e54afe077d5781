// What the config says of the relay for calls (TURN), and of other services.

import * as v from 'valibot'
import { duration } from '../../kernel/units.ts'

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535, 'expected a port from 1 to 65535'))
const host = v.pipe(v.string(), v.regex(/^[A-Za-z0-9.:-]{1,253}$/, 'expected a host name or an address'))
const word = v.pipe(v.string(), v.regex(/^[A-Za-z0-9-]{1,40}$/, 'expected a word such as stun or turn'))

/** One service as clients are told of it. */
export const externalService = v.strictObject({
  type: v.pipe(word, v.description('what it is: `stun`, `turn`, `turns`, `ftp` ...')),
  host: v.pipe(host, v.description('where it is')),
  port: v.optional(port),
  transport: v.optional(v.picklist(['udp', 'tcp'])),
  name: v.optional(v.pipe(v.string(), v.description('as clients show it'))),
  username: v.optional(v.string()),
  password: v.optional(v.string()),
})
export type ExternalService = v.InferOutput<typeof externalService>

const ports = v.pipe(
  v.string(),
  v.regex(/^\d{1,5}-\d{1,5}$/, 'expected two ports such as 49152-65535'),
  v.transform((text) => text.split('-').map(Number) as [number, number]),
  v.check(([first, last]) => first > 0 && first <= last && last < 65_536, 'expected a lower and a higher port'),
)

/** The relay for calls. */
export const relayConfig = v.strictObject({
  host: v.pipe(host, v.description('where clients reach the relay')),
  port: v.optional(v.pipe(port, v.description('for UDP, and TCP')), 3478),
  tcp: v.optional(v.pipe(v.boolean(), v.description('clients may reach it by TCP, too')), true),
  'tls-port': v.optional(v.pipe(port, v.description('for TLS; none if not set'))),
  secret: v.optional(
    v.pipe(
      v.string(),
      v.minLength(16, 'expected 16 characters at least'),
      v.regex(/^[\x21-\x7E]+$/, 'expected ASCII without spaces'),
      v.description('what tickets are made with, as the relay has it; made and kept by this server if not set'),
    ),
  ),
  ttl: v.pipe(duration('12h'), v.description('how long a ticket is good for: as long as a call may last')),
  realm: v.optional(v.pipe(host, v.description('what the relay calls itself; its host if not set'))),
  'external-address': v.optional(
    v.pipe(
      host,
      v.description('the address by which the relay is seen from outside, where it does not have it itself (NAT)'),
    ),
  ),
  ports: v.optional(v.pipe(ports, v.description('the UDP ports of which it takes some for each call')), '49152-65535'),
  certificate: v.optional(
    v.pipe(v.string(), v.description('for `tls-port`: the file with the certificate, for the relay')),
  ),
  key: v.optional(v.pipe(v.string(), v.description('for `tls-port`: the file with its key'))),
})
export type RelayConfig = v.InferOutput<typeof relayConfig>
