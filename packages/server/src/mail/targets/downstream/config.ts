// The settings that smart hosts and LMTP targets have in common.

import * as v from 'valibot'
import { connectTimeouts, reuse, sourceAddresses, trustStore } from '../remote/config.ts'
import { serversSetting } from './servers.ts'

const path = v.pipe(
  v.string(),
  v.check((text) => text.startsWith('/'), 'expected an absolute path'),
)

const login = v.pipe(
  v.strictObject({
    user: v.optional(v.pipe(v.string(), v.minLength(1), v.description('who logs in'))),
    password: v.optional(v.pipe(v.string(), v.minLength(1), v.description('best as ${file:/path}'))),
    mechanisms: v.optional(
      v.pipe(
        v.array(
          v.picklist([
            'PLAIN',
            'LOGIN',
            'SCRAM-SHA-1',
            'SCRAM-SHA-256',
            'SCRAM-SHA-512',
            'SCRAM-SHA-1-PLUS',
            'SCRAM-SHA-256-PLUS',
            'SCRAM-SHA-512-PLUS',
            'EXTERNAL',
          ]),
        ),
        v.minLength(1),
        v.description('only these; the strongest that the server offers, if not set'),
      ),
    ),
    certificate: v.optional(v.pipe(path, v.description('PEM file: log in with this certificate (EXTERNAL)'))),
    key: v.optional(v.pipe(path, v.description('PEM file of its private key'))),
  }),
  v.check(
    ({ certificate, key }) => (certificate === undefined) === (key === undefined),
    'certificate and key go together: one of them is missing',
  ),
  v.check(
    ({ user, password }) => (user === undefined) === (password === undefined),
    'user and password go together: one of them is missing',
  ),
  v.check(({ user, certificate }) => user !== undefined || certificate !== undefined, 'expected user or certificate'),
)

/** `port` where a server names none; `tls` that is demanded when nothing is said. */
export const downstreamConfig = (port: number, tls: 'none' | 'authenticated') =>
  v.strictObject({
    servers: serversSetting(port),
    hostname: v.optional(
      v.pipe(v.string(), v.minLength(1), v.description('our name there, if not that of this server')),
    ),
    tls: v.optional(
      v.pipe(
        v.picklist(['none', 'encrypted', 'authenticated']),
        v.description(
          'what TLS must reach, or the mail waits: authenticated asks for a good certificate, encrypted for any, none uses TLS where it is offered',
        ),
      ),
      tls,
    ),
    login: v.optional(v.pipe(login, v.description('how to log in there'))),
    'trust-store': trustStore,
    source: sourceAddresses,
    concurrency: v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.description('how many messages are under way there at the same time'),
      ),
      20,
    ),
    ...reuse,
    ...connectTimeouts,
  })

export type DownstreamConfig = v.InferOutput<ReturnType<typeof downstreamConfig>>
