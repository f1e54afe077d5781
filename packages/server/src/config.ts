// The config file: every setting of the house, with its default.

import * as v from 'valibot'
import { authConfig } from './accounts/config.ts'
import { tables } from './accounts/tables/contracts.ts'
import { chatConfig } from './chat/config.ts'
import { moduleMap } from './kernel/config/modules.ts'
import { logConfig } from './kernel/log.ts'
import { duration } from './kernel/units.ts'
import { mailConfig } from './mail/config.ts'
import { registry } from './modules.ts'
import { endpoints } from './net/contracts.ts'
import { limitsConfig } from './net/limits.ts'
import { networkConfig } from './net/listeners.ts'
import { privilegesConfig } from './net/privileges.ts'
import { tlsConfig } from './net/tls.ts'

const hostName = v.pipe(
  v.string(),
  v.regex(
    /^(?=.{1,253}$)[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?(?:\.[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?)*$/u,
    'expected a host name such as mail.example.org',
  ),
)

const count = v.pipe(v.number(), v.integer(), v.minValue(1))

export const storeConfig = v.strictObject({
  threads: v.optional(
    v.pipe(count, v.maxValue(64), v.description('store workers; one a core, four at most, if not set')),
  ),
  'open-accounts': v.optional(
    v.pipe(
      count,
      v.minValue(8),
      v.description('databases of accounts held open at the same time; each takes some 0.15 MiB'),
    ),
    256,
  ),
})

/** The schema of `aviso.yaml` and `aviso.config.ts`. */
export const configSchema = v.strictObject({
  hostname: v.pipe(hostName, v.description("this server's own name, as in its MX record")),
  domain: v.optional(
    v.pipe(
      hostName,
      v.description('a domain to serve; made at the start if it is not there. More are added with `aviso domain add`'),
    ),
  ),
  data: v.optional(
    v.pipe(v.string(), v.description('the folder that holds everything; relative to the config file')),
    './data',
  ),
  ...privilegesConfig,
  log: v.optional(v.pipe(logConfig, v.description('What is written to standard error, one line an event.')), {}),
  tls: v.optional(tlsConfig, {}),
  network: v.optional(networkConfig, {}),
  limits: v.optional(limitsConfig, {}),
  accounts: v.optional(v.pipe(authConfig, v.description('Passwords, logins, and how hard guessing is made.')), {}),
  store: v.optional(v.pipe(storeConfig, v.description('How the databases are run.')), {}),
  endpoints: moduleMap(registry, endpoints, {
    smtp: true,
    submission: true,
    imap: true,
    c2s: true,
    s2s: true,
    http: true,
    websocket: true,
    bosh: true,
    'host-meta': true,
    'chat-page': true,
    metrics: true,
  }),
  tables: moduleMap(registry, tables),
  mail: v.optional(
    v.pipe(
      mailConfig(registry),
      v.description('What is looked at and edited on the ways that mail comes in, and where it goes.'),
    ),
    {},
  ),
  chat: v.optional(v.pipe(chatConfig(registry), v.description('Limits of chat, and what it can do.')), {}),
  'reload-grace': v.pipe(
    duration('1d'),
    v.description('how long connections that were open at a reload may go on under the config they began with'),
  ),
})

export type Config = v.InferInput<typeof configSchema>
export type Settings = v.InferOutput<typeof configSchema>

/** For `aviso.config.ts`: the same data as in `aviso.yaml`, checked by the compiler while you type. */
export const defineConfig = (config: Config): Config => config
