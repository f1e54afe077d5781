// What the command line needs of the house. The house hands it in, as this room may not import it.

import type { GenericSchema } from 'valibot'
import type { Admin } from './operations.ts'

/** A config that was loaded and checked. */
export interface LoadedConfig {
  /** The file; undefined for the built-in one. */
  readonly file: string | undefined
  readonly hostname: string
  /** The data folder, absolute. */
  readonly data: string
  /** As written, includes merged, secrets filled in. */
  readonly written: unknown
}

export interface Programme {
  readonly version: string
  readonly schema: GenericSchema
  /** The config file that is used when none is named: undefined when there is none. */
  defaultConfig(): string | undefined
  /** Rejects with a `ConfigError`. */
  load(file: string): Promise<LoadedConfig>
  /** Opens the data folder for operations while no server runs. Rejects with a `StoreError` when one does. */
  offline(config: LoadedConfig): Promise<Admin>
  /** Runs the server until it is told to stop. Resolves with the exit status. */
  start(file: string): Promise<number>
  /** Runs the local server for trying Aviso out. */
  demo(options: DemoOptions): Promise<number>
}

export interface DemoOptions {
  readonly data: string
  readonly json: boolean
}
