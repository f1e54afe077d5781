// A table that asks a database

import * as v from 'valibot'
import { configPath } from '../../kernel/config/folder.ts'
import { duration } from '../../kernel/units.ts'
import { table } from './contracts.ts'
import { sqlTable } from './sql/asker.ts'

/** What both SQL tables are told of their database. */
export const databaseSettings = {
  path: v.pipe(v.string(), v.minLength(1), v.description('a SQLite file; relative to the config file')),
  timeout: v.pipe(duration('5s'), v.minValue(1), v.description('how long a look-up may take; then the mail waits')),
}

export const sqlQueryTable = table({
  name: 'sql-query',
  summary: 'Asks a SQLite database with a query of your own; each row is a value.',
  config: v.strictObject({
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
    'read-only': v.optional(v.pipe(v.boolean(), v.description('the file must be there, and is not changed')), true),
  }),

  create: (config, scope) =>
    sqlTable(
      scope,
      {
        path: configPath(scope, config.path),
        init: config.init,
        lookup: config.lookup,
        readOnly: config['read-only'],
      },
      config.timeout,
    ),
})
