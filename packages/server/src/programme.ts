// The house as the command line sees it.

import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { serveControl } from './admin/control.ts'
import {
  type AdminContext,
  type Admin,
  type ArgumentsOf,
  type OperationName,
  type ResultOf,
  runOperation,
} from './admin/operations.ts'
import type { LoadedConfig, Programme } from './admin/programme.ts'
import type { AccountAdmin } from './accounts/administration.ts'
import { Accounts } from './accounts/contracts.ts'
import { createChatAdmin } from './chat/administration.ts'
import { importRosters } from './chat/import-rosters.ts'
import { configSchema, type Settings } from './config.ts'
import { runDemo } from './demo.ts'
import { House, layFoundation, openRooms, type SettingsSource } from './house.ts'
import { checkConfig, inlineSource, loadConfig, type Loaded } from './kernel/config/load.ts'
import { openLog, silentLog } from './kernel/log.ts'
import { systemRandom } from './kernel/random.ts'
import type { Scope } from './kernel/scope.ts'
import { version } from './kernel/version.ts'
import { createMailAdmin } from './mail/admin.ts'
import type { MailAdmin } from './mail/administration.ts'
import { Pipelines } from './mail/mail.ts'
import { Mailboxes } from './mail/mailboxes/mailboxes.ts'
import { Stories } from './mail/stories/stories.ts'
import { Keys } from './mail/keys/keyring.ts'
import { MailSettings } from './mail/settings.ts'
import { Resolver } from './net/dns/contracts.ts'
import { createAuthenticationAdmin } from './mail/authentication-admin.ts'
import { createTransportAdmin } from './mail/transport.ts'
import { createQueueAdmin } from './mail/targets/queue/admin.ts'
import { QueueRoom } from './mail/targets/queue/queue.ts'
import { actAs } from './net/privileges.ts'
import { Store } from './store/contracts.ts'

/** The places where a config file is looked for, the first one that is there counts. */
const CONFIG_FILES = ['aviso.yaml', 'aviso.config.ts', '/etc/aviso/aviso.yaml']

export function programme(environment: NodeJS.ProcessEnv): Programme {
  const load = (file: string, generation = 0): Promise<Loaded<Settings>> =>
    loadConfig(configSchema, file, { environment }, generation)
  return {
    version: version(),
    schema: configSchema,
    defaultConfig: () => environment['AVISO_CONFIG'] ?? CONFIG_FILES.find(existsSync),
    async load(file) {
      const { settings, written } = await load(file)
      return loaded(settings, written, file)
    },
    offline: (config) => openOffline(config, environment),
    start: (file) =>
      run(
        { folder: dirname(resolve(file)), load: async (generation) => (await load(file, generation)).settings },
        environment,
      ),
    demo: (options) => runDemo(options, (source, started) => run(source, environment, started)),
  }
}

const loaded = (settings: Settings, written: unknown, file: string): LoadedConfig => ({
  file,
  hostname: settings.hostname,
  data: resolve(dirname(file), settings.data),
  written,
})

/** Runs a house until a signal or a command ends it; `started` is called once everything listens. */
async function run(
  source: SettingsSource,
  environment: NodeJS.ProcessEnv,
  started?: (house: House) => Promise<void>,
): Promise<number> {
  const { log: logSettings } = await source.load(0)
  const log = openLog(logSettings)
  process.on('unhandledRejection', (reason) =>
    log.error(
      { err: reason, event: 'unhandled-rejection' },
      'a promise was rejected and nobody looked: this is a defect',
    ),
  )
  // Heard from now on: a signal that comes during the start must neither be lost nor cut the start short.
  const signals = listenToSignals()
  const house = await House.start({
    source,
    log,
    environment,
    prepare: (built) => {
      const mail = createMailAdmin(
        () => built.accounts.admin,
        () => built.mailboxes,
        () => built.settings.mail['max-message-size'],
      )
      return serveControl(built.scope, built.folder, () => context(built, mail, signals.end))
    },
  })
  try {
    await started?.(house)
    // What is wrong with a config that does not start, `reload` has logged.
    signals.onReload(() => void house.reload().catch(() => {}))
    await signals.ended
  } finally {
    await house.stop()
  }
  return 0
}

interface Signals {
  /** Resolves when somebody wants the server to end. */
  readonly ended: Promise<void>
  readonly end: () => void
  /** `reload` is called at each SIGHUP from now on, and now if there was one. */
  onReload(reload: () => void): void
}

function listenToSignals(): Signals {
  let end: () => void = () => {}
  const ended = new Promise<void>((resolve) => (end = resolve))
  let asked = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      // Who asks twice does not want to wait.
      if (asked) process.exit(1)
      asked = true
      end()
    })
  let due = false
  let reload: (() => void) | undefined
  process.on('SIGHUP', () => {
    due = reload === undefined
    reload?.()
  })
  return {
    ended,
    end,
    onReload(callback) {
      reload = callback
      if (due) callback()
    },
  }
}

const context = (house: House, mail: MailAdmin, stop: () => void): AdminContext => {
  const doors = doorsTo(house.scope, house.accounts.admin, mail, () => house.rooms)
  return {
    ...doors,
    running: {
      status: async () => ({ ...(await house.status()), queue: await doors.queue.figures() }),
      reload: () => house.reload(),
      stop,
    },
  }
}

/** The administrators' doors to all rooms. `scope` lives as long as they do; `rooms` gives the scope of the newest generation. */
const doorsTo = (
  scope: Scope,
  accounts: AccountAdmin,
  mail: MailAdmin,
  rooms: () => Scope,
): Omit<AdminContext, 'running'> => ({
  accounts: accounts.as('command line'),
  mail,
  importRosters: (entries) => importRosters(scope.use(Store), accounts, entries),
  chat: createChatAdmin(scope.use(Store), rooms, scope),
  mailboxes: rooms().use(Mailboxes),
  queue: createQueueAdmin(scope.use(Store), systemRandom, () => rooms().use(QueueRoom).refresh()),
  transport: createTransportAdmin(() => {
    const room = rooms()
    return {
      scope: room,
      accounts: room.use(Accounts),
      pipelines: room.use(Pipelines),
      stories: room.use(Stories),
    }
  }),
  authentication: createAuthenticationAdmin(() => {
    const room = rooms()
    return {
      clock: room.clock,
      hostname: room.use(MailSettings).hostname,
      accounts: room.use(Accounts),
      keyring: room.use(Keys),
      resolver: room.use(Resolver),
    }
  }),
})

async function openOffline(config: LoadedConfig, environment: NodeJS.ProcessEnv): Promise<Admin> {
  const file = config.file
  const { settings } =
    file === undefined
      ? checkConfig(configSchema, inlineSource(config.written))
      : await loadConfig(configSchema, file, { environment })
  // Started as root, a command leaves no file behind that the server's own user cannot write.
  actAs(settings)
  const foundation = await layFoundation(
    { ...settings, data: config.data },
    file === undefined ? '.' : dirname(file),
    silentLog(),
    true,
  )
  try {
    const rooms = foundation.scope.child('command')
    const { admin } = (await openRooms(rooms, settings)).accounts
    const mail = createMailAdmin(
      () => admin,
      () => rooms.use(Mailboxes),
      () => settings.mail['max-message-size'],
    )
    const here: AdminContext = {
      ...doorsTo(rooms, admin, mail, () => rooms),
      running: undefined,
    }
    return {
      running: false,
      ask: async <Name extends OperationName>(name: Name, args: ArgumentsOf<Name>) =>
        (await runOperation(here, name, args)) as ResultOf<Name>,
      close: () => foundation.scope.close(),
    }
  } catch (error) {
    await foundation.scope.close()
    throw error
  }
}
