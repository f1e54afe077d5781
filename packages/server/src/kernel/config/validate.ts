// A value against its schema: every problem at once, each with its path, what was expected, and the nearest right name.

import * as v from 'valibot'
import { nearest } from '../nearest.ts'

export type Path = readonly (string | number)[]

/** One thing that is wrong, and where in the value. */
export interface Problem {
  readonly path: Path
  readonly message: string
  /** True when the key itself is meant, not its value. */
  readonly atKey?: boolean
}

export type Validated<T> =
  { readonly output: T; readonly problems?: never } | { readonly output?: never; readonly problems: readonly Problem[] }

/** Checks `value` and fills in the defaults. */
export function validate<S extends v.GenericSchema>(schema: S, value: unknown): Validated<v.InferOutput<S>> {
  const problems: Problem[] = [...unknownKeys(schema, value, [])]
  const result = v.safeParse(schema, value)
  for (const issue of result.issues ?? []) problems.push(...fromIssue(issue))
  // Whatever the walkers here did not see: what does not fit is never let through.
  const [unsaid] = result.issues ?? []
  if (problems.length === 0 && unsaid !== undefined) problems.push({ path: pathOf(unsaid), message: unsaid.message })
  if (problems.length > 0) return { problems }
  return { output: result.output as v.InferOutput<S> }
}

const pathOf = (issue: v.BaseIssue<unknown>): Path => (issue.path ?? []).map((item) => item.key as string | number)

function fromIssue(issue: v.BaseIssue<unknown>): readonly Problem[] {
  const path = pathOf(issue)
  const last = issue.path?.at(-1)
  if (issue.type === 'strict_object' && issue.expected === 'never') return [] // unknownKeys says it better, and all of them
  if (issue.type === 'strict_object' && last?.origin === 'key')
    return [{ path: path.slice(0, -1), message: `'${String(last.key)}' is missing` }]
  if (issue.type === 'union' && issue.issues !== undefined && issue.issues.length > 0) {
    const wanted = [...new Set(issue.issues.map((inner) => inner.expected ?? inner.message))].join(' or ')
    return [{ path, message: `expected ${wanted}, found ${issue.received}` }]
  }
  if (issue.kind === 'schema' && issue.expected !== null && issue.message.startsWith('Invalid type'))
    return [{ path, message: `expected ${said(issue.expected)}, found ${issue.received}${suggestion(issue)}` }]
  return [{ path, message: issue.message, atKey: last?.origin === 'key' }]
}

const said = (expected: string): string =>
  expected === 'Object' || expected === 'object'
    ? 'a map of settings'
    : expected === 'Array'
      ? 'a list'
      : expected.replaceAll(' | ', ' or ')

/** For a choice among words: the one that was probably meant. */
function suggestion(issue: v.BaseIssue<unknown>): string {
  if (typeof issue.input !== 'string' || issue.expected === null) return ''
  const words = [...issue.expected.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '')
  const near = nearest(issue.input, words)
  return near === undefined ? '' : `; did you mean '${near}'?`
}

/** The keys that the schema does not know. valibot stops at the first one; an administrator wants them all. */
function* unknownKeys(schema: v.GenericSchema, value: unknown, path: Path): Generator<Problem> {
  const known = entriesOf(schema)
  if (known !== undefined) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return
    for (const [key, inner] of Object.entries(value)) {
      const entry = Object.hasOwn(known, key) ? known[key] : undefined
      if (entry !== undefined) {
        yield* unknownKeys(entry, inner, [...path, key])
        continue
      }
      const near = nearest(key, Object.keys(known))
      const hint = near === undefined ? `known here: ${Object.keys(known).join(', ')}` : `did you mean '${near}'?`
      yield { path: [...path, key], message: `unknown setting '${key}'; ${hint}`, atKey: true }
    }
    return
  }
  const item = itemOf(schema)
  if (item === undefined || typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value))
    yield* unknownKeys(item, inner, [...path, Array.isArray(value) ? Number(key) : key])
}

/** What a schema is made of, as far as the walkers here look: valibot's own fields. */
interface Inside {
  readonly type: string
  readonly entries?: Record<string, v.GenericSchema>
  readonly item?: v.GenericSchema
  readonly value?: v.GenericSchema
  readonly wrapped?: v.GenericSchema
  readonly pipe?: readonly v.GenericSchema[]
  readonly default?: unknown
}

/** The schema without `optional`, `nullable` and the like around it. */
export function unwrap(schema: v.GenericSchema): v.GenericSchema {
  const inside = schema as unknown as Inside
  return inside.wrapped === undefined ? schema : unwrap(inside.wrapped)
}

/** The settings of a map with fixed keys; undefined for every other schema. */
export function entriesOf(schema: v.GenericSchema): Record<string, v.GenericSchema> | undefined {
  const inside = unwrap(schema) as unknown as Inside
  return inside.type === 'strict_object' ? inside.entries : undefined
}

/** The schema of the items of a list, or of the values of a free map. */
export function itemOf(schema: v.GenericSchema): v.GenericSchema | undefined {
  const inside = unwrap(schema) as unknown as Inside
  return inside.type === 'array' ? inside.item : inside.type === 'record' ? inside.value : undefined
}

/** The default of an optional setting, as one would write it in the file. */
export function defaultOf(schema: v.GenericSchema): unknown {
  const inside = schema as unknown as Inside
  if (inside.wrapped === undefined) return undefined
  const own = typeof inside.default === 'function' ? (inside.default as () => unknown)() : inside.default
  return own ?? defaultOf(inside.wrapped)
}

/** The description that stands in a schema's pipe. */
export function descriptionOf(schema: v.GenericSchema): string | undefined {
  const inside = schema as unknown as Inside
  for (const action of inside.pipe ?? []) {
    const { type, description } = action as unknown as { type: string; description?: string }
    if (type === 'description') return description
  }
  return inside.wrapped === undefined ? undefined : descriptionOf(inside.wrapped)
}
