// A Prosody of our own, on loopback: see `foreign-server.ts`.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ForeignServer, type ForeignWish, type Premises } from './foreign-server.ts'
import { needs, succeed } from './programs.ts'

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

export const startProsody = (wish: ForeignWish): Promise<ForeignServer> =>
  ForeignServer.start(wish, 'prosody.log', async (premises) => {
    const { path } = premises
    for (const name of ['data', 'plugins']) mkdirSync(join(path, name))
    writeFileSync(join(path, 'plugins/mod_test_routes.lua'), ROUTES)
    const config = join(path, 'prosody.cfg.lua')
    writeFileSync(config, configOf(wish, premises))
    for (const user of wish.users)
      await succeed('prosodyctl', ['--config', config, 'register', user, wish.domain, 'pencil'])
    return { command: 'prosody', args: ['--config', config, '-F'] }
  })

const configOf = (wish: ForeignWish, { path, clients, servers }: Premises): string =>
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
      ', "dialback", "s2s_bidi", "vcard", "version", "pep" }',
    `s2s_secure_auth = ${String(wish.strict)}`,
    `VirtualHost "${wish.domain}"`,
    `  ${tls(path)}`,
    `Component "rooms.${wish.domain}" "muc"`,
    `  ${tls(path)}`,
    '  modules_enabled = { "muc_mam" }',
    '',
  ].join('\n')

const tls = (path: string): string =>
  `ssl = { certificate = "${path}/cert.pem", key = "${path}/key.pem", cafile = "${path}/ca.pem" }`
