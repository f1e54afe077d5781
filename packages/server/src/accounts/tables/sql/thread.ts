// The database side of SQL tables: runs in a worker thread, so that a slow query holds up nobody else.

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { MessagePort } from 'node:worker_threads'
import { MAX_VALUES, type SqlAnswer, type SqlQuestion, type SqlSetting } from './protocol.ts'

/** Milliseconds to wait for another program that writes to the database. */
const BUSY = 2000

/** Answers questions from `port`. The database is opened at the first question, and again at the next one after it failed. */
export function serveTable(port: MessagePort, setting: SqlSetting): void {
  let statement: StatementSync | undefined
  let database: DatabaseSync | undefined
  port.on('message', ({ id, key }: SqlQuestion) => {
    let answer: SqlAnswer
    try {
      if (statement === undefined) {
        database = open(setting)
        statement = database.prepare(setting.lookup)
      }
      answer = { id, values: key === undefined ? [] : look(statement, setting.lookup, key) }
    } catch (error) {
      answer = { id, error: error instanceof Error ? error.message : String(error) }
      database?.close()
      database = undefined
      statement = undefined
    }
    port.postMessage(answer)
  })
}

function open({ path, init, readOnly }: SqlSetting): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly, timeout: BUSY })
  try {
    for (const sql of init) database.exec(sql)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function look(statement: StatementSync, sql: string, key: string): readonly string[] {
  const values: string[] = []
  const rows = /[:@$]key\b/.test(sql) ? statement.iterate({ key }) : statement.iterate(key)
  for (const row of rows) {
    const [value] = Object.values(row)
    if (values.length === MAX_VALUES) throw new Error(`more than ${MAX_VALUES} rows`)
    // A row with NULL says that the key is there, and has no value.
    values.push(
      value === null || value === undefined
        ? ''
        : value instanceof Uint8Array
          ? Buffer.from(value).toString('utf8')
          : String(value),
    )
  }
  return values
}
