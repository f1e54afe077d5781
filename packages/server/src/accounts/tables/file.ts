// A table in a text file, read again when that changes

import { readFile, stat } from 'node:fs/promises'
import * as v from 'valibot'
import { configPath } from '../../kernel/config/folder.ts'
import type { Log } from '../../kernel/log.ts'
import { duration } from '../../kernel/units.ts'
import { table } from './contracts.ts'
import { foldKey } from './keys.ts'

/** Octets. Beyond that a table wants a database. */
const MAX_FILE = 32 * 1024 * 1024
/** Lines that are read without letting anybody else have a turn: some milliseconds. */
const SLICE = 2000

export const fileTable = table({
  name: 'file',
  summary: 'Reads pairs from a text file, one key a line: `key: value, value`; # begins a comment.',
  config: v.strictObject({
    path: v.pipe(v.string(), v.minLength(1), v.description('the file; relative to the config file')),
    every: v.pipe(duration('15s'), v.minValue(100), v.description('how often is looked whether the file changed')),
  }),

  async create(config, scope) {
    const file = new TableFile(configPath(scope, config.path), scope.log)
    await file.refresh()
    scope.interval(config.every, () => file.refresh())
    return { lookup: (key) => file.pairs.get(foldKey(key)) ?? [] }
  },
})

/** A line that is neither a pair nor a comment. */
class TableSyntaxError extends Error {}

class TableFile {
  readonly #path: string
  readonly #log: Log
  /** What the file was when it was read last. */
  #seen = ''
  pairs: ReadonlyMap<string, readonly string[]> = new Map()

  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
  }

  /** Reads the file if it is another than before. A file that cannot be read, or makes no sense, leaves what was there. Never rejects. */
  async refresh(): Promise<void> {
    let now = 'missing'
    try {
      const { mtimeMs, size, ino } = await stat(this.#path)
      now = `${mtimeMs} ${size} ${ino}`
      if (now === this.#seen) return
      if (size > MAX_FILE) throw new TableSyntaxError(`the file is larger than ${MAX_FILE} octets`)
      this.pairs = await parseTable(await readFile(this.#path, 'utf8'))
    } catch (error) {
      if (!isMissing(error)) {
        if (this.#seen !== now)
          this.#log.error({ err: error, path: this.#path }, 'the table cannot be read: what was read before stays')
      } else if (this.#seen !== 'missing') {
        now = 'missing'
        this.#log.warn({ path: this.#path }, 'the file of a table is not there: the table is empty')
        this.pairs = new Map()
      }
    }
    this.#seen = now
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

/**
 * Reads `key: value, value` lines; a key alone has the value ''. A key that stands twice has the values of both. A key in double quotes may hold `:` and `#`.
 * Rejects with an error that names the line.
 */
export async function parseTable(text: string): Promise<Map<string, string[]>> {
  const pairs = new Map<string, string[]>()
  let number = 0
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    if (++number % SLICE === 0) await new Promise((resolve) => setImmediate(resolve))
    const pair = parseLine(line)
    if (pair === undefined) continue
    if (typeof pair === 'string') throw new TableSyntaxError(`line ${number}: ${pair}`)
    const values = pairs.get(pair.key)
    if (values === undefined) pairs.set(pair.key, [...pair.values])
    else values.push(...pair.values)
  }
  return pairs
}

const QUOTED = /^"((?:[^"\\]|\\.)*)"\s*(?::(.*))?$/s

/** A pair, undefined for an empty line or a comment, or what is wrong with the line. */
function parseLine(written: string): { readonly key: string; readonly values: readonly string[] } | string | undefined {
  const line = written.trim()
  if (line === '' || line.startsWith('#')) return undefined
  let key: string
  let rest: string | undefined
  if (line.startsWith('"')) {
    const quoted = QUOTED.exec(line.replace(/\s+#.*$/, ''))
    if (quoted === null) return 'the key in quotes does not end, or is not followed by a colon'
    key = (quoted[1] ?? '').replace(/\\(.)/gs, '$1')
    rest = quoted[2]
  } else {
    const bare = line.replace(/\s+#.*$/, '')
    const colon = bare.indexOf(':')
    key = (colon < 0 ? bare : bare.slice(0, colon)).trim()
    rest = colon < 0 ? undefined : bare.slice(colon + 1)
    if (/\s/.test(key)) return 'a key holds no blanks; a colon stands between key and value'
  }
  if (key === '') return 'there is no key before the colon'
  const values = (rest ?? '').split(',').map((value) => value.trim())
  return { key: foldKey(key), values: values.length > 1 ? values.filter((value) => value !== '') : values }
}
