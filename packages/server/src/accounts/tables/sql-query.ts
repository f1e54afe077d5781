// A table that asks a database

import * as v from 'valibot'
import { table } from './contracts.ts'
import { databaseSettings, ONE_DATABASE, oneDatabase, openDatabase } from './sql/database.ts'

export const sqlQueryTable = table({
  name: 'sql-query',
  summary: 'Asks a database (SQLite or PostgreSQL) with a query of your own; each row is a value.',
  config: v.pipe(
    v.strictObject({
      ...databaseSettings,
      lookup: v.pipe(
        v.string(),
        v.minLength(1),
        v.description('one SELECT of one column; the key is :key, or ?. No row: the table does not hold the key'),
      ),
      init: v.optional(
        v.pipe(v.array(v.string()), v.description('statements that are run when the database is opened')),
        [],
      ),
      'read-only': v.optional(
        v.pipe(v.boolean(), v.description('for SQLite: the file must be there, and is not changed')),
        true,
      ),
    }),
    v.check((given) => oneDatabase(given), ONE_DATABASE),
  ),

  create: (config, scope) =>
    openDatabase(scope, config, { init: config.init, lookup: config.lookup, readOnly: config['read-only'] }),
})
