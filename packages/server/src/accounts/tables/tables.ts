// The tables of one generation of the config.

import type { Chosen } from '../../kernel/config/modules.ts'
import { nearest } from '../../kernel/nearest.ts'
import type { Scope } from '../../kernel/scope.ts'
import { type Table, Tables } from './contracts.ts'

/** Opens the tables until `scope` closes, and provides them in it. A table may look into those that stand before it. */
export async function openTables(scope: Scope, chosen: readonly Chosen<Table>[]): Promise<Tables> {
  const open = new Map<string, Table>()
  const tables: Tables = {
    get(key) {
      const table = open.get(key)
      if (table !== undefined) return table
      const near = nearest(key, [...open.keys()])
      const known = open.size === 0 ? 'the config has no tables' : `known here: ${[...open.keys()].join(', ')}`
      throw new Error(`there is no table '${key}'; ${near === undefined ? known : `did you mean '${near}'?`}`)
    },
  }
  scope.provide(Tables, tables)
  for (const { key, module, config } of chosen) open.set(key, await module.create(config, scope.child(`tables.${key}`)))
  return tables
}
