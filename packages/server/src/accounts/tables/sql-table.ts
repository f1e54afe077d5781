// A table that is a table of a database

import * as v from 'valibot'
import { table } from './contracts.ts'
import { databaseSettings, ONE_DATABASE, oneDatabase, openDatabase } from './sql/database.ts'

const name = (what: string) =>
  v.pipe(
    v.string(),
    v.regex(/^[\p{L}_][\p{L}\p{N}_]{0,62}$/u, 'expected a name of letters, digits and _'),
    v.description(what),
  )

export const sqlTableTable = table({
  name: 'sql-table',
  summary:
    'Holds the pairs that a table of a database (SQLite or PostgreSQL) has, one row for each value; makes it where it is missing.',
  config: v.pipe(
    v.strictObject({
      ...databaseSettings,
      table: name('the table'),
      'key-column': v.optional(name('its column of keys'), 'key'),
      'value-column': v.optional(name('its column of values; they come in their own order'), 'value'),
    }),
    v.check((given) => oneDatabase(given), ONE_DATABASE),
  ),

  create(config, scope) {
    const { table: rows, 'key-column': key, 'value-column': value } = config
    return openDatabase(scope, config, {
      init: [
        `CREATE TABLE IF NOT EXISTS "${rows}" ("${key}" TEXT NOT NULL, "${value}" TEXT NOT NULL, PRIMARY KEY ("${key}", "${value}"))`,
      ],
      lookup: `SELECT "${value}" FROM "${rows}" WHERE "${key}" = ? ORDER BY "${value}"`,
      readOnly: false,
    })
  },
})
