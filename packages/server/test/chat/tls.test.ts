// Clients over the real network room: STARTTLS, direct TLS, SCRAM bound to the channel.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { clientMechanism, deriveScram, serverMechanism } from '@aviso/sasl'
import { Client } from '@aviso/xmpp'
import * as v from 'valibot'
import { Accounts, type LoginContext } from '../../src/accounts/contracts.ts'
import { Chat } from '../../src/chat/core/contracts.ts'
import { openCore } from '../../src/chat/core/core.ts'
import { coreConfig } from '../../src/chat/core/settings.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { c2s } from '../../src/chat/endpoints/c2s.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { loadCertificates } from '../../src/net/certificates.ts'
import { Network } from '../../src/net/contracts.ts'
import { createNetwork, networkConfig } from '../../src/net/listeners.ts'
import { selfSignedCertificate } from '../../src/net/self-signed.ts'
import { tlsConfig } from '../../src/net/tls.ts'
import { Store } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { testScope } from '../fixtures/scope.ts'
import { FakeAccounts } from './house.ts'

const folder = mkdtempSync(join(tmpdir(), 'aviso-chat-tls-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const SALT = Buffer.alloc(16, 2)

class ScramAccounts extends FakeAccounts {
  readonly contexts: LoginContext[] = []

  override begin(mechanism: string, context?: LoginContext): ReturnType<Accounts['begin']> {
    if (context !== undefined) this.contexts.push(context)
    if (mechanism !== 'SCRAM-SHA-1') return undefined
    return serverMechanism(mechanism, {
      offered: ['SCRAM-SHA-1'],
      secret: Buffer.alloc(16, 1),
      credentials: {
        scram: async () => ({ salt: SALT, iterations: 4096, ...(await deriveScram('SHA-1', 'pencil', SALT, 4096)) }),
        password: async () => 'not-authorized',
      },
    })
  }
}

test('clients log in with STARTTLS and with direct TLS, and write to each other', async (t) => {
  const scope = testScope({ clock: systemClock })
  t.after(() => scope.close())
  const files = await selfSignedCertificate(folder, ['example.org'], Date.now())
  const certificates = await loadCertificates(scope, v.parse(tlsConfig, {}), async () => files)
  const network = await createNetwork(scope, { config: v.parse(networkConfig, {}), certificates })
  const accounts = new ScramAccounts()
  accounts.add('anna@example.org', 'bert@example.org')
  scope.provide(Network, network)
  scope.provide(Accounts, accounts)
  scope.provide(Store, await openStore(scope, { folder, definitions: [rosterStore] }))
  const core = await openCore(scope, v.parse(coreConfig, {}))
  scope.provide(Chat, core)
  await c2s.create(v.parse(c2s.config, { listen: ['127.0.0.1:0'], 'listen-tls': ['127.0.0.1:0'] }), scope.child('c2s'))
  const port = (tls: string): number => network.bound().find((bound) => bound.tls === tls)?.port ?? 0
  const ca = readFileSync(files.certificate)
  const secured = (socket: TLSSocket): Promise<TLSSocket> =>
    new Promise((resolve, reject) => socket.once('secureConnect', () => resolve(socket)).once('error', reject))
  const sasl = (authcid: string) => (names: readonly string[]) =>
    clientMechanism(names, { authcid, password: 'pencil', secure: true, mechanisms: ['SCRAM-SHA-1'] })

  const anna = await Client.connect({
    domain: 'example.org',
    resource: 'starttls',
    connect: async () => connect(port('starttls'), '127.0.0.1'),
    startTls: async (socket) => secured(connectTls({ socket, ca, servername: 'example.org' })),
    sasl: sasl('anna@example.org'),
  })
  const bert = await Client.connect({
    domain: 'example.org',
    resource: 'direct',
    secure: true,
    connect: () =>
      secured(
        connectTls({
          port: port('implicit'),
          host: '127.0.0.1',
          ca,
          servername: 'example.org',
          ALPNProtocols: ['xmpp-client'],
        }),
      ),
    sasl: sasl('bert@example.org'),
  })
  assert.equal((bert.socket as TLSSocket).alpnProtocol, 'xmpp-client')
  for (const context of accounts.contexts) {
    assert.equal(context.secure, true)
    assert.equal(context.domain, 'example.org')
    assert.ok(context.channelBinding?.()?.has('tls-exporter'))
  }
  anna.send(`<message to='bert@example.org/direct'><body>over TLS</body></message>`)
  assert.equal((await bert.next())?.childText('body'), 'over TLS')
  bert.send(`<message to='anna@example.org/starttls'><body>both ways</body></message>`)
  assert.equal((await anna.next())?.childText('body'), 'both ways')

  const ended = [anna.ended(), bert.ended()]
  await scope.close()
  for (const reason of await Promise.all(ended)) assert.match(String(reason.error), /system-shutdown/)
})
