// One mail to many local accounts: how long its sender waits, how long until all have it, and what somebody else's mail costs meanwhile.
// `node scripts/run.cjs bench/in-process/many-recipients.ts [RECIPIENTS] [OCTETS]`

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseMailAddress } from '@aviso/mime'
import * as v from 'valibot'
import { type Account, Accounts } from '../../packages/server/src/accounts/contracts.ts'
import { AccountRooms } from '../../packages/server/src/accounts/rooms.ts'
import { openTables } from '../../packages/server/src/accounts/tables/tables.ts'
import { systemClock } from '../../packages/server/src/kernel/clock.ts'
import { silentLog } from '../../packages/server/src/kernel/log.ts'
import { Metrics } from '../../packages/server/src/kernel/metrics.ts'
import { Registry } from '../../packages/server/src/kernel/module.ts'
import { systemRandom } from '../../packages/server/src/kernel/random.ts'
import { Scope } from '../../packages/server/src/kernel/scope.ts'
import { mailConfig } from '../../packages/server/src/mail/config.ts'
import { openMail, Pipelines } from '../../packages/server/src/mail/mail.ts'
import { mailModules } from '../../packages/server/src/mail/modules.ts'
import type { Client } from '../../packages/server/src/mail/pipeline/contracts.ts'
import { Findings } from '../../packages/server/src/mail/pipeline/findings.ts'
import { Message } from '../../packages/server/src/mail/pipeline/message.ts'
import { createQueueAdmin } from '../../packages/server/src/mail/targets/queue/admin.ts'
import { Resolver } from '../../packages/server/src/net/dns/contracts.ts'
import { zoneResolver } from '../../packages/server/src/net/dns/testing/index.ts'
import { ConfigFolder } from '../../packages/server/src/kernel/config/folder.ts'
import { Store } from '../../packages/server/src/store/contracts.ts'
import { openStore } from '../../packages/server/src/store/open.ts'

const RECIPIENTS = Number(process.argv[2] ?? 10_000)
const OCTETS = Number(process.argv[3] ?? 4096)

const scope = Scope.root({ log: silentLog(), metrics: new Metrics(), clock: systemClock, random: systemRandom })
const folder = mkdtempSync(join(tmpdir(), 'aviso-many-'))
const worker = pathToFileURL(join(import.meta.dirname, '../../packages/server/src/store-worker.ts'))
const { stores } = await import('../../packages/server/src/stores.ts')
const store = await openStore(scope, { folder, definitions: stores, worker })
scope.provide(Store, store)
scope.provide(Resolver, zoneResolver({}))
scope.provide(ConfigFolder, folder)
const account = (local: string): Account => ({
  id: local,
  address: `${local}@example.org`,
  local,
  domain: 'example.org',
  role: 'user',
  disabled: false,
})
const accounts: Pick<Accounts, 'resolve' | 'byId' | 'isLocal' | 'domains' | 'watch'> = {
  resolve: (address) =>
    Promise.resolve({ kind: 'local', accounts: [account(address.split('@')[0] ?? '')], forwards: [] }),
  byId: (id) => Promise.resolve(account(id)),
  isLocal: (domain) => domain === 'example.org',
  domains: () => ['example.org'],
  watch: () => () => {},
}
scope.provide(Accounts, accounts as Accounts)
await openTables(scope, [])
const settings = v.parse(mailConfig(new Registry(mailModules)), {
  incoming: { checks: { spf: false, dkim: false, dmarc: false, arc: false }, modifiers: { arc: false } },
})
const mail = await openMail(scope, settings, 'mail.example.org', new AccountRooms())
mail.begin()
const { incoming } = scope.use(Pipelines)
const queue = createQueueAdmin(store, systemRandom, () => {})
const findings = new Findings()
const client: Client = {
  session: 's',
  log: silentLog(),
  protocol: 'smtp',
  remoteAddress: '192.0.2.1',
  hello: 'bench.example',
  extended: true,
  tls: undefined,
  account: undefined,
  once: (finding, make) => findings.once(finding, make),
}
const sender = parseMailAddress('bo@example.net') ?? null

/** Milliseconds from the end of the data to the answer. */
async function send(to: readonly string[], octets: number): Promise<number> {
  const passage = await incoming.begin(client, sender, { body: '7BIT', smtpUtf8: false, requireTls: false })
  for (const local of to) {
    const address = parseMailAddress(`${local}@example.org`)
    if (address !== undefined) await passage.recipient(address, {})
  }
  const text = `From: bo@example.net\r\nSubject: bench\r\n\r\n${'All work and no play makes a long mail.\r\n'.repeat(Math.ceil(octets / 41))}`
  const began = performance.now()
  await passage.data(Message.of(Buffer.from(text)))
  return performance.now() - began
}

const figure = (list: number[]): string => {
  list.sort((a, b) => a - b)
  const at = (part: number): string => (list[Math.floor((list.length - 1) * part)] ?? 0).toFixed(1)
  return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms, max ${at(1)} ms (${list.length} mails)`
}

try {
  const alone: number[] = []
  for (let i = 0; i < 100; i++) alone.push(await send(['other'], 4096))
  console.log(`somebody else's mail, alone:     ${figure(alone)}`)
  for (const round of ['new accounts', 'accounts that have mail']) {
    const began = performance.now()
    const waited = await send(
      Array.from({ length: RECIPIENTS }, (_, i) => `u${i}`),
      OCTETS,
    )
    const meanwhile: number[] = []
    let late = 0
    for (;;) {
      const tick = performance.now()
      meanwhile.push(await send(['other'], 4096))
      const { recipients } = await queue.figures()
      if (recipients === 0) break
      await new Promise((resolve) => setTimeout(resolve, 20))
      late = Math.max(late, performance.now() - tick - 20)
    }
    const seconds = (performance.now() - began) / 1000
    console.log(
      `${RECIPIENTS} ${round}: the sender waited ${waited.toFixed(0)} ms, all have it after ${seconds.toFixed(1)} s (${(RECIPIENTS / seconds).toFixed(0)}/s)`,
    )
    console.log(`somebody else's mail, meanwhile: ${figure(meanwhile)}`)
  }
} finally {
  await scope.close()
  rmSync(folder, { recursive: true, force: true })
}
