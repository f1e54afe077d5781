// The `chat.s2s` part of the config: which other servers are spoken with, and how.

import * as v from 'valibot'
import { domainPattern, preparedDomain } from '../core/address-list.ts'
import { duration, size } from '../../kernel/units.ts'

const count = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected at least 1'))

const domains = (description: string) => v.optional(v.pipe(v.array(domainPattern), v.description(description)), [])

export const s2sConfig = v.pipe(
  v.strictObject({
    enabled: v.optional(v.pipe(v.boolean(), v.description('false: only chat among the own domains')), true),
    'require-tls': v.optional(
      v.pipe(v.boolean(), v.description('nothing is said to other servers in the clear, nor heard')),
      true,
    ),
    'require-certificate': v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          'other servers must have a certificate for their domain that can be verified. With dialback, it is the one of the server that answers for the domain',
        ),
      ),
      true,
    ),
    'secure-domains': domains('domains that must have such a certificate even where it is not required'),
    'insecure-domains': domains('domains that need none; dialback alone, without it, trusts the DNS'),
    'allowed-domains': v.optional(
      v.pipe(v.array(domainPattern), v.description('if set, the only domains that are spoken with')),
    ),
    'blocked-domains': domains('domains that are not spoken with'),
    dialback: v.optional(
      v.pipe(
        v.boolean(),
        v.description('believe, and be believed, by dialback where certificates do not do (XEP-0220)'),
      ),
      true,
    ),
    bidi: v.optional(
      v.pipe(v.boolean(), v.description('use one connection for both ways where both servers can (XEP-0288)')),
      true,
    ),
    families: v.optional(
      v.pipe(
        v.picklist(['both', 'ipv4', 'ipv6']),
        v.description('which addresses are tried; IPv6 first where there are both'),
      ),
      'both',
    ),
    dane: v.optional(
      v.pipe(
        v.boolean(),
        v.description('believe TLSA records (RFC 7673); needs a DNS server that is trusted to validate'),
      ),
      true,
    ),
    routes: v.optional(
      v.pipe(
        v.record(
          v.pipe(
            v.string(),
            v.transform((text) => preparedDomain(text) ?? text),
          ),
          v.pipe(
            v.string(),
            v.regex(/^(?:\[[0-9a-fA-F:]+\]|[^\s:[\]]+):\d{1,5}$/, 'expected host:port, such as 192.0.2.1:5269'),
          ),
        ),
        v.description('servers of domains that are not looked up in the DNS: domain, then host:port'),
      ),
      {},
    ),
    'trust-store': v.optional(
      v.pipe(
        v.string(),
        v.minLength(1),
        v.description(
          'who may vouch for certificates: bundled (as Mozilla has it), system, or a PEM file of certificate authorities',
        ),
      ),
      'bundled',
    ),
    'connect-timeout': v.pipe(duration('10s'), v.description('for one address of another server')),
    'negotiation-timeout': v.pipe(
      duration('30s'),
      v.description('from the connection to both sides knowing each other'),
    ),
    'reach-timeout': v.pipe(
      duration('1m'),
      v.description('for all addresses of another server; then what waits is sent back'),
    ),
    'retry-delay': v.pipe(duration('10s'), v.description('how long a server that was not reached is not tried again')),
    'idle-timeout': v.pipe(duration('30m'), v.description('how long a connection without stanzas is kept')),
    'queue-stanzas': v.optional(
      v.pipe(count, v.description('stanzas that wait for one server while it is being reached')),
      1000,
    ),
    'queue-octets': v.pipe(size('2MiB'), v.description('their size')),
    'max-connections': v.optional(v.pipe(count, v.description('connections to other servers at the same time')), 2000),
    'max-verifications': v.optional(
      v.pipe(count, v.description('dialback keys that are being verified at the same time')),
      100,
    ),
    'max-stanza': v.pipe(size('512KiB'), v.description('the biggest stanza that another server may send')),
    'max-stanza-before-auth': v.pipe(size('10KiB'), v.description('the same before it has proved its domain')),
    'max-write-buffer': v.pipe(
      size('4MiB'),
      v.description('how much may wait for a server that does not read; beyond it the connection is given up'),
    ),
  }),
  v.description('Chat with people on other servers.'),
)
export type S2sConfig = v.InferOutput<typeof s2sConfig>
