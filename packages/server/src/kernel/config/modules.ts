// The places in the config where modules are listed: a map from the module's name to its settings.

import * as v from 'valibot'
import { nearest } from '../nearest.ts'
import type { AnyModule, Family, Registry } from '../module.ts'
import { type Problem, validate } from './validate.ts'

/** A module that the config chose, with its settings checked. */
export interface Chosen<Instance> {
  /** As written: `name`, or `name/label` where one module is used more than once. */
  readonly key: string
  readonly module: AnyModule<Instance>
  readonly config: unknown
}

/** What the walkers (reference, JSON Schema, `config show`) need to know of such a place. */
export interface ModulePlace {
  readonly family: Family<unknown>
  readonly modules: readonly AnyModule[]
  readonly standard: Readonly<Record<string, unknown>>
}

/**
 * The schema of a place that lists modules of `family`. `standard` are the modules (with their settings) that are on without being named; `name: false`
 * switches one off, `name: true` takes its defaults. The output keeps the order: standard ones first, then as written.
 */
export function moduleMap<Instance>(
  registry: Registry,
  family: Family<Instance>,
  standard: Readonly<Record<string, unknown>> = {},
) {
  const modules = registry.family(family)
  const place: ModulePlace = { family, modules: modules as readonly AnyModule[], standard }
  return v.pipe(
    v.optional(v.record(v.string(), v.unknown()), {}),
    v.description(family.summary),
    v.metadata({ place }),
    v.rawTransform(({ dataset, addIssue }) => {
      const chosen: Chosen<Instance>[] = []
      for (const [key, written] of Object.entries({ ...standard, ...dataset.value })) {
        if (written === false) continue
        const outcome = choose(registry, family, modules, key, written)
        if (outcome.chosen !== undefined) chosen.push(outcome.chosen)
        for (const problem of outcome.problems ?? [])
          addIssue({ message: problem.message, path: issuePath(dataset.value, problem) })
      }
      return chosen
    }),
  )
}

/** As `moduleMap`, for a place that changes what another one says: modules with their settings, by key; undefined where one is switched off. */
export function moduleOverrides<Instance>(registry: Registry, family: Family<Instance>) {
  const modules = registry.family(family)
  const place: ModulePlace = { family, modules: modules as readonly AnyModule[], standard: {} }
  return v.pipe(
    v.optional(v.record(v.string(), v.unknown()), {}),
    v.description(family.summary),
    v.metadata({ place }),
    v.rawTransform(({ dataset, addIssue }) => {
      const overrides = new Map<string, Chosen<Instance> | undefined>()
      for (const [key, written] of Object.entries(dataset.value)) {
        // The name must be known, on or off.
        const { chosen, problems } = choose(registry, family, modules, key, written === false ? true : written)
        if (chosen !== undefined) overrides.set(key, written === false ? undefined : chosen)
        else if (written === false && problems?.[0]?.atKey !== true) overrides.set(key, undefined)
        else
          for (const problem of problems ?? [])
            addIssue({ message: problem.message, path: issuePath(dataset.value, problem) })
      }
      return overrides
    }),
  )
}

function choose<Instance>(
  registry: Registry,
  family: Family<Instance>,
  modules: readonly AnyModule<Instance>[],
  key: string,
  written: unknown,
) {
  const name = key.split('/', 1)[0] ?? key
  const module = registry.find(family, name)
  if (module === undefined) {
    const near = nearest(
      name,
      modules.map((candidate) => candidate.name),
    )
    const hint =
      near === undefined
        ? `known here: ${modules.map((candidate) => candidate.name).join(', ')}`
        : `did you mean '${near}'?`
    return { problems: [{ path: [key], message: `there is no ${family.name} module '${name}'; ${hint}`, atKey: true }] }
  }
  const { output, problems } = validate(module.config, written === true || written === null ? {} : written)
  if (problems !== undefined)
    return { problems: problems.map((problem) => ({ ...problem, path: [key, ...problem.path] })) }
  return { chosen: { key, module, config: output } }
}

/** valibot wants to see the value at every step of an issue's path. */
export function issuePath(
  input: unknown,
  problem: Pick<Problem, 'path' | 'atKey'>,
): [v.IssuePathItem, ...v.IssuePathItem[]] {
  const items: v.IssuePathItem[] = []
  let value = input
  for (const key of problem.path) {
    const inside = (value as Record<string | number, unknown> | undefined)?.[key]
    items.push({ type: 'unknown', origin: problem.atKey === true ? 'key' : 'value', input: value, key, value: inside })
    value = inside
  }
  return items as [v.IssuePathItem, ...v.IssuePathItem[]]
}

/** The place that a schema describes, if it is one that lists modules. */
export function placeOf(schema: v.GenericSchema): ModulePlace | undefined {
  for (const action of (schema as unknown as { pipe?: readonly { type: string; metadata?: { place?: ModulePlace } }[] })
    .pipe ?? [])
    if (action.type === 'metadata' && action.metadata?.place !== undefined) return action.metadata.place
  return undefined
}
