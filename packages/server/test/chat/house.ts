// A small house for chat's tests: the real store, the real endpoint on loopback, accounts made of a list.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { clientMechanism, serverMechanism } from '@aviso/sasl'
import { Client, type CloseReason, el, type Element, Jid, readElement, streamHeader } from '@aviso/xmpp'
import * as v from 'valibot'
import { openAccounts } from '../../src/accounts/accounts.ts'
import type { AccountAdmin } from '../../src/accounts/administration.ts'
import { authConfig, type Form } from '../../src/accounts/config.ts'
import { type Account, type AccountChange, Accounts } from '../../src/accounts/contracts.ts'
import { type Permission, Roles } from '../../src/accounts/roles.ts'
import { Chat, type ChatFeature } from '../../src/chat/core/contracts.ts'
import { openChat } from '../../src/chat/chat.ts'
import type { Core } from '../../src/chat/core/core.ts'
import { coreConfig, hostConfig } from '../../src/chat/core/settings.ts'
import { rosterStore } from '../../src/chat/core/roster.store.ts'
import { c2s } from '../../src/chat/endpoints/c2s.ts'
import { s2sConfig } from '../../src/chat/s2s/config.ts'
import { filesConfig } from '../../src/chat/files/config.ts'
import { chatFeatures } from '../../src/chat/modules.ts'
import { HandClock } from '../../src/kernel/clock.ts'
import type { Log } from '../../src/kernel/log.ts'
import type { AnyModule } from '../../src/kernel/module.ts'
import type { Scope } from '../../src/kernel/scope.ts'
import {
  type Bound,
  type Connection,
  type ListenOptions,
  Limits,
  Network,
  type Session as NetSession,
} from '../../src/net/contracts.ts'
import { Web } from '../../src/net/web/contracts.ts'
import { Store } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'
import { stores } from '../../src/stores.ts'
import { testScope } from '../fixtures/scope.ts'

export const FEATURES = chatFeatures as readonly AnyModule<ChatFeature>[]

/** What can be delivered to nobody is told to the sender. */
export const WITHOUT_ARCHIVE = FEATURES.filter(({ name }) => name !== 'archive')

const PASSWORD = 'pencil'

/** Accounts made of a list of addresses; everybody's password is `pencil`. */
export class FakeAccounts implements Accounts {
  readonly list = new Map<string, Account>()
  readonly #watchers = new Set<(change: AccountChange) => void>()

  /** Of those that are added. */
  role = 'user'

  add(...addresses: string[]): void {
    for (const address of addresses) {
      const [local = '', domain = ''] = address.split('@')
      const id = `id${local}${domain.replaceAll(/\W/g, '')}`
      this.list.set(address, { id, address, local, domain, role: this.role, disabled: false })
    }
  }

  change(change: AccountChange): void {
    for (const watcher of this.#watchers) watcher(change)
  }

  get watchers(): number {
    return this.#watchers.size
  }

  mechanisms(): readonly string[] {
    return ['SCRAM-SHA-1', 'PLAIN']
  }

  begin(mechanism: string): ReturnType<Accounts['begin']> {
    if (mechanism !== 'PLAIN') return undefined
    return serverMechanism(mechanism, {
      offered: ['PLAIN'],
      secret: Buffer.alloc(16),
      credentials: {
        scram: async () => undefined,
        password: async (authcid, password) =>
          this.list.has(authcid) && password === PASSWORD ? 'accepted' : 'not-authorized',
      },
    })
  }

  roles = new Roles()

  clientCertificates(): undefined {
    return undefined
  }

  readonly guests: Accounts['guests'] = { settle: () => {}, leave: () => {} }

  may(account: Account, ...permissions: readonly Permission[]): boolean {
    return !account.disabled && this.roles.may(account.role, ...permissions)
  }

  readonly clients: Accounts['clients'] = { mechanisms: () => [], seen: () => {}, give: async () => undefined }
  readonly upgrades: Accounts['upgrades'] = { offered: [], begin: async () => undefined }

  async byAddress(address: string): Promise<Account | undefined> {
    return this.list.get(address)
  }

  async byId(id: string): Promise<Account | undefined> {
    return [...this.list.values()].find((account) => account.id === id)
  }

  isLocal(domain: string): boolean {
    return this.domains().includes(domain)
  }

  domains(): readonly string[] {
    return ['example.org', 'example.net']
  }

  resolve(): ReturnType<Accounts['resolve']> {
    return Promise.reject(new Error('not asked by chat'))
  }

  maySendAs(): Promise<boolean> {
    return Promise.resolve(false)
  }

  watch(listener: (change: AccountChange) => void): () => void {
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }
}

/** Listens on loopback; the newest claim on an address serves. */
export class FakeNetwork implements Network {
  readonly sessions = new Set<NetSession>()
  #port = 0
  #count = 0
  #serve: ListenOptions['serve'] | undefined

  async listen(scope: Scope, options: ListenOptions): Promise<Bound> {
    this.#serve = options.serve
    if (this.#port === 0) {
      const server = createServer((socket) => this.#accept(socket, scope.log))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const address = server.address()
      this.#port = typeof address === 'object' && address !== null ? address.port : 0
      this.close = () => server.close()
    }
    return { protocol: options.protocol, address: '127.0.0.1', port: this.#port, tls: options.tls }
  }

  adopt(session: NetSession): () => void {
    this.sessions.add(session)
    return () => void this.sessions.delete(session)
  }

  close = (): unknown => undefined
  get port(): number {
    return this.#port
  }

  #accept(socket: Socket, log: Log): void {
    socket.on('error', () => {})
    const connection: Connection = {
      id: `s${++this.#count}`,
      socket,
      remoteAddress: '127.0.0.1',
      remotePort: 0,
      localAddress: '127.0.0.1',
      localPort: this.#port,
      tls: undefined,
      log,
      startTls: () => Promise.reject(new Error('no TLS here')),
    }
    const session = this.#serve?.(connection)
    if (session === undefined) return
    this.sessions.add(session)
    socket.on('close', () => this.sessions.delete(session))
  }

  bound(): readonly Bound[] {
    return []
  }

  connections(): ReadonlyMap<string, number> {
    return new Map()
  }

  secureContext(): undefined {
    return undefined
  }
}

export interface Generation {
  readonly scope: Scope
  readonly chat: Core
}

export interface HouseOptions {
  readonly features?: readonly AnyModule<ChatFeature>[]
  readonly featureConfig?: Readonly<Record<string, object>>
  readonly chat?: v.InferInput<typeof coreConfig>
  /** By domain. */
  readonly hosts?: Readonly<
    Record<
      string,
      v.InferInput<typeof hostConfig> & { readonly featureConfig?: Readonly<Record<string, object | false>> }
    >
  >
  readonly c2s?: object
  readonly web?: Web
  readonly files?: v.InferInput<typeof filesConfig>
  readonly log?: Log
  readonly limits?: Limits
  /** The accounts room itself, in place of the list: for what makes and changes accounts. */
  readonly real?: boolean
  /** The forms of passwords in it. */
  readonly forms?: readonly Form[]
  /** The roles of its config. */
  readonly roles?: v.InferInput<typeof authConfig>['roles']
}

export class House {
  readonly accounts = new FakeAccounts()
  readonly clock = new HandClock()
  readonly folder = mkdtempSync(join(tmpdir(), 'aviso-chat-'))
  readonly options: HouseOptions
  root!: Scope
  network!: FakeNetwork
  store!: Store
  generation!: Generation
  /** With `real`. */
  admin!: AccountAdmin
  readonly #peers: Peer[] = []
  readonly #sockets = new Set<Socket>()

  private constructor(options: HouseOptions) {
    this.options = options
  }

  static async open(options: HouseOptions = {}): Promise<House> {
    const house = new House(options)
    house.accounts.add('anna@example.org', 'bert@example.org', 'cleo@example.net')
    await house.start()
    return house
  }

  get chat(): Core {
    return this.generation.chat
  }

  async start(): Promise<void> {
    const { log, limits } = this.options
    this.root = testScope({ clock: this.clock, ...(log && { log }) })
    this.network = new FakeNetwork()
    this.store = await openStore(this.root, { folder: this.folder, definitions: stores })
    this.root.provide(Store, this.store)
    if (this.options.real === true) await this.#openAccounts()
    else this.root.provide(Accounts, this.accounts)
    this.root.provide(Network, this.network)
    if (this.options.web !== undefined) this.root.provide(Web, this.options.web)
    if (limits !== undefined) this.root.provide(Limits, limits)
    this.generation = await this.generate()
  }

  async #openAccounts(): Promise<void> {
    const passwords = { minimum: 6, forms: [...(this.options.forms ?? ['SCRAM-SHA-1' as const])], iterations: 4096 }
    const failures = { 'first-delay': '1ms', 'longest-delay': '1ms' }
    const { roles } = this.options
    const config = v.parse(authConfig, { cleartext: 'loopback', passwords, failures, roles })
    const opened = await openAccounts(this.root, config)
    this.admin = opened.admin
    if (opened.accounts.domains().length > 0) return
    for (const domain of this.accounts.domains()) await this.admin.addDomain(domain)
    for (const address of this.accounts.list.keys()) await this.admin.createAccount({ address, password: PASSWORD })
  }

  /** Builds a generation of the configuration, beside those that are there. */
  async generate(options: HouseOptions = this.options): Promise<Generation> {
    const scope = this.root.child('generation')
    const chosen = (module: AnyModule<ChatFeature>, config: object = {}) => ({
      key: module.name,
      module,
      config: v.parse(module.config, config),
    })
    const begin = await openChat(scope, {
      ...v.parse(coreConfig, options.chat ?? {}),
      s2s: v.parse(s2sConfig, { enabled: false }),
      files: v.parse(filesConfig, options.files ?? {}),
      features: (options.features ?? FEATURES).map((module) => chosen(module, options.featureConfig?.[module.name])),
      hosts: Object.fromEntries(
        Object.entries(options.hosts ?? {}).map(([domain, { featureConfig = {}, ...host }]) => [
          domain,
          {
            ...v.parse(hostConfig, host),
            features: new Map(
              Object.entries(featureConfig).map(([name, config]) => {
                const module = FEATURES.find((feature) => feature.name === name)
                return [name, config === false || module === undefined ? undefined : chosen(module, config)]
              }),
            ),
          },
        ]),
      ),
    })
    const chat = scope.use(Chat) as Core
    const settings = { listen: ['127.0.0.1:0'], 'listen-tls': [], 'require-tls': false }
    await c2s.create(v.parse(c2s.config, { ...settings, ...options.c2s }), scope.child('c2s'))
    await begin()
    return { scope, chat }
  }

  async reload(options: HouseOptions = this.options): Promise<Generation> {
    const before = this.generation
    this.generation = await this.generate(options)
    return before
  }

  /** As after `kill -9`: nobody says goodbye. */
  async crashAndStart(): Promise<void> {
    for (const peer of this.#peers.splice(0)) peer.client.destroy()
    await this.root.close()
    this.network.close()
    await this.start()
  }

  /** Stops politely, and starts again; `meanwhile` happens in between. */
  async restart(meanwhile: () => Promise<void> | void = () => {}): Promise<void> {
    const sessions = [...this.network.sessions]
    await Promise.all(sessions.map((session) => session.shutdown()))
    await this.root.close()
    this.network.close()
    await meanwhile()
    await this.start()
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.network.close()
    await this.root.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  socket(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.network.port, '127.0.0.1', () => resolve(socket)).on('error', reject)
      this.#sockets.add(socket)
    })
  }

  /** Logs in; `bare` is `anna@example.org`. */
  async login(bare: string, resource?: string, password = PASSWORD): Promise<Peer> {
    const jid = Jid.parse(bare)
    const early: Element[] = []
    const receiver = { take: (stanza: Element): void => void early.push(stanza) }
    const client = await Client.connect({
      domain: jid.domain,
      ...(resource !== undefined && { resource }),
      connect: () => this.socket(),
      sasl: (names) => clientMechanism(names, { authcid: bare, password, secure: true, mechanisms: ['PLAIN'] }),
      onStanza: (stanza) => receiver.take(stanza),
    })
    const peer = new Peer(client)
    receiver.take = (stanza) => peer.take(stanza)
    for (const stanza of early) peer.take(stanza)
    this.#peers.push(peer)
    return peer
  }

  /** Logs in, gets the roster and becomes available. What comes at once is read. */
  async arrive(bare: string, resource?: string, presence = '<presence/>'): Promise<Peer> {
    const peer = await this.login(bare, resource)
    await peer.roster()
    peer.send(presence)
    await peer.sync()
    peer.clear()
    return peer
  }

  /** Two friends: each sees the other. */
  async befriend(one: string, other: string): Promise<void> {
    for (const [user, contact] of [
      [one, other],
      [other, one],
    ] as const) {
      const account = await this.root.use(Accounts).byAddress(user)
      if (account === undefined) throw new Error(user)
      await this.store
        .account(rosterStore, account.id)
        .import({ items: [{ contact, name: contact.split('@')[0] ?? '' }] })
    }
  }
}

/** Opens houses that are closed when the tests of the file are over. Called once, at the top of a file of tests. */
export function opener(): typeof House.open {
  const houses: House[] = []
  after(() => Promise.all(houses.map((house) => house.close())))
  return async (options) => {
    const house = await House.open(options)
    houses.push(house)
    return house
  }
}

/** A client, and what it has received. */
export class Peer {
  readonly client: Client
  readonly #inbox: Element[] = []
  #waiting: ((stanza: Element) => void) | undefined

  constructor(client: Client) {
    this.client = client
  }

  get full(): string {
    return this.client.jid.toString()
  }

  get bare(): string {
    return this.client.jid.bareString
  }

  take(stanza: Element): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) this.#inbox.push(stanza)
    else waiting(stanza)
  }

  send(xml: string): void {
    this.client.send(xml)
  }

  next(): Promise<Element> {
    const stanza = this.#inbox.shift()
    if (stanza !== undefined) return Promise.resolve(stanza)
    return new Promise((resolve, reject) => {
      this.#waiting = resolve
      void this.client.ended().then((reason) => reject(new Error(`the stream is over: ${reason.by}`)))
    })
  }

  /** All that has come so far. */
  clear(): Element[] {
    return this.#inbox.splice(0)
  }

  /** Resolves when the server has handled everything that was sent before. */
  async sync(): Promise<void> {
    await this.client.request(el('iq', { type: 'get' }, el('ping', { xmlns: 'urn:xmpp:ping' })))
  }

  /** Everything that came before the server answered, shown shortly. */
  async news(): Promise<string[]> {
    await this.sync()
    return this.clear().map(short)
  }

  request(type: 'get' | 'set', payload: string, to?: string): Promise<Element> {
    return this.client.request(
      el(
        'iq',
        { type, to },
        readElement(payload, { xmlns: '', bindings: [] }, { depth: 20, attributes: 20, prefixes: 5 }),
      ),
    )
  }

  roster(ver?: string): Promise<Element> {
    return this.request('get', `<query xmlns='jabber:iq:roster'${ver === undefined ? '' : ` ver='${ver}'`}/>`)
  }

  rosterSet(item: string): Promise<Element> {
    return this.request('set', `<query xmlns='jabber:iq:roster'>${item}</query>`)
  }

  ended(): Promise<CloseReason> {
    return this.client.ended()
  }
}

/** A stanza in a few words: what tests compare. */
export function short(stanza: Element): string {
  const type = stanza.get('type')
  const from = stanza.get('from')
  const words: string[] = [stanza.name]
  if (type !== undefined) words.push(type)
  if (from !== undefined) words.push(from)
  const body = stanza.childText('body')
  if (body !== undefined) words.push(`'${body}'`)
  const item = stanza.child('query', 'jabber:iq:roster')?.child('item')
  if (item !== undefined)
    words.push(
      ...([item.get('jid'), item.get('subscription'), item.get('ask'), item.get('approved') && 'approved'].filter(
        (word) => word !== undefined && word !== '',
      ) as string[]),
    )
  const condition = stanza.child('error')?.firstElement?.name
  if (condition !== undefined) words.push(condition)
  return words.join(' ')
}

interface Managed {
  readonly stream: RawStream
  /** To resume it by. */
  readonly id: string
}

/** Logs in, manages its stream (XEP-0198), and is available. */
export async function managed(
  house: House,
  bare: string,
  resource: string,
  presence = '<presence/>',
): Promise<Managed> {
  const stream = new RawStream(await house.socket())
  await stream.login(bare, resource)
  stream.write(`<enable xmlns='urn:xmpp:sm:3' resume='true'/>`)
  const [, id = ''] = await stream.until(/<enabled xmlns='urn:xmpp:sm:3' id='([^']+)' resume='true' max='600'\/>/)
  stream.write(presence)
  await stream.until(/<presence [^>]*to=/)
  return { stream, id }
}

/** The connection breaks without a word. Resolves when the server has noticed. */
export async function cut(house: House, { stream }: Managed): Promise<void> {
  const before = house.network.sessions.size
  stream.socket.resetAndDestroy()
  while (house.network.sessions.size >= before) await new Promise((resolve) => setImmediate(resolve))
}

export async function resume(house: House, bare: string, id: string, h: number): Promise<RawStream> {
  const stream = new RawStream(await house.socket())
  await stream.authenticate(bare)
  stream.write(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='${h}'/>`)
  return stream
}

/** A raw stream, for what a decent client never sends. */
export class RawStream {
  readonly socket: Socket
  text = ''
  #wanted: { readonly pattern: RegExp; resolve(match: RegExpMatchArray): void } | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    socket.on('data', (text: string) => {
      this.text += text
      this.#look()
    })
  }

  write(xml: string): void {
    this.socket.write(xml)
  }

  open(domain = 'example.org'): void {
    this.write(streamHeader({ namespace: 'jabber:client', to: domain, lang: 'en' }))
  }

  /** Resolves when what was received and not asked for yet matches. */
  until(pattern: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve) => {
      this.#wanted = { pattern, resolve }
      this.#look()
    })
  }

  #look(): void {
    const match = this.#wanted === undefined ? null : this.#wanted.pattern.exec(this.text)
    if (match === null || this.#wanted === undefined) return
    this.text = this.text.slice(match.index + match[0].length)
    const { resolve } = this.#wanted
    this.#wanted = undefined
    resolve(match)
  }

  /** Logs in, up to where a resource is bound. */
  async authenticate(bare: string): Promise<void> {
    this.open(bare.split('@')[1])
    await this.until(/<\/stream:features>/)
    this.write(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from(`\0${bare}\0${PASSWORD}`).toString('base64')}</auth>`,
    )
    await this.until(/<success[^>]*>/)
    this.open(bare.split('@')[1])
    await this.until(/<\/stream:features>/)
  }

  /** Logs in and binds. */
  async login(bare: string, resource: string): Promise<void> {
    await this.authenticate(bare)
    this.write(
      `<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    )
    await this.until(/<\/iq>/)
  }
}
