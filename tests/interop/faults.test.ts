// What keeps a server from starting: each time a message that names the cause and the remedy, and nothing left behind.

import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { parse, stringify } from 'yaml'
import { minimal, Site } from './admin-fixture.ts'
import { AVISO, aviso, needs, run } from './programs.ts'
import { temporaryFolder } from './server.ts'

const NOBODY = 65_534

const site = (t: TestContext, settings = minimal()): Site => {
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  return new Site(folder.path, settings)
}

describe('starting', () => {
  test('quickstart in an empty folder, then start on ports that need no root', async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const here = { cwd: folder.path }
    const made = await aviso(['quickstart', 'example.test', '--json'], here)
    assert.equal(made.status, 0, made.stderr)
    const report = JSON.parse(made.stdout) as { account: string; password: string; config: string }
    assert.equal(report.account, 'admin@example.test')
    assert.equal(report.config, 'aviso.yaml')
    assert.equal((await aviso(['quickstart', 'example.test'], here)).status, 2, 'a second time')
    const file = join(folder.path, 'aviso.yaml')
    const written = parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    const { endpoints, 'run-as-root': asRoot } = minimal()
    const edited = new Site(folder.path, {
      ...written,
      endpoints,
      ...(asRoot === undefined ? {} : { 'run-as-root': asRoot }),
    })
    const server = await edited.start()
    t.after(() => server.stop())
    assert.deepEqual((await edited.status()).domains, ['example.test'])
    assert.equal((await edited.json(['account', 'show', report.account])).status, 0)
    assert.equal(await server.stop(), 0)
  })

  test('two servers on one data folder: the second says so, the first goes on', async (t) => {
    const first = site(t)
    const server = await first.start()
    t.after(() => server.stop())
    const second = await first.aviso(['start'])
    assert.equal(second.status, 6)
    assert.match(second.stderr, /in use by another process/)
    assert.match(second.stderr, /[Ss]top it/)
    assert.equal((await first.status()).running, true)
    assert.equal(await server.stop(), 0)
  })

  test('a port in use: which, by whom, and what to do', async (t) => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    t.after(() => other.close())
    const address = other.address()
    assert.ok(typeof address === 'object' && address !== null)
    const settings = minimal()
    const taken = site(t, {
      ...settings,
      // The other endpoints would want ports that only root may open.
      endpoints: {
        imap: { listen: [`127.0.0.1:${address.port}`], 'listen-tls': [] },
        smtp: false,
        submission: false,
        c2s: false,
        s2s: false,
        http: false,
        metrics: false,
      },
    })
    const { status, stderr } = await taken.aviso(['start'])
    assert.equal(status, 1)
    assert.match(
      stderr,
      new RegExp(`imap cannot listen on 127\\.0\\.0\\.1:${address.port}: .*uses that port.*[Ss]top it.*another port`),
    )
    assert.doesNotMatch(stderr, /\n +at /)
  })

  test('a certificate that does not parse, is missing, or does not fit its key', async (t) => {
    const broken = site(t, minimal({ tls: { certificate: 'broken.pem', key: 'broken.pem' } }))
    for (const content of [
      undefined,
      'no certificate at all\n',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    ]) {
      if (content !== undefined) writeFileSync(join(broken.folder, 'broken.pem'), content)
      const { status, stderr } = await broken.aviso(['start'])
      assert.equal(status, 1, stderr)
      assert.match(stderr, /broken\.pem/)
      assert.doesNotMatch(stderr, /\n +at /)
    }
  })

  test('a data folder that cannot be written', { skip: needs('setpriv') }, async (t) => {
    const root = process.getuid?.() === 0
    const closed = site(t)
    mkdirSync(closed.data)
    if (root) {
      // Root may write anywhere; nobody may not.
      chmodSync(closed.folder, 0o755)
      chownSync(closed.data, 0, 0)
      writeFileSync(closed.config, stringify({ ...minimal(), 'run-as-root': false }))
    }
    chmodSync(closed.data, 0o555)
    const as = root ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : ['env']
    const [command = '', ...args] = [...as, process.execPath, AVISO, 'start', '--config', closed.config]
    const { status, stderr } = await run(command, args, { env: { HOME: '/nonexistent' }, cwd: '/' })
    assert.ok(status === 1 || status === 6, `${String(status)} ${stderr}`)
    assert.ok(stderr.includes(closed.data), stderr)
    assert.match(stderr, /owner|permission|writ/i)
    assert.doesNotMatch(stderr, /\n +at /)
  })

  test(
    'root without a user to go on as',
    { skip: process.getuid?.() === 0 ? false : 'needs to be root' },
    async (t) => {
      const rootless = site(t, { ...minimal(), 'run-as-root': false })
      const { status, stderr } = await rootless.aviso(['start'])
      assert.equal(status, 1)
      assert.match(stderr, /started as root.*user: /)
    },
  )
})
