// A table that is a table of a database

import * as v from 'valibot'
import { configPath } from '../../kernel/config/folder.ts'
import { table } from './contracts.ts'
import { sqlTable } from './sql/asker.ts'
import { databaseSettings } from './sql-query.ts'

const name = (what: string) =>
  v.pipe(
    v.string(),
    v.regex(/^[\p{L}_][\p{L}\p{N}_]{0,63}$/u, 'expected a name of letters, digits and _'),
    v.description(what),
  )

export const sqlTableTable = table({
  name: 'sql-table',
  summary:
    'Holds the pairs that a table of a SQLite database has, one row for each value; makes it where it is missing.',
  config: v.strictObject({
    ...databaseSettings,
    table: name('the table'),
    'key-column': v.optional(name('its column of keys'), 'key'),
    'value-column': v.optional(name('its column of values'), 'value'),
  }),

  create(config, scope) {
    const { table: rows, 'key-column': key, 'value-column': value } = config
    return sqlTable(
      scope,
      {
        path: configPath(scope, config.path),
        init: [
          `CREATE TABLE IF NOT EXISTS "${rows}" ("${key}" TEXT NOT NULL, "${value}" TEXT NOT NULL, PRIMARY KEY ("${key}", "${value}"))`,
        ],
        lookup: `SELECT "${value}" FROM "${rows}" WHERE "${key}" = ? ORDER BY rowid`,
        readOnly: false,
      },
      config.timeout,
    )
  },
})
