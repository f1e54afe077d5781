// A server's life: start, reload, stop.

import assert from 'node:assert/strict'
import { connect, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { House } from '../../src/house.ts'
import { HandClock } from '../../src/kernel/clock.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { Store } from '../../src/store/contracts.ts'
import { BASE, type Running, startHouse, Talker, temporaryFolder } from './fixture.ts'

const anna = { address: 'anna@example.org', password: 'annas secret' }

describe('start', () => {
  test('everything listens, and status tells of it', async (t) => {
    const { house, port } = await startHouse(t)
    const status = await house.status()
    assert.equal(status.generation, 1)
    assert.equal(status.retiring, 0)
    assert.equal(status.hostname, 'mail.example.org')
    assert.deepEqual(status.domains, ['example.org'])
    assert.deepEqual(status.bound.map(({ protocol, tls }) => `${protocol} ${tls}`).sort(), [
      'c2s starttls',
      'http implicit',
      'http none',
      'imap implicit',
      'imap starttls',
      'metrics none',
      's2s starttls',
      'smtp starttls',
      'submission starttls',
    ])
    const smtp = Talker.to(port('smtp'))
    await smtp.expect(/^220 mail\.example\.org ESMTP ready\r\n/)
    assert.deepEqual((await house.status()).connections, { smtp: 1 })
    const response = await fetch(`http://127.0.0.1:${port('metrics')}/metrics`)
    assert.match(await response.text(), /aviso_connections\{protocol="smtp"\} 1/)
    smtp.socket.destroy()
  })

  test('the web tells metrics to those who show the token, and to nobody where there is none', async (t) => {
    const ask = async ({ port }: Running, path: string, headers: Record<string, string> = {}): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port('http', 'none')}${path}`, { headers })).status
    const closed = await startHouse(t)
    assert.equal(await ask(closed, '/metrics'), 404)
    assert.equal(await ask(closed, '/healthz'), 200)
    const metrics = { listen: 'none', token: 'the-token-of-the-house' } as const
    const running = await startHouse(t, { ...BASE, endpoints: { ...BASE.endpoints, metrics } })
    assert.ok(!running.house.bound.some(({ protocol }) => protocol === 'metrics'))
    assert.equal(await ask(running, '/metrics'), 401)
    assert.equal(await ask(running, '/metrics', { authorization: 'Bearer the-token-of-the-house' }), 200)
  })

  test('a port in use: the start fails with a remedy, and nothing stays open', async (t) => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    t.after(() => taken.close())
    const { port } = taken.address() as { port: number }
    const config = { ...BASE, endpoints: { ...BASE.endpoints, metrics: { listen: `127.0.0.1:${port}` } } }
    await assert.rejects(startHouse(t, config), /metrics cannot listen on 127\.0\.0\.1:\d+: /)
  })

  test('a domain that is written with capitals or umlauts is there at the second start too', async (t) => {
    const running = await startHouse(t, { ...BASE, domain: 'Bücher.Example' })
    assert.deepEqual((await running.house.status()).domains, ['xn--bcher-kva.example'])
    await running.house.reload()
    assert.equal((await running.house.status()).generation, 2)
  })
})

describe('reload', () => {
  test('a session that was open goes on under the config it began with, new ones see the new one', async (t) => {
    const running = await startHouse(t)
    const { house, port } = running
    const before = { smtp: port('smtp'), imap: port('imap') }
    const old = Talker.to(before.smtp)
    await old.expect(/^220 mail\.example\.org [^\n]*\n/)
    running.config = { ...BASE, hostname: 'new.example.org' }
    await house.reload()
    assert.deepEqual({ smtp: port('smtp'), imap: port('imap') }, before, 'the listeners are handed over')
    const fresh = Talker.to(before.smtp)
    await fresh.expect(/^220 new\.example\.org /)
    await old.ask('EHLO client.example', /250-mail\.example\.org[^]*250 [^\r]*\r\n/)
    const status = await house.status()
    assert.equal(status.generation, 2)
    assert.equal(status.retiring, 1)
    await old.ask('QUIT', /^221 /)
    await old.ended()
    fresh.socket.destroy()
    await fresh.ended()
    // The old generation is taken down when its last session is gone.
    for (let turn = 0; turn < 200 && (await house.status()).retiring > 0; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    assert.equal((await house.status()).retiring, 0)
  })

  test('a config that does not start leaves the old one running', async (t) => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    t.after(() => taken.close())
    const running = await startHouse(t)
    const { house, port } = running
    const old = Talker.to(port('smtp'))
    await old.expect(/^220 [^\n]*\n/)
    const { port: other } = taken.address() as { port: number }
    // The new smtp listener is opened before the one that fails: it must be closed again.
    running.config = {
      ...BASE,
      hostname: 'new.example.org',
      endpoints: { ...BASE.endpoints, metrics: { listen: `127.0.0.1:${other}` } },
    }
    await assert.rejects(house.reload(), /metrics cannot listen on/)
    running.config = { hostname: 'not a name' }
    await assert.rejects(house.reload(), /hostname/)
    const status = await house.status()
    assert.equal(status.generation, 1)
    assert.equal(status.bound.length, 9)
    const fresh = Talker.to(port('smtp'))
    await fresh.expect(/^220 mail\.example\.org [^\n]*\n/)
    await old.ask('NOOP', /^250 [^\n]*\n/)
    assert.equal(running.lines.filter(({ event }) => event === 'reload-failed').length, 2)
    running.config = { ...BASE, hostname: 'third.example.org' }
    await house.reload()
    await Talker.to(port('smtp')).expect(/^220 third\.example\.org /)
  })

  test('another data folder needs a restart; so do some settings, which is said', async (t) => {
    const running = await startHouse(t)
    running.config = { ...BASE, data: 'elsewhere' }
    await assert.rejects(running.house.reload(), /the setting 'data' changed: that needs a restart/)
    running.config = { ...BASE, log: { level: 'debug' } }
    await running.house.reload()
    assert.equal(running.lines.find(({ msg }) => /next restart/.test(String(msg)))?.['setting'], 'log')
  })

  test('several at once come one after the other; one that comes behind a stop is refused', async (t) => {
    const { house } = await startHouse(t)
    await Promise.all([house.reload(), house.reload()])
    assert.equal((await house.status()).generation, 3)
    const stopped = house.stop()
    await assert.rejects(house.reload(), /stopping/)
    await stopped
    await assert.rejects(house.status(), /stopping/)
  })

  test('an endpoint that the new config has no more is closed', async (t) => {
    const running = await startHouse(t)
    const smtp = running.port('smtp')
    running.config = { ...BASE, endpoints: { ...BASE.endpoints, smtp: false } }
    await running.house.reload()
    const error = await new Promise<NodeJS.ErrnoException>((resolve, reject) =>
      connect({ port: smtp, host: '127.0.0.1' })
        .on('error', resolve)
        .on('connect', () => reject(new Error('open'))),
    )
    assert.equal(error.code, 'ECONNREFUSED')
  })
})

describe('stop', () => {
  test('every protocol says good-bye in its own words', async (t) => {
    const { house, port } = await startHouse(t)
    const smtp = Talker.to(port('smtp'))
    await smtp.expect(/^220 [^\n]*\n/)
    const imap = Talker.to(port('imap'))
    await imap.expect(/^\* OK [^\n]*\n/)
    const chat = Talker.to(port('c2s'))
    chat.socket.write(
      "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    )
    await chat.expect(/<\/stream:features>/)
    const stopped = house.stop()
    await smtp.expect(/^421 /)
    await imap.expect(/^\* BYE /)
    await chat.expect(/<system-shutdown[^]*<\/stream:stream>/)
    await Promise.all([smtp.ended(), imap.ended()])
    chat.socket.destroy()
    await stopped
  })

  test('a session that does not end is cut off at the deadline', async (t) => {
    const { house, port } = await startHouse(t, { ...BASE, network: { 'shutdown-deadline': '100ms' } })
    const smtp = Talker.to(port('smtp'))
    await smtp.expect(/^220 [^\n]*\n/)
    await smtp.ask('EHLO client.example', /250 [^\r]*\r\n/)
    await smtp.ask('MAIL FROM:<>', /^250 [^\n]*\n/)
    await house.stop()
    await smtp.ended()
  })

  test('sessions of old generations end too, and a second stop waits for the first', async (t) => {
    const { house, port } = await startHouse(t)
    const smtp = Talker.to(port('smtp'))
    await smtp.expect(/^220 [^\n]*\n/)
    await house.reload()
    const stopped = Promise.all([house.stop(), house.stop()])
    await smtp.expect(/^421 /)
    await stopped
  })

  test('the data folder is one server’s at a time; after the stop the next one finds everything in it', async (t) => {
    const running = await startHouse(t)
    await running.house.accounts.admin.createAccount(anna)
    const { settings } = running.house
    const options = {
      source: { folder: running.folder, load: async () => settings },
      log: silentLog(),
      environment: {},
    }
    await assert.rejects(House.start(options), /in use by another process/)
    await running.house.stop()
    const again = await House.start(options)
    try {
      assert.deepEqual(
        (await again.accounts.admin.listAccounts()).map(({ address }) => address),
        ['anna@example.org'],
      )
    } finally {
      await again.stop()
    }
  })
})

describe('rest', () => {
  test('the threads of the store are told once for each rest, after a reload too, and not before the server is up', async (t) => {
    const clock = new HandClock()
    let used = 0
    const favoured: boolean[] = []
    const rest = {
      used: () => used,
      heap: () => 0,
      favourMemory: (memory: boolean): void => void favoured.push(memory),
    }
    const { house } = await startHouse(t, BASE, temporaryFolder(t), { clock, rest })
    const told = t.mock.method(house.rooms.use(Store), 'rest')
    const look = async (share: number): Promise<void> => {
      used += share * 5_000_000
      clock.turn(5_000)
      await new Promise(setImmediate)
    }
    for (const share of [0.5, 0.5, 0.001, 0.001, 0.001]) await look(share)
    assert.equal(told.mock.callCount(), 1)
    await house.reload()
    for (const share of [0.5, 0.001, 0.001]) await look(share)
    assert.equal(told.mock.callCount(), 2)
    assert.deepEqual(favoured, [true, false, true])
    await house.stop()
    assert.equal(favoured.at(-1), false)
    for (const share of [0.5, 0.001]) await look(share)
    assert.equal(told.mock.callCount(), 2)
  })
})

describe('a login that holds no more', () => {
  test('ends IMAP sessions when the password changes, and when the account is disabled', async (t) => {
    const { house, port } = await startHouse(t)
    const { admin } = house.accounts
    await admin.createAccount(anna)
    const login = async (password: string): Promise<Talker> => {
      const imap = Talker.to(port('imap', 'implicit'), true)
      await imap.expect(/^\* OK [^\n]*\n/)
      await imap.ask(`a LOGIN ${anna.address} "${password}"`, /^a OK /m)
      return imap
    }
    const first = await login(anna.password)
    await admin.setPassword(anna.address, 'another secret')
    await first.expect(/\* BYE [^\r]*not valid any more/)
    const second = await login('another secret')
    await second.ask('b NOOP', /b OK /)
    await admin.disableAccount(anna.address)
    await second.expect(/\* BYE /)
  })
})
