// aviso start, demo, status, reload, stop, version

import { resolve } from 'node:path'
import { Command } from 'commander'
import { type CommonOptions, common, NotRunning, withRunning } from '../context.ts'
import { hostAndPort } from '../../net/addresses.ts'
import type { Programme } from '../programme.ts'
import { EXIT, show, table, UsageError, when } from '../terminal.ts'

export function serverCommands(programme: Programme): readonly Command[] {
  const start = common(new Command('start').description('run the server')).action(async (options: CommonOptions) => {
    const file = options.config ?? programme.defaultConfig()
    if (file === undefined)
      throw new UsageError('no config file found: name one with --config, or make one with `aviso quickstart DOMAIN`')
    process.exitCode = await programme.start(file)
  })

  const demo = new Command('demo')
    .description('run a complete local server for trying out: own domain, own certificate, two accounts')
    .option('--data <folder>', 'where everything is kept', './data')
    .option('--json', 'print how to reach it as one line of JSON, once everything listens')
    .action(async (options: { readonly data: string; readonly json?: boolean }) => {
      process.exitCode = await programme.demo({ data: resolve(options.data), json: options.json === true })
    })

  const status = common(new Command('status').description('how the running server is')).action(
    async (options: CommonOptions) => {
      try {
        const found = (await withRunning(programme, options, (admin) => admin.ask('status', undefined))) as StatusLike
        show(options.json === true, { running: true, ...found }, () => statusText(found))
      } catch (error) {
        if (!(error instanceof NotRunning)) throw error
        show(options.json === true, { running: false }, () => `${error.message}.`)
        process.exitCode = EXIT.unavailable
      }
    },
  )

  const reload = common(new Command('reload').description('read the config again; open connections go on')).action(
    async (options: CommonOptions) => {
      await withRunning(programme, options, (admin) => admin.ask('reload', undefined))
      show(options.json === true, { reloaded: true }, () => 'The new config is in use.')
    },
  )

  const stop = common(new Command('stop').description('stop the running server, politely')).action(
    async (options: CommonOptions) => {
      await withRunning(programme, options, (admin) => admin.ask('stop', undefined))
      show(options.json === true, { stopping: true }, () => 'Stopping.')
    },
  )

  const version = new Command('version')
    .description('which Aviso this is')
    .option('--json', 'print the result as JSON')
    .action((options: { readonly json?: boolean }) => {
      show(
        options.json === true,
        { aviso: programme.version, node: process.versions.node },
        () => `Aviso ${programme.version}, Node ${process.versions.node}`,
      )
    })

  return [start, demo, status, reload, stop, version]
}

/** What `status` answers. */
export interface StatusLike {
  readonly started: number
  readonly generation: number
  readonly retiring: number
  readonly hostname: string
  readonly domains: readonly string[]
  readonly bound: readonly {
    readonly protocol: string
    readonly address: string
    readonly port: number
    readonly tls: string
  }[]
  readonly connections: Readonly<Record<string, number>>
  readonly databases: { readonly open: number; readonly waiting: number }
  readonly queue: { readonly mails: number; readonly recipients: number; readonly held: number }
  readonly memory: { readonly rss: number }
}

const statusText = (status: StatusLike): string =>
  [
    `${status.hostname} serves ${status.domains.join(', ') || 'no domain yet'}; up since ${when(status.started)}, config generation ${status.generation}${status.retiring > 0 ? ` (${status.retiring} older still in use)` : ''}`,
    `memory ${(status.memory.rss / 2 ** 20).toFixed(0)} MiB, ${status.databases.open} databases open, ${status.queue.mails} mails wait in the queue${status.queue.held > 0 ? `, ${status.queue.held} recipients on hold` : ''}`,
    '',
    table(
      ['protocol', 'address', 'TLS', 'connections'],
      status.bound.map(({ protocol, address, port, tls }) => [
        protocol,
        hostAndPort(address, port),
        tls,
        String(status.connections[protocol] ?? 0),
      ]),
    ),
  ].join('\n')
