// What each table says of a key.

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { Accounts, Resolution } from '../../../src/accounts/contracts.ts'
import { parseTable } from '../../../src/accounts/tables/file.ts'
import { numbered } from '../../../src/accounts/tables/sql/postgres.ts'
import { HandClock } from '../../../src/kernel/clock.ts'
import { openTestTables, testFolder } from './fixture.ts'

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
}

describe('file', () => {
  test('pairs, comments, lists, keys in any case', async (t) => {
    const folder = testFolder(t)
    writeFileSync(
      join(folder, 'aliases'),
      '# ours\r\nInfo@Example.ORG: anna@example.org, ben@example.org,\n\nvip   # alone\nempty:\n"a b@x#y": odd\ninfo@example.org : carl@example.org\nstrasse@bücher.example: x # note\n',
    )
    const { look } = await openTestTables(t, { file: { path: 'aliases' } }, { folder })
    assert.deepEqual(await look('file', 'info@example.org'), [
      'anna@example.org',
      'ben@example.org',
      'carl@example.org',
    ])
    assert.deepEqual(await look('file', 'vip'), [''])
    assert.deepEqual(await look('file', 'empty'), [''])
    assert.deepEqual(await look('file', 'a b@x#y'), ['odd'])
    assert.deepEqual(await look('file', 'strasse@xn--bcher-kva.example'), ['x'])
    assert.deepEqual(await look('file', 'nobody'), [])
  })

  test('it is read again when it changed; a broken file keeps what was there, a missing one is empty', async (t) => {
    const folder = testFolder(t)
    const path = join(folder, 'list')
    writeFileSync(path, 'a: 1\n')
    const clock = new HandClock()
    const { look, lines } = await openTestTables(t, { file: { path: 'list', every: '15s' } }, { folder, clock })
    const turn = async (): Promise<void> => {
      clock.turn(15_000)
      await settled()
    }
    writeFileSync(path, 'a: 2\nb: longer\n')
    assert.deepEqual(await look('file', 'a'), ['1'], 'not before its time')
    await turn()
    assert.deepEqual(await look('file', 'a'), ['2'])
    writeFileSync(path, 'a: 3\nno colon but blanks\n')
    await turn()
    assert.deepEqual(await look('file', 'a'), ['2'])
    await turn()
    const broken = lines.filter(({ msg }) => /cannot be read/.test(String(msg)))
    assert.equal(broken.length, 1, 'said once')
    assert.match(JSON.stringify(broken[0]), /line 2/)
    rmSync(path)
    await turn()
    await turn()
    assert.deepEqual(await look('file', 'a'), [])
    assert.equal(lines.filter(({ msg }) => /not there/.test(String(msg))).length, 1)
    writeFileSync(path, 'a: back\n')
    await turn()
    assert.deepEqual(await look('file', 'a'), ['back'])
  })

  test('a file that is not there at the start is an empty table', async (t) => {
    const { look, lines } = await openTestTables(t, { file: { path: 'nowhere/list' } })
    assert.deepEqual(await look('file', 'a'), [])
    assert.ok(lines.some(({ msg }) => /not there/.test(String(msg))))
  })

  test('whatever stands in it, it is read or refused as a whole', () =>
    fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        const pairs = await parseTable(text).catch((error: unknown) => {
          assert.match(String(error), /line \d+/)
          return new Map<string, string[]>()
        })
        for (const [key, values] of pairs) assert.ok(key !== '' && values.every((value) => !value.includes('\n')))
      }),
    ))
})

describe('sql', () => {
  const init = [
    'CREATE TABLE people (login TEXT, mail TEXT)',
    "INSERT INTO people VALUES ('anna', 'anna@example.org'), ('anna', 'a@example.org'), ('nil', NULL)",
  ]

  test('sql-query: each row is a value, NULL is the value that is none', async (t) => {
    const { look } = await openTestTables(t, {
      'sql-query/named': {
        path: 'named.db',
        'read-only': false,
        init,
        lookup: 'SELECT mail FROM people WHERE login = :key',
      },
      'sql-query/placed': {
        path: 'placed.db',
        'read-only': false,
        init,
        lookup: 'SELECT mail FROM people WHERE login = ?',
      },
    })
    for (const key of ['sql-query/named', 'sql-query/placed']) {
      assert.deepEqual(await look(key, 'anna'), ['anna@example.org', 'a@example.org'])
      assert.deepEqual(await look(key, 'nil'), [''])
      assert.deepEqual(await look(key, "anna' OR '1'='1"), [])
    }
  })

  test('sql-query: a database that is not there, or a wrong query, is an error and not an empty answer', async (t) => {
    const { look, lines } = await openTestTables(t, {
      'sql-query/gone': { path: 'gone.db', lookup: 'SELECT 1' },
      'sql-query/wrong': { path: 'people.db', 'read-only': false, lookup: 'SELEC ?' },
    })
    await assert.rejects(look('sql-query/gone', 'a'), /database of the table/)
    await assert.rejects(look('sql-query/wrong', 'a'), /syntax error/)
    assert.equal(lines.filter(({ msg }) => /cannot be opened/.test(String(msg))).length, 2, 'said at the start')
  })

  test('sql-query: one that takes too long is given up; the next one works when the database is free again', async (t) => {
    const clock = new HandClock()
    const { look } = await openTestTables(
      t,
      {
        'sql-query': {
          path: 'people.db',
          'read-only': false,
          timeout: '5s',
          lookup:
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000000) SELECT i FROM n WHERE i = -1 AND :key = 'slow' UNION ALL SELECT 'quick' WHERE :key <> 'slow'",
        },
      },
      { clock },
    )
    const slow = look('sql-query', 'slow')
    await settled()
    clock.turn(5000)
    await assert.rejects(slow, /within 5 s/)
    await assert.rejects(look('sql-query', 'quick'), /given up/, 'one thread at a time')
    for (;;) {
      const found = await look('sql-query', 'quick').catch(() => undefined)
      if (found !== undefined) return assert.deepEqual(found, ['quick'])
      await settled()
    }
  })

  test('sql-table: makes its table, and sees what others write into it', async (t) => {
    const { DatabaseSync } = await import('node:sqlite')
    const { look, folder } = await openTestTables(t, { 'sql-table': { path: 'map.db', table: 'aliases' } })
    assert.deepEqual(await look('sql-table', 'info@example.org'), [])
    const other = new DatabaseSync(join(folder, 'map.db'))
    other.exec(
      "INSERT INTO aliases VALUES ('info@example.org', 'anna@example.org'), ('info@example.org', 'ben@example.org')",
    )
    other.close()
    assert.deepEqual(await look('sql-table', 'info@example.org'), ['anna@example.org', 'ben@example.org'])
  })
})

test('sql-table: its columns may have other names', async (t) => {
  const { DatabaseSync } = await import('node:sqlite')
  const columns = { 'key-column': 'login', 'value-column': 'mail' }
  const { look, folder } = await openTestTables(t, { 'sql-table': { path: 'map.db', table: 'people', ...columns } })
  assert.deepEqual(await look('sql-table', 'anna'), [])
  const other = new DatabaseSync(join(folder, 'map.db'))
  other.exec("INSERT INTO people (login, mail) VALUES ('anna', 'anna@example.org')")
  other.close()
  assert.deepEqual(await look('sql-table', 'anna'), ['anna@example.org'])
})

describe('the small ones', () => {
  test('identity, localpart, with-domain', async (t) => {
    const { look } = await openTestTables(t, {
      identity: true,
      localpart: true,
      'localpart/plain': { 'detail-separator': '+', optional: true },
      'with-domain': { domains: ['example.org', 'bücher.example'] },
    })
    assert.deepEqual(await look('identity', 'x'), ['x'])
    assert.deepEqual(await look('localpart', 'anna+lists@example.org'), ['anna+lists'])
    assert.deepEqual(await look('localpart', 'anna'), [])
    assert.deepEqual(await look('localpart/plain', 'anna+lists@example.org'), ['anna'])
    assert.deepEqual(await look('localpart/plain', '+lists@example.org'), ['+lists'])
    assert.deepEqual(await look('localpart/plain', 'anna'), ['anna'])
    assert.deepEqual(await look('with-domain', 'anna'), ['anna@example.org', 'anna@xn--bcher-kva.example'])
    assert.deepEqual(await look('with-domain', 'anna@example.net'), [])
  })

  test('static: a value or several by key, in any spelling; the same key twice is a mistake', async (t) => {
    const { look } = await openTestTables(t, {
      static: { entries: { 'Info@BÜCHER.example': ['a', 'b'], 'bücher.example': 'c', Plain: '' } },
    })
    assert.deepEqual(await look('static', 'info@xn--bcher-kva.example'), ['a', 'b'])
    assert.deepEqual(await look('static', 'BÜCHER.EXAMPLE'), ['c'])
    assert.deepEqual(await look('static', 'plain'), [''])
    assert.deepEqual(await look('static', 'nobody@xn--bcher-kva.example'), [])
    const entries = { 'team@example.org': 'anna@example.org', 'Team@Example.ORG': 'ben@example.org' }
    await assert.rejects(openTestTables(t, { static: { entries } }), /the same but for their spelling/)
  })

  test('chain: values flow on, one that misses ends it, an optional one does not', async (t) => {
    const { look } = await openTestTables(t, {
      'static/first': { entries: { a: ['b', 'c'], lone: 'x' } },
      'static/second': { entries: { b: '1', c: ['1', '2'] } },
      'chain/strict': { steps: ['static/first', 'static/second'] },
      'chain/loose': {
        steps: [
          { table: 'static/first', optional: true },
          { table: 'static/second', optional: true },
        ],
      },
    })
    assert.deepEqual(await look('chain/strict', 'a'), ['1', '2'])
    assert.deepEqual(await look('chain/strict', 'lone'), [])
    assert.deepEqual(await look('chain/strict', 'nothing'), [])
    assert.deepEqual(await look('chain/loose', 'lone'), ['x'])
    assert.deepEqual(await look('chain/loose', 'b'), ['1'])
    assert.deepEqual(await look('chain/loose', 'nothing'), ['nothing'])
  })

  test('chain: a step that is not there keeps the config from starting', async (t) => {
    await assert.rejects(openTestTables(t, { chain: { steps: ['static'] } }), /there is no table 'static'/)
  })

  test('accounts: our addresses, what aliases lead to, our domains; an error stays one', async (t) => {
    const accounts = {
      isLocal: (domain: string) => domain === 'example.org',
      async resolve(address: string): Promise<Resolution> {
        if (address === 'broken@example.org') throw new Error('no database')
        if (!address.endsWith('@example.org')) return { kind: 'foreign' }
        if (address !== 'team@example.org') return { kind: 'unknown' }
        const anna = { id: 'a', local: 'anna', domain: 'example.org', role: 'user', disabled: false } as const
        return { kind: 'local', accounts: [{ ...anna, address: 'anna@example.org' }], forwards: ['zoe@example.com'] }
      },
    } as Partial<Accounts> as Accounts
    const { look } = await openTestTables(t, { accounts: true, 'accounts/ours': { forwards: false } }, { accounts })
    assert.deepEqual(await look('accounts', 'team@example.org'), ['anna@example.org', 'zoe@example.com'])
    assert.deepEqual(await look('accounts/ours', 'team@example.org'), ['anna@example.org'])
    assert.deepEqual(await look('accounts', 'zoe@example.org'), [])
    assert.deepEqual(await look('accounts', 'zoe@example.com'), [])
    assert.deepEqual(await look('accounts', 'example.org'), [''])
    assert.deepEqual(await look('accounts', 'example.com'), [])
    await assert.rejects(look('accounts', 'broken@example.org'))
  })
})

describe('which database', () => {
  test('one of SQLite and PostgreSQL has to be named', async (t) => {
    const lookup = 'SELECT ?'
    for (const wrong of [
      { lookup },
      { lookup, path: 'x.db', postgres: 'postgres://x' },
      { lookup, postgres: 'mysql://x' },
    ])
      await assert.rejects(openTestTables(t, { 'sql-query': wrong }))
  })

  test('the key’s placeholder as PostgreSQL writes it', () => {
    assert.equal(
      numbered(`SELECT a::text FROM "t?" WHERE k = :key AND x = ':key?' AND y = 'it''s ?' AND z = ? AND :keys`),
      `SELECT a::text FROM "t?" WHERE k = $1 AND x = ':key?' AND y = 'it''s ?' AND z = $1 AND :keys`,
    )
  })
})
