// Tables: what rooms look a text up in, wherever the pairs come from.

import type { GenericSchema, InferOutput } from 'valibot'
import { type AnyModule, defineFamily, defineModule } from '../../kernel/module.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'

/** Pairs of a key and its values. Keys that are addresses or domains come normalised: lower case, NFC, A-labels. */
export interface Table {
  /** The values of `key`, empty when the table does not hold it; a key without a value of its own has the value ''. Rejects when that cannot be found out now: the asker answers "later". */
  lookup(key: string): readonly string[] | Promise<readonly string[]>
}

export const tables = defineFamily<Table>('tables', 'pairs of a key and its values, for routes, checks and modifiers')

/** Declares a table. */
export const table = <Schema extends GenericSchema>(declared: {
  readonly name: string
  readonly summary: string
  readonly config: Schema
  create(config: InferOutput<Schema>, scope: Scope): Table | Promise<Table>
}): AnyModule<Table> => defineModule({ family: tables, ...declared })

/** The tables that the config lists, by their keys (`file/vips`). */
export interface Tables {
  /** Throws `ConfigurationError`-like Error naming the nearest key when there is none of that name. */
  get(key: string): Table
}

export const Tables = serviceKey<Tables>('tables')
