// Brings a database's tables to the newest version, after a copy of the old ones was put aside.

import { type StoreDefinition, StoreError } from './contracts.ts'
import type { SqliteDatabase } from './sqlite.ts'

/**
 * Runs the migrations that `database` has not seen, all of them in one transaction. A database that has been used before is first copied to
 * `<path>.before-migration`. Throws `StoreError('newer')` for a database that a newer Aviso wrote: an old program must not touch it.
 */
export function migrate(database: SqliteDatabase, definitions: readonly StoreDefinition[]): void {
  const wanted = definitions.reduce((sum, definition) => sum + definition.migrations.length, 0)
  // user_version holds the number of migrations run in all: the quick answer for a database that is opened often.
  const seen = Number(database.get('PRAGMA user_version')?.[0] ?? 0)
  if (seen === wanted) return
  database.script('CREATE TABLE IF NOT EXISTS schema_version (store TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT')
  const versions = new Map(
    database
      .all('SELECT store, version FROM schema_version')
      .map(([store, version]) => [String(store), Number(version)]),
  )
  for (const { name, migrations } of definitions) {
    const version = versions.get(name) ?? 0
    if (version > migrations.length)
      throw new StoreError(
        'newer',
        `${database.path} was written by a newer Aviso (tables '${name}' have version ${version}, this program knows ${migrations.length}): upgrade Aviso, or restore ${database.path}.before-migration`,
      )
  }
  if (seen > 0) database.copyTo(`${database.path}.before-migration`)
  database.script('BEGIN IMMEDIATE')
  try {
    for (const { name, migrations } of definitions) {
      for (const migration of migrations.slice(versions.get(name) ?? 0)) database.script(migration)
      database.run(
        'INSERT INTO schema_version (store, version) VALUES (?, ?) ON CONFLICT (store) DO UPDATE SET version = excluded.version',
        name,
        migrations.length,
      )
    }
    database.script(`PRAGMA user_version = ${wanted}`)
    database.script('COMMIT')
  } catch (error) {
    if (database.inTransaction) database.script('ROLLBACK')
    throw error
  }
}
