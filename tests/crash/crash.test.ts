// `kill -9` under load, then start again: everything that was acknowledged is there, once and whole.
// AVISO_CRASH_ROUNDS says how many times (default 6), AVISO_CRASH_SEED which dice (default: other ones each time).

import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { Ledger } from './ledger.ts'
import { load } from './load.ts'
import { between, openImap, seeded } from './peers.ts'
import { ANNA, aviso, BERT, delay, Folder, Server } from './server.ts'
import { Verification } from './verify.ts'

const ROUNDS = Number(process.env['AVISO_CRASH_ROUNDS'] ?? 6)
const SEED = Number(process.env['AVISO_CRASH_SEED'] ?? randomInt(1_000_000))
/** The rounds that one data folder goes through before a new one is begun: what is verified grows with each. */
const ROUNDS_A_FOLDER = 10

test(`X-06: kill -9 under load, ${ROUNDS} times: what was acknowledged is there once (seed ${SEED})`, async (t) => {
  for (let first = 0; first < ROUNDS; first += ROUNDS_A_FOLDER) {
    const folder = new Folder('crash')
    try {
      const rounds = Math.min(ROUNDS_A_FOLDER, ROUNDS - first)
      t.diagnostic(await voyage(folder.path, first, rounds))
    } finally {
      folder.remove()
    }
  }
})

/** Some rounds on one data folder; answers what happened, in words. */
async function voyage(folder: string, first: number, rounds: number): Promise<string> {
  const random = seeded(SEED + first)
  const ledger = new Ledger([ANNA, BERT])
  const verification = new Verification(ledger)
  let server = await Server.start({ folder })
  let chats = 0
  let restarts = 0
  try {
    await server.makeAccounts()
    for (const { account, names } of ledger.filings) {
      const client = await openImap(server.ports, account)
      for (const name of names) await client.command(`CREATE ${name}`)
      await client.logout()
    }
    // What UIDVALIDITY and UIDNEXT are before anything happens.
    await verification.run(server, false)
    for (let round = 0; round < rounds; round++) {
      const moment = between(random, 100, 1000)
      const loaded = load(server, ledger, SEED + first + round)
      // It may fail before it is waited for.
      loaded.catch(() => {})
      await Promise.race([delay(moment), loaded])
      await server.kill()
      await loaded
      chats += [...ledger.messages.values()].filter(({ state }) => state === 'acknowledged').length
      // A crash while the last one is being mended is a crash too.
      for (; random() < 0.3; restarts++) {
        const early = Server.begin({ folder })
        await delay(between(random, 200, 1000))
        await early.kill()
      }
      server = await Server.start({ folder })
      await verification.run(server, round === rounds - 1)
      assert.deepEqual(
        verification.faults,
        [],
        `seed ${SEED}, round ${first + round + 1}, killed after ${moment} ms of load`,
      )
    }
    const queue = await aviso(['queue', '--json', '--config', join(folder, 'aviso.yaml')])
    assert.equal(queue.status, 0, queue.stderr)
    verification.queue((JSON.parse(queue.stdout) as { readonly address: string }[]).map(({ address }) => address))
    assert.deepEqual(verification.faults, [], `seed ${SEED}`)
  } finally {
    if (server.running) await server.stop()
  }
  const blobs = onDisk(join(folder, 'data'), ledger)
  const mails = [...ledger.mails.values()]
  return (
    `rounds ${first + 1}-${first + rounds}: ${mails.filter(({ state }) => state === 'acknowledged').length} of ${mails.length} mails acknowledged, ` +
    `${chats} chat messages, ${ledger.appended.size} appended, ${ledger.imports.seen.size} imported, ${restarts} crashes at the start, ${blobs}`
  )
}

/** With the server stopped: the databases are sound, what they refer to is there, blobs are what their names say. */
function onDisk(data: string, ledger: Ledger): string {
  const referred = new Set<string>()
  for (const file of globSync(join(data, '**/*.db'))) {
    const database = new DatabaseSync(file, { readOnly: true })
    const all = (sql: string): Record<string, unknown>[] => database.prepare(sql).all()
    assert.deepEqual(all('PRAGMA integrity_check').map(Object.values), [['ok']], file)
    const ofAccount = file.endsWith('account.db')
    const ofQueue = file.endsWith('queue.db')
    const large = ofAccount
      ? all('SELECT blob FROM mail_email WHERE blob IS NOT NULL')
      : ofQueue
        ? all('SELECT blob FROM spool_mail WHERE blob IS NOT NULL')
        : []
    for (const { blob } of large) {
      const name = String(blob)
      const path = join(ofAccount ? join(file, '..') : data, 'blobs', name.slice(0, 2), name)
      assert.ok(existsSync(path), `${path} is referred to and missing`)
      referred.add(path)
    }
    if (ofQueue)
      for (const { address, bytes, blob } of all(
        'SELECT r.address AS address, b.bytes AS bytes, m.blob AS blob FROM spool_recipient r JOIN spool_mail m ON m.seq = r.mail LEFT JOIN spool_body b ON b.mail = m.seq',
      )) {
        const mail = [...ledger.mails.values()].find(({ foreign }) => foreign.includes(String(address)))
        assert.ok(mail, `${String(address)} waits in the queue and nobody sent it`)
        const name = String(blob)
        const octets =
          blob === null ? Buffer.from(bytes as Uint8Array) : readFileSync(join(data, 'blobs', name.slice(0, 2), name))
        const digest = createHash('sha256')
          .update(octets.subarray(octets.length - mail.size))
          .digest('hex')
        // The pipeline may have completed the header; the octets that were sent end the mail all the same.
        assert.equal(digest, mail.digest, `${mail.name} in the queue is not as it was sent`)
      }
    database.close()
  }
  let [orphans, temporary] = [0, 0]
  for (const file of globSync(join(data, '**/blobs/??/*'))) {
    if (file.endsWith('.tmp')) {
      temporary++
      continue
    }
    const octets = readFileSync(file)
    assert.ok(file.endsWith(createHash('sha256').update(octets).digest('hex')), `${file} is not what its name says`)
    if (!referred.has(file)) orphans++
  }
  return `${referred.size} blobs, ${orphans} orphans, ${temporary} unfinished`
}
