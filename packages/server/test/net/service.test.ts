// The server as a service of its machine: privileges, systemd, monitoring, and who else has our port.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import * as v from 'valibot'
import { duration, parseDuration, parseSize, size } from '../../src/kernel/units.ts'
import { Network } from '../../src/net/contracts.ts'
import { createNetwork } from '../../src/net/listeners.ts'
import { metricsEndpoint } from '../../src/net/metrics-endpoint.ts'
import { portOwner } from '../../src/net/port-owner.ts'
import { dropPrivileges, type Identity, type PrivilegesConfig } from '../../src/net/privileges.ts'
import { Activation, systemdNotifier } from '../../src/net/systemd.ts'
import { house, settings } from './fixtures.ts'

/** A process that is `uid` now and writes down what it does. */
function someone(
  uid: number,
  how: {
    readonly denied?: string
    readonly exists?: boolean
    readonly stuck?: boolean
    readonly nobody?: boolean
  } = {},
): { identity: Identity; done: string[] } {
  const done: string[] = []
  let now = uid
  const identity: Identity = {
    getuid: () => now,
    umask: (mask) => void done.push(`umask ${mask.toString(8)}`),
    initgroups: (user, group) => void done.push(`initgroups ${user} ${group}`),
    setgroups: (groups) => void done.push(`setgroups ${groups.join()}`),
    setgid(group) {
      if (how.nobody === true) throw new Error('Group identifier does not exist: ' + String(group))
      done.push(`setgid ${group}`)
    },
    setuid(user) {
      done.push(`setuid ${user}`)
      if (how.stuck !== true) now = 990
    },
    checkWritable() {
      if (how.denied !== undefined) throw Object.assign(new Error(how.denied), { code: how.denied })
    },
    exists: () => how.exists ?? true,
    username: () => (now === 0 ? 'root' : 'aviso'),
    primaryGroup: (user) => (user === 'mailer' ? 65_000 : undefined),
  }
  return { identity, done }
}

const config = (some: Partial<PrivilegesConfig> = {}): PrivilegesConfig => ({ 'run-as-root': false, ...some })

test('root gives itself up: groups first, then the user', () => {
  const { identity, done } = someone(0)
  dropPrivileges(config({ user: 'aviso' }), '/data', identity)
  assert.deepEqual(done, ['umask 27', 'setgid aviso', 'initgroups aviso aviso', 'setuid aviso'])
  const mailer = someone(0)
  dropPrivileges(config({ user: 'mailer' }), '/data', mailer.identity)
  assert.deepEqual(mailer.done, ['umask 27', 'setgid 65000', 'initgroups mailer 65000', 'setuid mailer'])
  const numbers = someone(0)
  dropPrivileges(config({ user: '990', group: '991' }), '/data', numbers.identity)
  assert.deepEqual(numbers.done, ['umask 27', 'setgid 991', 'setgroups 991', 'setuid 990'])
})

test('what keeps it from starting is said with the remedy', () => {
  const cases: readonly (readonly [Partial<PrivilegesConfig>, ReturnType<typeof someone>, RegExp])[] = [
    [{}, someone(0), /started as root and has no other user.*useradd/],
    [{ user: 'root' }, someone(0), /user is root/],
    [{ user: 'ghost' }, someone(0, { nobody: true }), /cannot go on as user ghost.*useradd .* ghost/],
    [{ user: 'aviso' }, someone(0, { stuck: true }), /still root/],
    [{ user: 'other' }, someone(1000), /only root can change/],
    [
      {},
      someone(1000, { denied: 'EACCES' }),
      /the data folder \/data may not be written by the user aviso.*chown -R aviso \/data/,
    ],
    [{}, someone(1000, { denied: 'ENOENT', exists: false }), /does not exist.*install -d -m 750 -o aviso \/data/],
    [{}, someone(1000, { denied: 'EROFS' }), /read-only file system/],
  ]
  for (const [some, { identity }, message] of cases)
    assert.throws(() => dropPrivileges(config(some), '/data', identity), { name: 'StartError', message })
  dropPrivileges(config({ 'run-as-root': true }), '/data', someone(0).identity)
  dropPrivileges(config({ user: 'aviso' }), '/data', someone(1000).identity)
  dropPrivileges(config(), '/data', someone(1000).identity)
})

test('sockets from systemd are known by name and given out once', () => {
  const env = { LISTEN_PID: '42', LISTEN_FDS: '3', LISTEN_FDNAMES: 'smtp:imap:smtp' }
  const activation = Activation.fromEnvironment(env, [42])
  assert.deepEqual(activation.names(), ['smtp', 'imap'])
  assert.deepEqual(activation.take('smtp'), [3, 5])
  assert.deepEqual(activation.take('smtp'), [])
  assert.deepEqual(Activation.fromEnvironment(env, [43]).names(), [], 'meant for another process')
  assert.deepEqual(Activation.fromEnvironment({ ...env, LISTEN_FDS: '-1' }, [42]).names(), [])
  assert.deepEqual(Activation.fromEnvironment({ LISTEN_PID: '42', LISTEN_FDS: '1' }, [42]).take('unknown'), [3])
})

test('systemd is told how we are, and that we live', async (t) => {
  const h = house(t)
  const told: string[][] = []
  const notifier = systemdNotifier(
    h.root,
    { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '20000000' },
    async (args) => void told.push(args.slice(1)),
  )
  await notifier.ready('serving\nexample.org')
  await notifier.stopping()
  h.clock.turn(10_000)
  assert.deepEqual(told, [['READY=1', 'STATUS=serving example.org'], ['STOPPING=1'], ['WATCHDOG=1']])

  const deaf = systemdNotifier(h.root, { NOTIFY_SOCKET: '/x' }, () => Promise.reject(new Error('no such program')))
  await deaf.ready()
  await deaf.reloading()
  assert.equal(h.lines.filter(({ level }) => level === 'warn').length, 1)
})

test('monitoring: metrics, health, and nobody else', async (t) => {
  const h = house(t)
  const up = async (some: object, scope = h.root.child('metrics')): Promise<string> => {
    scope.provide(Network, await createNetwork(scope, { config: settings() }))
    const { bound } = await metricsEndpoint.create(
      v.parse(metricsEndpoint.config, { listen: '127.0.0.1:0', ...some }),
      scope,
    )
    return `http://127.0.0.1:${bound[0]?.port ?? 0}`
  }
  const url = await up({})
  const metrics = await fetch(`${url}/metrics`)
  assert.match(metrics.headers.get('content-type') ?? '', /^application\/openmetrics-text/)
  const text = await metrics.text()
  assert.match(text, /aviso_connections\{protocol="metrics"\} 1\n/)
  assert.match(text, /# EOF\n$/)
  assert.equal(await (await fetch(`${url}/healthz`)).text(), 'ok\n')
  assert.equal((await fetch(`${url}/other`)).status, 404)
  assert.equal((await fetch(`${url}/metrics`, { method: 'POST' })).status, 405)
  const strict = await up({ allow: ['192.0.2.0/24'], token: 'the-token-of-the-house' }, house(t).root)
  const asked = async (authorization?: string): Promise<number> =>
    (await fetch(`${strict}/metrics`, authorization === undefined ? {} : { headers: { authorization } })).status
  assert.equal(await asked(), 401)
  assert.equal(await asked('Bearer the-token-of-another-house'), 401)
  assert.equal(await asked('Basic the-token-of-the-house'), 401)
  assert.equal(await asked('Bearer the-token-of-the-house'), 200)
})

test(
  'the program that has a port is found by name',
  { skip: process.platform !== 'linux' && 'needs Linux' },
  async (t) => {
    const other = spawn(
      process.execPath,
      ['-e', "const s=require('net').createServer().listen(0,'127.0.0.1',()=>console.log(s.address().port))"],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    t.after(() => other.kill())
    const [line] = (await once(other.stdout, 'data')) as [Buffer]
    assert.match((await portOwner(Number(line.toString()))) ?? '', new RegExp(`^\\S+ \\(process ${other.pid ?? 0}\\)$`))
    assert.equal(await portOwner(1), undefined)
  },
)

test('durations and sizes', () => {
  for (const [text, ms] of [
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['250ms', 250],
    ['0s', 0],
    ['30', undefined],
    ['s', undefined],
    ['-5s', undefined],
    ['5 m', undefined],
    ['', undefined],
    ['9'.repeat(30) + 'd', undefined],
  ] as const) {
    assert.equal(parseDuration(text), ms, text)
  }
  for (const [text, octets] of [
    ['512B', 512],
    ['64KiB', 65_536],
    ['10MiB', 10_485_760],
    ['10 MB', 10_000_000],
    ['1.5GiB', 1_610_612_736],
    ['10', undefined],
    ['10M', undefined],
    ['-1B', undefined],
    ['9e9TiB', undefined],
  ] as const) {
    assert.equal(parseSize(text), octets, text)
  }
  const wrong = (schema: v.GenericSchema, input: unknown): string =>
    v.safeParse(schema, input).issues?.[0].message ?? 'nothing'
  assert.match(
    wrong(duration(), 30),
    /expected a duration with its unit, such as 30s or 30m, but found the bare number 30/,
  )
  assert.match(wrong(duration(), 'soon'), /expected a duration such as 30s.*found 'soon'/)
  assert.match(wrong(size(), '10 apples'), /expected a size such as .*found '10 apples'/)
  assert.match(wrong(size(), true), /expected a size such as .*found true/)
  assert.match(wrong(size(), -1), /expected a size/)
  assert.equal(v.parse(v.object({ a: duration('5m') }), {}).a, 300_000)
  assert.equal(v.parse(v.object({ a: size('1KiB') }), {}).a, 1024)
  assert.equal(v.parse(size(), 42), 42)
})
