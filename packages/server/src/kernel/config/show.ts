// The whole config with every default filled in, as one would write it: `aviso config show`.

import type { GenericSchema } from 'valibot'
import { type ModulePlace, placeOf } from './modules.ts'
import { defaultOf, entriesOf, itemOf, unwrap } from './validate.ts'

/** `written` with the defaults of `schema` filled in. The input must be valid. */
export function withDefaults(schema: GenericSchema, written: unknown): unknown {
  const place = placeOf(schema)
  if (place !== undefined) return modulesWithDefaults(place, written)
  const value = written ?? defaultOf(schema)
  const entries = entriesOf(schema)
  if (entries !== undefined && (value === undefined || isMap(value))) {
    // A group that is optional as a whole and has no default stays away.
    if (value === undefined && unwrap(schema) !== schema) return undefined
    const shown: Record<string, unknown> = {}
    for (const [key, entry] of Object.entries(entries)) {
      const inner = withDefaults(entry, (value as Record<string, unknown> | undefined)?.[key])
      if (inner !== undefined) shown[key] = inner
    }
    return shown
  }
  const item = itemOf(schema)
  if (item !== undefined && Array.isArray(value)) return value.map((inner) => withDefaults(item, inner))
  if (item !== undefined && isMap(value))
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withDefaults(item, inner)]))
  return value
}

function modulesWithDefaults({ modules, standard }: ModulePlace, written: unknown): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const [key, config] of Object.entries({ ...standard, ...(isMap(written) ? written : {}) })) {
    const module = modules.find((candidate) => candidate.name === key.split('/', 1)[0])
    shown[key] =
      config === false || module === undefined
        ? false
        : withDefaults(module.config, config === true || config === null ? {} : config)
  }
  return shown
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
