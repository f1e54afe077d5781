// coturn, with the configuration that `aviso turn config` prints, lets in who has a ticket of ours, and nobody else.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as v from 'valibot'
import { relayConfig } from '../../packages/server/src/chat/relay/config.ts'
import { Relay } from '../../packages/server/src/chat/relay/relay.ts'
import { HandClock } from '../../packages/server/src/kernel/clock.ts'
import { testScope } from '../../packages/server/test/fixtures/scope.ts'
import { freePort, needs, run } from './programs.ts'
import { temporaryFolder } from './server.ts'

/** For the test everything is on this machine, which the relay otherwise reaches nobody on. */
const LOOPBACK = ['listening-ip=127.0.0.1', 'relay-ip=127.0.0.1', 'allow-loopback-peers', 'allowed-peer-ip=127.0.0.1']

test('a ticket opens the relay until it expires', { skip: needs('turnserver', 'turnutils_uclient') }, async (t) => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const settings = v.parse(relayConfig, { host: '127.0.0.1', port: await freePort(), secret: 'x'.repeat(32) })
  const relayAt = (now: number): Relay => new Relay(testScope({ clock: new HandClock(now) }), settings)
  const file = join(folder.path, 'turnserver.conf')
  const text = await relayAt(Date.now()).coturn()
  const own = [...LOOPBACK, `userdb=${join(folder.path, 'turn.db')}`, `pidfile=${join(folder.path, 'turn.pid')}`]
  writeFileSync(file, `${text}${own.join('\n')}\n`)
  const server = spawn('turnserver', ['-c', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => server.once('close', () => resolve()))
  t.after(async () => {
    server.kill('SIGKILL')
    await ended
  })
  let log = ''
  const up = new Promise<void>((resolve) => {
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', (octets: Buffer) => {
        log += octets.toString()
        if (log.includes('Total General servers')) resolve()
      })
  })
  await Promise.race([up, ended.then(() => assert.fail(log))])
  assert.doesNotMatch(log, /Bad configuration|unknown|ERROR/i)

  /** Two clients that send each other 5 packets through the relay: those that arrived. */
  const tried = async (username: string, password: string): Promise<string> => {
    const args = ['-u', username, '-w', password, '-y', '-n', '5', '-m', '1', '-p', String(settings.port), '127.0.0.1']
    const { stdout, stderr } = await run('turnutils_uclient', args)
    return stdout + stderr
  }
  const now = await relayAt(Date.now()).ticket('anna')
  assert.match(await tried(now.username, now.password), /tot_recv_msgs=[1-9]/)
  assert.doesNotMatch(await tried(now.username, 'guessed'), /tot_recv_msgs=[1-9]/)
  const old = await relayAt(Date.now() - 13 * 3_600_000).ticket('anna')
  assert.doesNotMatch(await tried(old.username, old.password), /tot_recv_msgs=[1-9]/)
})
