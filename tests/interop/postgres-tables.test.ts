// Tables in a real PostgreSQL, where it is installed.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, globSync, mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { systemClock } from '../../packages/server/src/kernel/clock.ts'
import { openTestTables } from '../../packages/server/test/accounts/tables/fixture.ts'
import { eventually, succeed } from './programs.ts'
import { temporaryFolder } from './server.ts'

/** Debian keeps one for each version. */
const [bin] = globSync('/usr/lib/postgresql/*/bin').filter(
  (folder) => globSync(`${folder}/{initdb,postgres,psql}`).length === 3,
)

interface Postgres {
  readonly url: string
  query(sql: string): Promise<string>
  stop(): Promise<void>
}

/** A server with an empty database; it refuses to run as root. */
async function start(t: TestContext): Promise<Postgres> {
  assert.ok(bin)
  const folder = temporaryFolder()
  t.after(() => folder.remove())
  const place = join(folder.path, 'data')
  mkdirSync(place)
  let ids: { uid?: number; gid?: number } = {}
  const drop: string[] = []
  if (process.getuid?.() === 0) {
    const uid = Number(await succeed('id', ['-u', 'postgres']))
    const gid = Number(await succeed('id', ['-g', 'postgres']))
    ids = { uid, gid }
    for (const one of [folder.path, place]) chownSync(one, uid, gid)
    drop.push('setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups')
  }
  const [first = '', ...rest] = [...drop, join(bin, 'initdb')]
  await succeed(first, [...rest, '-D', place, '-U', 'aviso', '-A', 'trust', '--no-sync'])
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const server: ChildProcess = spawn(
    join(bin, 'postgres'),
    [
      '-D',
      place,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `unix_socket_directories=${place}`,
      '-F',
    ],
    { stdio: 'ignore', ...ids },
  )
  const stop = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGQUIT')
    await once(server, 'exit')
  }
  t.after(stop)
  const url = `postgres://aviso@127.0.0.1:${port}/postgres`
  const query = (sql: string): Promise<string> => succeed(join(bin, 'psql'), ['-qAt', url, '-c', sql])
  await eventually('PostgreSQL', () =>
    query('SELECT 1')
      .then(() => true)
      .catch(() => undefined),
  )
  return { url, query, stop }
}

describe('tables in PostgreSQL', { skip: bin === undefined ? 'needs postgresql' : false }, () => {
  test('a query of one’s own, a table of pairs, and "later" when the server is gone', async (t) => {
    const { url, query, stop } = await start(t)
    await query(
      "CREATE TABLE people (login text, mail text); INSERT INTO people VALUES ('anna', 'anna@example.org'), ('anna', 'a@example.org'), ('nil', NULL)",
    )
    const { look, lines } = await openTestTables(
      t,
      {
        'sql-query': {
          postgres: url,
          lookup: "SELECT mail::text FROM people WHERE login = :key AND '?' <> ':key' ORDER BY mail",
        },
        'sql-query/slow': {
          postgres: url,
          timeout: '300ms',
          lookup: 'SELECT pg_sleep(5)::text WHERE ?::text IS NOT NULL',
        },
        'sql-query/wrong': { postgres: url, lookup: 'SELEC ?' },
        'sql-table': { postgres: url, table: 'aliases' },
      },
      { clock: systemClock },
    )
    assert.deepEqual(await look('sql-query', 'anna'), ['a@example.org', 'anna@example.org'])
    assert.deepEqual(await look('sql-query', 'nil'), [''])
    assert.deepEqual(await look('sql-query', "x' OR '1'='1"), [])
    assert.deepEqual(await look('sql-table', 'info@example.org'), [])
    await query(
      "INSERT INTO aliases VALUES ('info@example.org', 'ben@example.org'), ('info@example.org', 'anna@example.org')",
    )
    assert.deepEqual(await look('sql-table', 'info@example.org'), ['anna@example.org', 'ben@example.org'])
    await assert.rejects(look('sql-query/slow', 'a'), /within 0.3 s|statement timeout/)
    await assert.rejects(look('sql-query/wrong', 'a'), /syntax error/)
    await stop()
    await assert.rejects(look('sql-query', 'anna'))
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    )
  })

  test('a server that is away at the start keeps nobody from starting', async (t) => {
    const { url, stop } = await start(t)
    await stop()
    const { look, lines } = await openTestTables(
      t,
      { 'sql-table': { postgres: url, table: 'a' } },
      { clock: systemClock },
    )
    await assert.rejects(look('sql-table', 'a'))
    assert.ok(lines.some(({ msg }) => /cannot be opened/.test(String(msg))))
  })
})
