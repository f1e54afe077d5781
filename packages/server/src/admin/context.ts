// What every command starts from: its options, the config, and a way to the server or to its data.

import type { Command } from 'commander'
import { connectControl } from './control.ts'
import type { Admin } from './operations.ts'
import type { LoadedConfig, Programme } from './programme.ts'
import { UsageError } from './terminal.ts'

/** Options that every command has. */
export interface CommonOptions {
  readonly config?: string
  readonly data?: string
  readonly json?: boolean
}

/** Adds the options that every command has. */
export const common = (command: Command): Command =>
  command
    .option(
      '-c, --config <file>',
      'the config file (default: $AVISO_CONFIG, ./aviso.yaml, ./aviso.config.ts, /etc/aviso/aviso.yaml)',
    )
    .option('--data <folder>', 'the data folder of a running server, instead of a config file')
    .option('--json', 'print the result as JSON')

export async function loadFor(programme: Programme, options: CommonOptions): Promise<LoadedConfig> {
  const file = options.config ?? programme.defaultConfig()
  if (file === undefined)
    throw new UsageError('no config file found: name one with --config, or make one with `aviso quickstart DOMAIN`')
  return programme.load(file)
}

/** Calls `work` with a way to operations: the running server's, or the opened data folder. */
export async function withAdmin<T>(
  programme: Programme,
  options: CommonOptions,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const admin = await openAdmin(programme, options)
  try {
    return await work(admin)
  } finally {
    await admin.close()
  }
}

async function openAdmin(programme: Programme, options: CommonOptions): Promise<Admin> {
  if (options.data !== undefined) {
    const running = await connectControl(options.data)
    if (running === undefined)
      throw new UsageError(`no server runs on ${options.data}: name its config file with --config`)
    return running
  }
  const config = await loadFor(programme, options)
  return (await connectControl(config.data)) ?? (await programme.offline(config))
}

/** As `withAdmin`, for what only a running server can do. */
export async function withRunning<T>(
  programme: Programme,
  options: CommonOptions,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const folder = options.data ?? (await loadFor(programme, options)).data
  const admin = await connectControl(folder)
  if (admin === undefined) throw new NotRunning(folder)
  try {
    return await work(admin)
  } finally {
    await admin.close()
  }
}

/** No server runs on the data folder. */
export class NotRunning extends Error {
  readonly folder: string
  constructor(folder: string) {
    super(`no server runs on ${folder}`)
    this.folder = folder
  }
}
