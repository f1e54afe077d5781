// Measures the message archive in this process: how soon a message is kept, and a page of 50 found among many.
// `node scripts/run.cjs bench/in-process/archive.ts [messages]`

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { archiveStore } from '../../packages/server/src/chat/archive/archive.store.ts'
import { SqliteDatabase } from '../../packages/server/src/store/sqlite.ts'

const messages = Number(process.argv[2] ?? 100_000)
const CONTACTS = 50
const BEGIN = Date.UTC(2025, 0, 1)
const folder = mkdtempSync(join(tmpdir(), 'aviso-archive-'))
const database = new SqliteDatabase(join(folder, 'account.db'), 'account')
const { append, query, search } = archiveStore.operations
for (const migration of archiveStore.migrations) database.script(migration)

const ids = Array.from(
  { length: messages },
  (_, n) => (BEGIN + n * 1000).toString(36) + Math.random().toString(36).slice(2, 14),
)
const contact = (n: number): string => `contact${n % CONTACTS}@example.org`
const anyId = (): string => ids[Math.floor(Math.random() * messages)] ?? ''

database.begin()
const begun = performance.now()
for (const [n, id] of ids.entries()) {
  const xml = `<message xmlns='jabber:client' from='${contact(n)}/phone' to='anna@example.org' type='chat' id='m${n}'><body>message ${n} of a long talk about the tide, the pilot and his second boat</body></message>`
  await append.run(database, {
    id,
    at: BEGIN + n * 1000,
    contact: contact(n),
    resource: 'phone',
    xml,
    oldest: 0,
    most: 1e6,
  })
}
database.commit()
const each = ((performance.now() - begun) / messages) * 1000
console.log(
  `append ${each.toFixed(1)} us, ${Math.round(statSync(join(folder, 'account.db')).size / messages)} octets a message`,
)

async function measure(name: string, ask: (n: number) => unknown): Promise<void> {
  const times: number[] = []
  for (let n = 0; n < 1000; n++) {
    const at = performance.now()
    await ask(n)
    times.push(performance.now() - at)
  }
  times.sort((a, b) => a - b)
  console.log(`${name}: p50 ${times[500]?.toFixed(2)} ms, p99 ${times[990]?.toFixed(2)} ms`)
}
const start = BEGIN
await measure('last page', () => query.run(database, { filter: { start }, page: { max: 50, backwards: true } }))
await measure('page before an id', () =>
  query.run(database, { filter: { start }, page: { max: 50, backwards: true, before: anyId() } }),
)
await measure('page with a contact before an id', (n) =>
  query.run(database, { filter: { start, contact: contact(n) }, page: { max: 50, backwards: true, before: anyId() } }),
)
await measure('page from a time on', () =>
  query.run(database, {
    filter: { start: BEGIN + Math.random() * messages * 1000 },
    page: { max: 50, backwards: false },
  }),
)
await measure('step of a text search', (n) =>
  search.run(database, {
    filter: { start },
    page: { max: 50, backwards: true },
    words: ['nowhere'],
    from: messages - n,
  }),
)
database.close()
rmSync(folder, { recursive: true })
