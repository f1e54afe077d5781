// The running server: one process, its store, and one generation of the configuration after the other.

import { join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { isDeepStrictEqual } from 'node:util'
import { normaliseDomain } from '@aviso/mime'
import { openAccounts, type OpenedAccounts } from './accounts/accounts.ts'
import { openChat } from './chat/chat.ts'
import type { Settings } from './config.ts'
import { type Clock, systemClock } from './kernel/clock.ts'
import { ConfigFolder } from './kernel/config/folder.ts'
import type { Log } from './kernel/log.ts'
import { openTables } from './accounts/tables/tables.ts'
import { Metrics } from './kernel/metrics.ts'
import { systemRandom } from './kernel/random.ts'
import { giveBackAtRest, type RestOptions } from './kernel/rest.ts'
import { Scope } from './kernel/scope.ts'
import { openMail } from './mail/mail.ts'
import { Mailboxes } from './mail/mailboxes/mailboxes.ts'
import { MailSpool, openSpool } from './mail/spool.ts'
import { AddressSet, hostAndPort } from './net/addresses.ts'
import { bansStore } from './net/bans.store.ts'
import { openBans } from './net/bans.ts'
import { loadCertificates } from './net/certificates.ts'
import { Bans, type Bound, Limits, Network } from './net/contracts.ts'
import { Resolver } from './net/dns/contracts.ts'
import { openResolver } from './net/dns/resolver.ts'
import { createLimits } from './net/limits.ts'
import { createNetwork, type GenerationNetwork } from './net/listeners.ts'
import { actAs, dropPrivileges } from './net/privileges.ts'
import { selfSignedCertificate } from './net/self-signed.ts'
import { StartError } from './net/start-error.ts'
import { Activation, type Notifier, systemdNotifier } from './net/systemd.ts'
import { openTarpit, Tarpit } from './net/tarpit.ts'
import type { TlsConfig } from './net/tls.ts'
import { openWeb } from './net/web/routes.ts'
import { Store, StoreError } from './store/contracts.ts'
import { openStore } from './store/open.ts'
import { stores } from './stores.ts'

/** Where the settings come from: read once at the start and again at each reload. */
export interface SettingsSource {
  /** Paths in the settings are relative to this folder. */
  readonly folder: string
  /** Rejects with a `ConfigError`. `generation` counts from 1. */
  load(generation: number): Promise<Settings>
}

export interface HouseOptions {
  readonly source: SettingsSource
  readonly log: Log
  readonly environment: NodeJS.ProcessEnv
  /** The machine's, unless a test turns its own. */
  readonly clock?: Clock
  /** How it is found out that the process rests, in place of the machine's own figures. */
  readonly rest?: Omit<RestOptions, 'begins'>
  /** Called when everything is built and before anybody is served: the control socket is opened here, so that it is there when the server says that it is. */
  prepare?(house: House): Promise<void>
}

/** One generation of the configuration: everything that a reload makes anew. */
interface Generation {
  readonly number: number
  readonly settings: Settings
  readonly scope: Scope
  readonly network: GenerationNetwork
  readonly accounts: OpenedAccounts
  readonly bound: readonly Bound[]
  /** Takes over from the generation before. */
  begin(): Promise<void>
}

/** What `aviso status` tells. Times in milliseconds. */
export interface Status {
  readonly started: number
  readonly generation: number
  readonly retiring: number
  readonly hostname: string
  readonly domains: readonly string[]
  readonly bound: readonly Bound[]
  readonly connections: Readonly<Record<string, number>>
  readonly databases: { readonly open: number; readonly waiting: number }
  readonly memory: { readonly rss: number }
}

/** The base of everything that outlives a reload, also used by the command line when no server runs. */
export interface Foundation {
  readonly scope: Scope
  readonly folder: string
  readonly store: Store
}

/** Opens the store in the data folder. Rejects with a `StoreError` when the folder cannot be used, or another server uses it. */
export async function layFoundation(
  settings: Settings,
  base: string,
  log: Log,
  worker: boolean,
  clock: Clock = systemClock,
): Promise<Foundation> {
  const metrics = new Metrics()
  const scope = Scope.root({ log, metrics, clock, random: systemRandom })
  const folder = resolve(base, settings.data)
  try {
    const store = await openStore(scope, {
      folder,
      definitions: stores,
      open: settings.store['open-accounts'],
      ...(worker ? { worker: workerEntry() } : {}),
      ...(settings.store.threads === undefined ? {} : { threads: settings.store.threads }),
    })
    scope.provide(Store, store)
    scope.provide(MailSpool, await openSpool(scope, join(folder, 'spool')))
    scope.provide(ConfigFolder, resolve(base))
    return { scope, folder, store }
  } catch (error) {
    await scope.close()
    throw error
  }
}

/** In the sources the worker is a file beside this one, in a release build a file beside the bundle. */
const workerEntry = (): URL =>
  new URL(import.meta.url.endsWith('.ts') ? './store-worker.ts' : './store-worker.js', import.meta.url)

export class House {
  readonly scope: Scope
  readonly folder: string
  readonly #options: HouseOptions
  readonly #activation: Activation
  readonly #notifier: Notifier
  readonly #started: number
  #current: Generation | undefined
  #attempts = 1
  readonly #retiring = new Set<Generation>()
  #busy: Promise<unknown> = Promise.resolve()
  #stopping: Promise<void> | undefined

  private constructor(options: HouseOptions, foundation: Foundation) {
    this.#options = options
    this.scope = foundation.scope
    this.#started = this.scope.clock.now()
    this.folder = foundation.folder
    this.#activation = Activation.fromEnvironment(options.environment, [process.pid, process.ppid])
    this.#notifier = systemdNotifier(this.scope, options.environment)
  }

  /** Starts the server. Rejects with what keeps it from starting; nothing stays open then. */
  static async start(options: HouseOptions): Promise<House> {
    const settings = await options.source.load(1)
    // What is written from here on belongs to the user that the server will run as; root comes back to open the ports.
    const asRoot = actAs(settings)
    const foundation = await layFoundation(settings, options.source.folder, options.log, true, options.clock)
    const house = new House(options, foundation)
    try {
      const exempt = new AddressSet(settings.network.trusted)
      foundation.scope.provide(Bans, await openBans(foundation.scope, foundation.store.core(bansStore), exempt))
      const generation = await house.#build(1, settings, asRoot)
      dropPrivileges(settings, foundation.folder)
      const unfinished = await generation.accounts.admin.recover()
      if (unfinished > 0)
        house.scope.log.warn(
          { accounts: unfinished },
          'accounts that were half made or half erased have been cleaned up',
        )
      house.#current = generation
      await options.prepare?.(house)
      await generation.begin()
      giveBackAtRest(foundation.scope, { ...options.rest, begins: () => foundation.store.rest() })
      house.scope.log.info(
        { event: 'started', bound: generation.bound.map(named), seconds: Math.round(performance.now()) / 1000 },
        'listening',
      )
      await house.#notifier.ready(`serving ${generation.accounts.accounts.domains().join(', ')}`)
      return house
    } catch (error) {
      await foundation.scope.close()
      throw error
    }
  }

  /** Where it listens now. */
  get bound(): readonly Bound[] {
    return this.#current?.bound ?? []
  }

  /** The administrators' door of the newest generation. */
  get accounts(): OpenedAccounts {
    return this.#newest().accounts
  }

  /** The mail of the newest generation. */
  get mailboxes(): Mailboxes {
    return this.#newest().scope.use(Mailboxes)
  }

  /** The scope that the rooms of the newest generation are provided in. */
  get rooms(): Scope {
    return this.#newest().scope
  }

  get settings(): Settings {
    return this.#newest().settings
  }

  /**
   * Reads the config again and puts a new generation in the place of the old one. Rejects, and leaves everything as it is, when the new config
   * does not start. Connections that are open go on under the generation they began with.
   */
  reload(): Promise<void> {
    const done = this.#busy.then(() => this.#reload())
    this.#busy = done.catch(() => {})
    return done
  }

  /** Stops politely: sessions finish what they are doing, at the latest when the deadline has passed. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async status(): Promise<Status> {
    const generation = this.#newest()
    return {
      started: this.#started,
      generation: generation.number,
      retiring: this.#retiring.size,
      hostname: generation.settings.hostname,
      domains: generation.accounts.accounts.domains(),
      bound: generation.bound,
      connections: Object.fromEntries(generation.network.connections()),
      databases: await this.scope.use(Store).figures(),
      memory: { rss: process.memoryUsage.rss() },
    }
  }

  async #reload(): Promise<void> {
    if (this.#stopping !== undefined) throw stopping()
    const old = this.#newest()
    await this.#notifier.reloading()
    try {
      // Every attempt counts: a module that was loaded for one that failed is not loaded again under the same number.
      const number = ++this.#attempts
      const settings = await this.#options.source.load(number)
      if (resolve(this.#options.source.folder, settings.data) !== this.folder)
        throw new StartError("the setting 'data' changed: that needs a restart")
      for (const setting of FIXED)
        if (!isDeepStrictEqual(settings[setting], old.settings[setting]))
          this.scope.log.warn({ setting }, 'this setting changed, and takes effect at the next restart only')
      const fresh = await this.#build(number, settings)
      try {
        await fresh.begin()
      } catch (error) {
        await fresh.scope.close()
        throw error
      }
      this.#current = fresh
      this.#retire(old)
      this.scope.log.info(
        { event: 'reloaded', generation: number, bound: fresh.bound.map(named) },
        'the new config is in use',
      )
    } catch (error) {
      this.scope.log.error(
        { event: 'reload-failed', reason: (error as Error).message },
        'the new config does not start: the old one stays',
      )
      throw error
    } finally {
      await this.#notifier.ready()
    }
  }

  /** Lets the old generation's sessions finish, then takes it down. */
  #retire(old: Generation): void {
    this.#retiring.add(old)
    const grace = this.scope.timeout(old.settings['reload-grace'], () => old.scope.close())
    void old.network.retire().then(async () => {
      grace.cancel()
      this.#retiring.delete(old)
      await old.scope.close()
    })
  }

  #newest(): Generation {
    if (this.#current === undefined) throw stopping()
    return this.#current
  }

  async #stop(): Promise<void> {
    await this.#notifier.stopping()
    this.scope.log.info({ event: 'stopping' }, 'stopping')
    await this.#busy
    const current = this.#current
    this.#current = undefined
    // Chat's newest generation writes down the sessions that go on: it comes last, when all are cut.
    await Promise.all(Array.from(this.#retiring, ({ scope }) => scope.close()))
    await current?.scope.close()
    await this.scope.close()
  }

  /** Builds a generation that listens but does not serve yet. Takes it down again when something in it does not start. */
  async #build(number: number, settings: Settings, asRoot: () => void = () => {}): Promise<Generation> {
    const scope = this.scope.child(number === 1 ? 'house' : `house-${number}`)
    try {
      const certificates = await loadCertificates(scope, absolute(settings.tls, this.#options.source.folder), () =>
        selfSignedCertificate(
          this.folder,
          [settings.hostname, ...(settings.domain === undefined ? [] : [settings.domain])],
          scope.clock.now(),
        ),
      )
      const network = await createNetwork(scope, {
        config: settings.network,
        certificates,
        bans: scope.use(Bans),
        activation: this.#activation,
        held: true,
      })
      scope.provide(Network, network)
      scope.provide(Limits, createLimits(scope.clock, settings.limits))
      const trusted = new AddressSet(settings.network.trusted)
      scope.provide(Tarpit, await openTarpit(scope, settings.network.tarpit, scope.use(Bans), trusted))
      const { accounts, begin } = await openRooms(scope, settings)
      asRoot()
      const bound: Bound[] = []
      for (const { key, module, config } of settings.endpoints)
        bound.push(...(await module.create(config, scope.child(`endpoints.${key}`))).bound)
      return {
        number,
        settings,
        scope,
        network,
        accounts,
        bound,
        async begin() {
          await begin()
          network.start()
        },
      }
    } catch (error) {
      await scope.close()
      throw error
    }
  }
}

/** The resolver, the web's routes, and the rooms that listen nowhere: what the command line opens too when no server runs. */
export async function openRooms(
  scope: Scope,
  settings: Settings,
): Promise<{ readonly accounts: OpenedAccounts; begin(): Promise<void> }> {
  openWeb(scope)
  scope.provide(Resolver, await openResolver(scope, settings.network.dns))
  const accounts = await openAccounts(scope, settings.accounts)
  const { domain } = settings
  if (domain !== undefined && !accounts.accounts.isLocal(normaliseDomain(domain) ?? domain))
    await accounts.admin.addDomain(domain)
  await openTables(scope, settings.tables)
  const mail = await openMail(scope, settings.mail, settings.hostname, accounts.rooms)
  const beginChat = await openChat(scope, settings.chat)
  return {
    accounts,
    async begin() {
      await beginChat()
      mail.begin()
    },
  }
}

/** Settings that a reload leaves as they were. */
const FIXED = ['log', 'store', 'user', 'group'] as const

const stopping = (): StoreError => new StoreError('unavailable', 'the server is stopping')

const named = ({ protocol, address, port, tls }: Bound): string =>
  `${protocol} ${hostAndPort(address, port)}${tls === 'none' ? '' : ` ${tls}`}`

/** Files of the `tls` settings, with relative paths made absolute. */
function absolute(tls: TlsConfig, folder: string): TlsConfig {
  const path = <T extends string | undefined>(file: T): T => (file === undefined ? file : (resolve(folder, file) as T))
  return {
    ...tls,
    certificate: path(tls.certificate),
    key: path(tls.key),
    directory: path(tls.directory),
    certificates: tls.certificates?.map((pair) => ({
      ...pair,
      certificate: path(pair.certificate),
      key: path(pair.key),
    })),
  }
}
