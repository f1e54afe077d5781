// Everything that the config can switch on is a module: declared in one expression, created with its config and its scope.

import type { GenericSchema, InferOutput } from 'valibot'
import type { Scope } from './scope.ts'

/**
 * A family of modules that meet one contract (`Instance`): checks, targets, endpoints, chat features ...
 * `name` is the place in the config where its modules are listed.
 */
export interface Family<Instance> {
  readonly name: string
  readonly summary: string
  /** Carries the type only; never set. */
  readonly contract?: Instance
}

export const defineFamily = <Instance>(name: string, summary: string): Family<Instance> => ({ name, summary })

/** One declared module. */
export interface Module<Instance = unknown, Schema extends GenericSchema = GenericSchema> {
  readonly family: Family<Instance>
  /** The name an administrator writes in the config. */
  readonly name: string
  /** One line for the reference page and `aviso config show`. */
  readonly summary: string
  readonly config: Schema
  /** Makes the running thing. What it throws makes the configuration fail to start. */
  create(config: InferOutput<Schema>, scope: Scope): Instance | Promise<Instance>
}

/** A module whose schema type is forgotten, as registries hold it. Its `create` takes what its own `config` schema put out. */
export type AnyModule<Instance = unknown> = Omit<Module<Instance>, 'create'> & {
  create(config: unknown, scope: Scope): Instance | Promise<Instance>
}

/** Declares a module. */
export function defineModule<Instance, Schema extends GenericSchema>(
  module: Module<Instance, Schema>,
): AnyModule<Instance> {
  return module as AnyModule<Instance>
}

/** The modules that this build of Aviso knows, by family and name. */
export class Registry {
  readonly #families = new Map<string, Map<string, AnyModule>>()

  constructor(modules: Iterable<AnyModule>) {
    for (const module of modules) {
      const family = this.#families.get(module.family.name) ?? new Map<string, AnyModule>()
      if (family.has(module.name))
        throw new Error(`two modules of the family ${module.family.name} are called '${module.name}'`)
      family.set(module.name, module)
      this.#families.set(module.family.name, family)
    }
  }

  /** The modules of a family, in the order of their declaration. */
  family<Instance>(family: Family<Instance>): readonly AnyModule<Instance>[] {
    return [...(this.#families.get(family.name)?.values() ?? [])] as AnyModule<Instance>[]
  }

  /** The module of that name, if there is one. */
  find<Instance>(family: Family<Instance>, name: string): AnyModule<Instance> | undefined {
    return this.#families.get(family.name)?.get(name) as AnyModule<Instance> | undefined
  }
}
