// From a config file to checked settings, or to the list of everything that is wrong with it.

import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { GenericSchema, InferOutput } from 'valibot'
import { type ConfigProblem, readConfig, type Secrets, type Source } from './source.ts'
import { validate } from './validate.ts'

/** A config that cannot be used. The message has one line for each problem: `file:line:column: what`. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(problemLine).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

const problemLine = ({ file, line, column, message }: ConfigProblem): string =>
  file === undefined ? message : line === undefined ? `${file}: ${message}` : `${file}:${line}:${column}: ${message}`

/** Checked settings, and the value they were made from (includes merged, secrets filled in). */
export interface Loaded<T> {
  readonly settings: T
  readonly written: unknown
}

/**
 * Loads `file` (`.yaml`, or `.ts` / `.js` with a default export) against `schema`. Throws `ConfigError` with all problems at once.
 * `generation` makes a reloaded `.ts` file be read again.
 */
export async function loadConfig<S extends GenericSchema>(
  schema: S,
  file: string,
  secrets: Secrets,
  generation = 0,
): Promise<Loaded<InferOutput<S>>> {
  const source = ['.ts', '.mts', '.js', '.mjs'].includes(extname(file))
    ? await importConfig(file, generation)
    : readConfig(file, secrets)
  return checkConfig(schema, source)
}

/** Checks a value that is at hand (the built-in configuration, a test's). Throws `ConfigError`. */
export function checkConfig<S extends GenericSchema>(schema: S, source: Source): Loaded<InferOutput<S>> {
  if (source.problems.length > 0 && source.value === undefined) throw new ConfigError(source.problems)
  const { output, problems = [] } = validate(schema, source.value)
  const all: ConfigProblem[] = [
    ...source.problems,
    ...problems.map(({ path, message, atKey }) => {
      const place = source.locate(path, atKey)
      return {
        ...place,
        message: place?.line === undefined && path.length > 0 ? `${path.join('.')}: ${message}` : message,
      }
    }),
  ]
  if (all.length > 0) throw new ConfigError(all.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)))
  return { settings: output as InferOutput<S>, written: source.value }
}

/** A value without a file. */
export const inlineSource = (value: unknown): Source => ({ value, problems: [], locate: () => undefined })

async function importConfig(file: string, generation: number): Promise<Source> {
  const path = resolve(file)
  try {
    const module = (await import(`${pathToFileURL(path).href}?generation=${generation}`)) as { default?: unknown }
    if (module.default === undefined)
      return {
        ...inlineSource(undefined),
        problems: [{ file, message: 'has no default export: write `export default defineConfig({ ... })`' }],
      }
    return { ...inlineSource(module.default), locate: () => ({ file }) }
  } catch (error) {
    return {
      ...inlineSource(undefined),
      problems: [{ file, message: `cannot be loaded: ${(error as Error).message}` }],
    }
  }
}
