// Which database a SQL table is in: the settings that all of them have.

import * as v from 'valibot'
import { configPath } from '../../../kernel/config/folder.ts'
import type { Scope } from '../../../kernel/scope.ts'
import { duration } from '../../../kernel/units.ts'
import type { Table } from '../contracts.ts'
import { sqlTable } from './asker.ts'
import { postgresTable } from './postgres.ts'

export const databaseSettings = {
  path: v.optional(v.pipe(v.string(), v.minLength(1), v.description('a SQLite file; relative to the config file'))),
  postgres: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^postgres(?:ql)?:\/\//, 'expected an address such as postgres://user:password@host/database'),
      v.description('in the place of path: a PostgreSQL database, as postgres://user:password@host/database'),
    ),
  ),
  timeout: v.pipe(duration('5s'), v.minValue(1), v.description('how long a look-up may take; then the mail waits')),
}

interface Chosen {
  readonly path?: string | undefined
  readonly postgres?: string | undefined
  readonly timeout: number
}

/** For `v.check`: exactly one of the two is named. */
export const oneDatabase = ({ path, postgres }: Pick<Chosen, 'path' | 'postgres'>): boolean =>
  (path === undefined) !== (postgres === undefined)
export const ONE_DATABASE = 'name one of path (SQLite) and postgres'

/** Opens the table in whichever database was chosen. */
export function openDatabase(
  scope: Scope,
  { path, postgres, timeout }: Chosen,
  queries: { readonly init: readonly string[]; readonly lookup: string; readonly readOnly: boolean },
): Table | Promise<Table> {
  if (postgres !== undefined) return postgresTable(scope, { url: postgres, ...queries }, timeout)
  return sqlTable(scope, { path: configPath(scope, path ?? ''), ...queries }, timeout)
}
