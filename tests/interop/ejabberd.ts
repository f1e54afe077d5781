// An ejabberd of our own, on loopback: see `foreign-server.ts`. It is an Erlang without a name, so that it has nothing to do with other nodes, and needs no port mapper.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { FakeDns, type ZoneRecords } from '../../packages/server/src/net/dns/testing/index.ts'
import { ForeignServer, type ForeignWish, type Premises } from './foreign-server.ts'
import { needs } from './programs.ts'

const CONTROL = '/usr/sbin/ejabberdctl'

/** For `skip:` of a test. */
export const needsEjabberd = (): string | false => needs(CONTROL, 'erl')

export async function startEjabberd(wish: ForeignWish, t: TestContext): Promise<ForeignServer> {
  // It asks the DNS where others are; addresses it has from the C library.
  const zones = Object.entries(wish.routes).map(([domain, port]): [string, ZoneRecords] => [
    `_xmpp-server._tcp.${domain}`,
    { SRV: [[0, 0, port, 'localhost']] },
  ])
  const dns = await FakeDns.start(Object.fromEntries(zones))
  t.after(() => dns.close())
  return ForeignServer.start(wish, 'ejabberd.log', (premises) => {
    const { path } = premises
    mkdirSync(join(path, 'spool'))
    writeFileSync(join(path, 'chain.pem'), wish.certificate + wish.key, { mode: 0o600 })
    writeFileSync(join(path, 'ejabberd.yml'), configOf(wish, premises))
    // Nobody else is asked.
    writeFileSync(join(path, 'inetrc'), '{resolv_conf, ""}.\n{hosts_file, ""}.\n{lookup, [dns]}.\n')
    const port = dns.address.slice(dns.address.lastIndexOf(':') + 1)
    const register = wish.users.map(
      (user) => `ok = ejabberd_auth:try_register(<<"${user}">>, <<"${wish.domain}">>, <<"pencil">>)`,
    )
    return {
      command: 'erl',
      args: ['-noinput', '-mnesia', 'dir', `"${join(path, 'spool')}"`].concat(
        ['-eval', `ok = inet_db:add_ns({127,0,0,1}, ${port}).`],
        ['-s', 'ejabberd'],
        ['-eval', `${register.join(', ')}.`],
      ),
      env: {
        HOME: path,
        EJABBERD_CONFIG_PATH: join(path, 'ejabberd.yml'),
        EJABBERD_LOG_PATH: join(path, 'ejabberd.log'),
        ERL_INETRC: join(path, 'inetrc'),
        ERL_CRASH_DUMP: join(path, 'crash.dump'),
        // Where Debian has the libraries of this machine's kind.
        ERL_LIBS: /^ERL_LIBS='(.*)'$/m.exec(readFileSync(CONTROL, 'utf8'))?.[1] ?? '',
      },
    }
  })
}

const configOf = (wish: ForeignWish, { path, clients, servers }: Premises): string => `
hosts: ["${wish.domain}"]
loglevel: debug
certfiles: ["${path}/chain.pem"]
ca_file: "${path}/ca.pem"
auth_method: internal
auth_password_format: plain
s2s_use_starttls: required
s2s_dns_timeout: 5
listen:
  -
    port: ${clients}
    ip: "127.0.0.1"
    module: ejabberd_c2s
  -
    port: ${servers}
    ip: "127.0.0.1"
    module: ejabberd_s2s_in
modules:
  mod_disco: {}
  mod_mam: {}
  mod_muc:
    host: "rooms.${wish.domain}"
    default_room_options:
      mam: true
  mod_ping: {}
  mod_roster: {}
${wish.strict ? '' : '  mod_s2s_dialback: {}\n'}  mod_vcard: {}
  mod_version: {}
`
