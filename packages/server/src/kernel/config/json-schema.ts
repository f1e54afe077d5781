// The config's JSON Schema, from which an editor completes and checks: `aviso config schema`.

import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema'
import type { GenericSchema } from 'valibot'
import type { ModulePlace } from './modules.ts'

/** The JSON Schema of the config file, from which an editor completes and checks. */
export function jsonSchema(schema: GenericSchema): JsonSchema {
  return withPlaces(toJsonSchema(schema, { typeMode: 'input', errorMode: 'ignore' })) as JsonSchema
}

/** valibot carries a place's metadata over as it is: here it becomes the properties that may stand there. */
function withPlaces(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withPlaces)
  if (!isMap(node)) return node
  const place = node['place'] as ModulePlace | undefined
  if (place === undefined)
    return Object.fromEntries(Object.entries(node).map(([key, inner]) => [key, withPlaces(inner)]))
  const properties: Record<string, JsonSchema> = {}
  const patternProperties: Record<string, JsonSchema> = {}
  for (const module of place.modules) {
    const inner: JsonSchema = {
      description: module.summary,
      anyOf: [jsonSchema(module.config), { type: 'boolean' }, { type: 'null' }],
    }
    properties[module.name] = inner
    patternProperties[`^${module.name}/`] = inner
  }
  return {
    type: 'object',
    description: place.family.summary,
    properties,
    patternProperties,
    additionalProperties: false,
  }
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
