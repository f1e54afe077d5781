// Tables in PostgreSQL: its driver does not hold up the event loop, so no thread is needed.

import type { Sql } from 'postgres'
import type { Scope } from '../../../kernel/scope.ts'
import type { Table } from '../contracts.ts'
import { MAX_VALUES } from './protocol.ts'

export interface PostgresSetting {
  readonly url: string
  readonly init: readonly string[]
  /** One SELECT, with the key as `?`, `:key` or `$1`. */
  readonly lookup: string
}

/** Connections to one database. */
const CONNECTIONS = 2
/** Look-ups that may wait for one database. */
const MAX_WAITING = 1000

/** A table whose look-ups PostgreSQL answers, each within `timeout` milliseconds, until `scope` closes. */
export async function postgresTable(scope: Scope, setting: PostgresSetting, timeout: number): Promise<Table> {
  // Loaded where it is used only.
  const { default: postgres } = await import('postgres')
  const sql = postgres(setting.url, {
    max: CONNECTIONS,
    idle_timeout: 60,
    connect_timeout: Math.max(1, Math.ceil(timeout / 1000)),
    onnotice: () => {},
    // The server gives up as well: a query that nobody waits for any more costs nothing.
    connection: { application_name: 'aviso', statement_timeout: timeout },
  })
  scope.defer(() => sql.end({ timeout: 1 }))
  const lookup = numbered(setting.lookup)
  let ready: Promise<void> | undefined
  let waiting = 0
  const inTime = async <T>(ask: () => Promise<T>): Promise<T> => {
    if (waiting >= MAX_WAITING) throw new Error(`${MAX_WAITING} look-ups wait for the database of this table already`)
    waiting++
    try {
      return await withTimeout(ask(), scope, timeout)
    } finally {
      waiting--
    }
  }
  const open = async (): Promise<void> => {
    ready ??= prepare(sql, setting.init)
    try {
      await ready
    } catch (error) {
      ready = undefined
      throw error
    }
  }
  inTime(open).catch((error: unknown) => {
    if (!scope.signal.aborted) scope.log.error({ err: error }, 'the database of a table cannot be opened')
  })
  return {
    lookup: (key) =>
      inTime(async () => {
        await open()
        const rows: readonly Readonly<Record<string, unknown>>[] = await sql.unsafe(lookup, [key], { prepare: true })
        if (rows.length > MAX_VALUES) throw new Error(`more than ${MAX_VALUES} rows`)
        return rows.map((row) => textOf(Object.values(row)[0]))
      }),
  }
}

async function prepare(sql: Sql, init: readonly string[]): Promise<void> {
  await sql`SELECT 1`
  for (const statement of init) await sql.unsafe(statement)
}

function withTimeout<T>(work: Promise<T>, scope: Scope, timeout: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = scope.clock.timeout(timeout, () =>
      reject(new Error(`the database did not answer within ${timeout / 1000} s`)),
    )
    work.then(resolve, reject).finally(() => timer.cancel())
  })
}

const textOf = (value: unknown): string => {
  if (value === null || value === undefined) return ''
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean | bigint)
}

/** The key's placeholder as PostgreSQL writes it; what stands in quotes, and casts (`::`), stay as they are. */
export const numbered = (text: string): string =>
  text.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|::|\?|:key\b/g, (found) =>
    found === '?' || found === ':key' ? '$1' : found,
  )
