// The mail rooms over a real store, with accounts made of a list and a clock turned by hand.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { parseMailAddress } from '@aviso/mime'
import { type MailParameters, type RecipientParameters, SmtpError } from '@aviso/smtp'
import * as v from 'valibot'
import { type Account, Accounts, type Resolution, type Role } from '../../../src/accounts/contracts.ts'
import { type Permission, Roles } from '../../../src/accounts/roles.ts'
import { AccountRooms } from '../../../src/accounts/rooms.ts'
import { tables } from '../../../src/accounts/tables/contracts.ts'
import { tableModules } from '../../../src/accounts/tables/modules.ts'
import { openTables } from '../../../src/accounts/tables/tables.ts'
import { moduleMap } from '../../../src/kernel/config/modules.ts'
import { ConfigFolder } from '../../../src/kernel/config/folder.ts'
import { HandClock } from '../../../src/kernel/clock.ts'
import { recordingLog } from '../../../src/kernel/log.ts'
import { type AnyModule, Registry } from '../../../src/kernel/module.ts'
import type { Scope } from '../../../src/kernel/scope.ts'
import { mailConfig } from '../../../src/mail/config.ts'
import { openMail, Pipelines } from '../../../src/mail/mail.ts'
import { Mailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import { keyStore } from '../../../src/mail/keys/store.ts'
import { appendLimitStore } from '../../../src/mail/mailboxes/append-limits.store.ts'
import { shareStore } from '../../../src/mail/mailboxes/sharing/shares.store.ts'
import { greylistStore } from '../../../src/mail/checks/greylist/greylist.store.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { mailModules } from '../../../src/mail/modules.ts'
import {
  type Client,
  type MailCheck,
  mailCheck,
  type MailModifier,
  mailModifier,
  type MailTarget,
  mailTarget,
} from '../../../src/mail/pipeline/contracts.ts'
import { Findings } from '../../../src/mail/pipeline/findings.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { Stories } from '../../../src/mail/stories/stories.ts'
import { createTransportAdmin } from '../../../src/mail/transport.ts'
import { storyStore } from '../../../src/mail/stories/store.ts'
import { remoteStore } from '../../../src/mail/targets/remote/store.ts'
import { Resolver } from '../../../src/net/dns/contracts.ts'
import { type Zones, zoneResolver } from '../../../src/net/dns/testing/index.ts'
import { createQueueAdmin } from '../../../src/mail/targets/queue/admin.ts'
import { queueStore } from '../../../src/mail/targets/queue/core-store.ts'
import { QueueRoom } from '../../../src/mail/targets/queue/queue.ts'
import { QUEUE, spoolStore } from '../../../src/mail/targets/queue/store.ts'
import { Store, StoreError } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { testScope } from '../../fixtures/scope.ts'

type Config = v.InferInput<ReturnType<typeof mailConfig>>

export interface Options {
  readonly config?: Config
  /** Are on in both pipelines. */
  readonly check?: MailCheck
  readonly modifier?: MailModifier
  /** Are there under the same names, for a route to switch on. */
  readonly known?: MailCheck
  readonly modifierKnown?: MailModifier
  readonly clock?: HandClock
  /** True: what the standard config asks of the DNS is asked. Else only where a test switches it on. */
  readonly standard?: boolean
  /** False: nobody works the queue, so that what goes into it can be looked at. */
  readonly working?: boolean
  /** Where it lives; default: a folder of its own. */
  readonly folder?: string
  /** Is there as `sink`, for routes to deliver to. */
  readonly sink?: MailTarget
  /** As in the config. */
  readonly tables?: Readonly<Record<string, unknown>>
  /** All that the DNS knows; looked at anew for each question. */
  readonly dns?: Zones
}

/** Accounts made of a list, all at example.org. */
class FakeAccounts {
  readonly list = new Map<string, Account>()
  readonly aliases = new Map<string, readonly string[]>()
  broken = false

  add(local: string, role: Role = 'user'): Account {
    const id = local.replaceAll(/[^a-z0-9]/g, '')
    const account = { id, address: `${local}@example.org`, local, domain: 'example.org', role, disabled: false }
    this.list.set(account.address, account)
    return account
  }

  may(account: Account, ...permissions: readonly Permission[]): boolean {
    return new Roles().may(account.role, ...permissions)
  }

  async resolve(address: string): Promise<Resolution> {
    if (this.broken) throw new StoreError('unavailable', 'no database')
    if (!address.endsWith('@example.org')) return { kind: 'foreign' }
    const accounts: Account[] = []
    const forwards: string[] = []
    for (const target of this.aliases.get(address) ?? [address]) {
      const account = this.list.get(target)
      if (account !== undefined) accounts.push(account)
      else if (!target.endsWith('@example.org')) forwards.push(target)
    }
    return accounts.length + forwards.length === 0 ? { kind: 'unknown' } : { kind: 'local', accounts, forwards }
  }

  async byId(id: string): Promise<Account | undefined> {
    return [...this.list.values()].find((account) => account.id === id)
  }

  async byAddress(address: string): Promise<Account | undefined> {
    return this.list.get(address)
  }

  /** Nothing ever changes. */
  watch(): () => void {
    return () => {}
  }

  async maySendAs(account: Account, address: string): Promise<boolean> {
    const aliased = this.aliases.get(address)
    return address === account.address || (aliased?.length === 1 && aliased[0] === account.address)
  }

  isLocal(domain: string): boolean {
    return domain === 'example.org'
  }

  domains(): readonly string[] {
    return ['example.org']
  }
}

/** Checks of the standard config that write results into every mail. */
const QUIET = { spf: false, dkim: false, dmarc: false, arc: false } as const

export type House = Awaited<ReturnType<typeof openHouse>>

export async function openHouse(
  t: TestContext,
  {
    config = {},
    check,
    modifier,
    known,
    modifierKnown,
    sink,
    clock = new HandClock(),
    working = true,
    standard = false,
    folder: given,
    tables: written = {},
    dns = {},
  }: Options = {},
) {
  const folder = given ?? mkdtempSync(join(tmpdir(), 'aviso-pipeline-'))
  const { log, lines } = recordingLog()
  const scope: Scope = testScope({ clock, log })
  t.after(async () => {
    await scope.close()
    if (given === undefined) rmSync(folder, { recursive: true, force: true })
  })
  const real = await openStore(scope, {
    folder,
    definitions: [
      mailStore,
      greylistStore,
      queueStore,
      spoolStore,
      remoteStore,
      shareStore,
      storyStore,
      keyStore,
      appendLimitStore,
    ],
  })
  /** What the next writes of these accounts (or of `queue`) fail with. */
  const faults = new Map<string, string>()
  scope.provide(Store, failing(real, faults))
  const resolver = zoneResolver(dns)
  scope.provide(Resolver, resolver)
  scope.provide(ConfigFolder, folder)
  const fake = new FakeAccounts()
  for (const name of ['anna', 'ben', 'carl']) fake.add(name)
  scope.provide(Accounts, fake as unknown as Accounts)
  const own: AnyModule[] = []
  const aCheck = check ?? known
  if (aCheck !== undefined)
    own.push(mailCheck({ name: 'test', summary: 'x', config: v.strictObject({}), create: () => aCheck }))
  const aModifier = modifier ?? modifierKnown
  if (aModifier !== undefined)
    own.push(mailModifier({ name: 'test-edit', summary: 'x', config: v.strictObject({}), create: () => aModifier }))
  if (sink !== undefined)
    own.push(mailTarget({ name: 'sink', summary: 'x', config: v.strictObject({}), create: () => sink }))
  const registry = new Registry([...tableModules, ...mailModules, ...own])
  await openTables(scope, v.parse(moduleMap(registry, tables), written))
  const both = (way: Config['incoming'] = {}) => ({
    ...way,
    checks: { ...(standard ? {} : QUIET), ...way.checks, ...(check !== undefined && { test: true }) },
    modifiers: { ...way.modifiers, ...(modifier !== undefined && { 'test-edit': true }) },
  })
  const settings = v.parse(mailConfig(registry), {
    ...config,
    incoming: both(config.incoming),
    outgoing: both(config.outgoing),
  })
  const opened = await openMail(scope, settings, 'mail.example.org', new AccountRooms())
  if (working) opened.begin()
  const { incoming, outgoing } = scope.use(Pipelines)
  const mailboxes = scope.use(Mailboxes)
  const queue = createQueueAdmin(real, scope.random, () => scope.use(QueueRoom).refresh())

  const findings = new Findings()
  const client = (more: Partial<Client> = {}): Client => ({
    session: 's1',
    log: log.child({ session: 's1' }),
    protocol: 'smtp',
    remoteAddress: '192.0.2.7',
    hello: 'mx.example.net',
    extended: true,
    tls: undefined,
    account: undefined,
    once: (finding, make) => findings.once(finding, make),
    ...more,
  })
  const send = async (way: 'incoming' | 'outgoing', mail: Sent): Promise<string> => {
    const account = mail.as === undefined ? undefined : fake.list.get(`${mail.as}@example.org`)
    const sender = mail.from === '' ? null : (parseMailAddress(mail.from ?? 'bo@example.net') ?? null)
    const parameters = { body: '7BIT', smtpUtf8: false, requireTls: false, ...mail.parameters } as const
    const pipeline = way === 'incoming' ? incoming : outgoing
    const passage = await pipeline.begin(client({ account, ...mail.client }), sender, parameters)
    for (const to of mail.to) {
      const address = parseMailAddress(to)
      if (address === undefined) throw new Error(`${to} is no address`)
      await passage.recipient(address, mail.notify?.[to] ?? {})
    }
    const { message = MESSAGE } = mail
    await passage.data(Message.of(typeof message === 'string' ? Buffer.from(message) : message))
    return passage.id
  }

  return {
    /** A second generation of the config beside the first. */
    async again(): Promise<Scope> {
      const next = scope.child('house-2')
      ;(await openMail(next, settings, 'mail.example.org', new AccountRooms())).begin()
      return next
    },
    scope,
    folder,
    resolver,
    clock,
    real,
    lines,
    fake,
    faults,
    incoming,
    client,
    queue,
    stories: scope.use(Stories),
    transport: createTransportAdmin(() => ({
      scope,
      accounts: scope.use(Accounts),
      pipelines: scope.use(Pipelines),
      stories: scope.use(Stories),
    })),
    /** A mail from another server. */
    receive: (mail: Sent) => send('incoming', mail),
    /** A mail from one of our accounts. */
    submit: (mail: Sent & { readonly as: string }) =>
      send('outgoing', {
        from: `${mail.as}@example.org`,
        message: `From: ${mail.as}@example.org\r\n\r\nHi\r\n`,
        ...mail,
        client: { protocol: 'submission', ...mail.client },
      }),
    /** The messages of an account's mailbox, oldest first. */
    async mails(local: string, mailbox = 'INBOX'): Promise<readonly string[]> {
      const account = fake.list.get(`${local}@example.org`)
      if (account === undefined) throw new Error(`no ${local}`)
      const opened = mailboxes.open(account)
      if (!(await opened.list()).some(({ name }) => name === mailbox)) return []
      const box = await opened.open(mailbox)
      const texts: string[] = []
      for (const uid of (await box.snapshot()).uids)
        texts.push(Buffer.from((await box.raw(uid)) ?? []).toString('utf8'))
      return texts
    },
    /** The mails in the queue, as text. */
    async queued(): Promise<readonly string[]> {
      const calls = real.service(spoolStore, QUEUE)
      const texts: string[] = []
      for (let seq = 1; ; seq++) {
        const found = await calls.mail({ seq })
        if (found === undefined) return texts
        texts.push(Buffer.from(found.bytes ?? []).toString())
      }
    },
    waiting: async () => (await queue.list({}, 100)).map(({ address }) => address),
    /** Turns the clock, and lets what fell due finish. */
    async pass(ms: number): Promise<void> {
      const settled = async (): Promise<void> => {
        for (let round = 0; round < 100; round++) await new Promise((resolve) => setImmediate(resolve))
      }
      await settled()
      for (let left = ms; left > 0; left -= 60_000) {
        clock.turn(Math.min(left, 60_000))
        await settled()
      }
    },
  }
}

export interface Sent {
  readonly to: readonly string[]
  /** The reverse-path; '' for a notification. */
  readonly from?: string
  readonly message?: string | Uint8Array
  readonly as?: string
  readonly client?: Partial<Client>
  readonly parameters?: Partial<MailParameters>
  /** Parameters of RCPT by recipient. */
  readonly notify?: Readonly<Record<string, RecipientParameters>>
}

export const MESSAGE = 'From: bo@example.net\r\nSubject: Hello\r\n\r\nIt works.\r\n'

/** For `assert.rejects`: an SMTP reply of this code, enhanced code and text. */
export const refusal =
  (code: number, enhanced: string, text = /./) =>
  (error: unknown): boolean =>
    error instanceof SmtpError && error.code === code && error.enhanced === enhanced && text.test(error.message)

/** The store, whose deliveries to the accounts in `faults` fail as it says there. */
function failing(store: Store, faults: ReadonlyMap<string, string>): Store {
  const guarded = <T extends object>(calls: T, operation: string, name: string): T =>
    new Proxy(calls, {
      get(target, property) {
        const call: unknown = Reflect.get(target, property, target)
        if (typeof call !== 'function') return call
        return (...args: unknown[]): unknown => {
          const fault = property === operation ? faults.get(name) : faults.get(`${name}.${String(property)}`)
          return fault === undefined
            ? Reflect.apply(call, target, args)
            : Promise.reject(new StoreError(fault, 'broken'))
        }
      },
    })
  return new Proxy(store, {
    get(target, property) {
      if (property === 'account')
        return (definition: typeof mailStore, account: string) =>
          guarded(target.account(definition, account), 'deliver', account)
      if (property === 'service')
        return (definition: typeof spoolStore, service: string) =>
          guarded(target.service(definition, service), 'put', 'queue')
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
