// The reference of settings, from the config's schemas.

import type { GenericSchema } from 'valibot'
import { stringify } from 'yaml'
import { configSchema } from '../packages/server/src/config.ts'
import { type ModulePlace, placeOf } from '../packages/server/src/kernel/config/modules.ts'
import { withDefaults } from '../packages/server/src/kernel/config/show.ts'
import { defaultOf, descriptionOf, entriesOf, unwrap } from '../packages/server/src/kernel/config/validate.ts'

const lines: string[] = [
  '# Settings',
  '',
  'Every setting of `aviso.yaml` (or `aviso.config.ts`), made from the schemas that check them: do not edit this page, run `npm run docs`.',
  '`aviso config check` tells everything that is wrong with a file, `aviso config show` prints it with all defaults, `aviso config schema` prints a JSON Schema for your editor.',
  '',
]

/** One line for a setting: its name, what it takes, its default, what it is. */
function describe(key: string, schema: GenericSchema): string {
  const fallback = defaultOf(schema)
  const shown =
    fallback === undefined || entriesOf(schema) !== undefined || placeOf(schema) !== undefined
      ? ''
      : `\`${JSON.stringify(fallback)}\``
  const required =
    (schema as { type?: string }).type !== 'optional' && defaultOf(schema) === undefined ? 'required' : shown
  return `| \`${key}\` | ${kindOf(schema)} | ${required} | ${(descriptionOf(schema) ?? descriptionOf(unwrap(schema)) ?? '').replaceAll('|', '\\|')} |`
}

/** What may be written, in a few words. */
function kindOf(schema: GenericSchema): string {
  const taken = unwrap(schema) as unknown as {
    type: string
    options?: readonly unknown[]
    item?: GenericSchema
    expects?: string
  }
  if (placeOf(schema) !== undefined) return 'modules'
  if (taken.type === 'strict_object') return 'group'
  if (taken.type === 'picklist') return (taken.options ?? []).map((option) => `\`${String(option)}\``).join(', ')
  if (taken.type === 'array') return `list of ${taken.item === undefined ? 'values' : kindOf(taken.item)}`
  if (taken.type === 'record') return 'map'
  if (taken.type === 'union') return unionOf((taken.options ?? []) as readonly GenericSchema[])
  return taken.type === 'string' ? 'text' : taken.type
}

/** The kinds of a union, each once. */
const unionOf = (options: readonly GenericSchema[]): string => [...new Set(options.map(kindOf))].join(' or ')

/** Families of modules that some place lists, each described once. */
const families = new Map<string, ModulePlace>()

function section(title: string, level: number, schema: GenericSchema, summary?: string): void {
  const entries = entriesOf(schema)
  if (entries === undefined) return
  lines.push(`${'#'.repeat(level)} ${title}`, '')
  if (summary !== undefined) lines.push(summary, '')
  if (Object.keys(entries).length === 0) {
    lines.push('No settings.', '')
    return
  }
  lines.push('| setting | takes | default | what it is |', '|---|---|---|---|')
  for (const [key, entry] of Object.entries(entries)) lines.push(describe(key, entry))
  lines.push('')
  const prefix = title === 'Top level' ? '' : `${title}.`
  for (const [key, entry] of Object.entries(entries)) inside(prefix + key, Math.min(5, level + 1), entry)
}

/** Lists and maps that were described, by their schema: one that stands in several places is described in the first. */
const described = new Map<GenericSchema, string>()

/** A heading as links name it. */
const anchor = (heading: string): string => heading.toLowerCase().replaceAll(/[^a-z0-9 -]/g, '')

/** What stands below a setting: a group, a list or a map of groups, or modules. */
function inside(name: string, level: number, schema: GenericSchema): void {
  const known = described.get(schema) ?? described.get(unwrap(schema))
  if (known !== undefined) {
    lines.push(`${'#'.repeat(level)} ${name}`, '', `As [${known}](#${anchor(known)}).`, '')
    return
  }
  const place = placeOf(schema)
  if (place !== undefined) {
    families.set(place.family.name, place)
    lines.push(
      `${'#'.repeat(level)} ${name}`,
      '',
      `Modules of the family [${place.family.name}](#modules-${place.family.name}). On without being named: ${
        Object.keys(place.standard)
          .map((module) => `\`${module}\``)
          .join(', ') || 'none'
      }. \`name: false\` switches one off.`,
      '',
    )
    return
  }
  const { type, item, value } = unwrap(schema) as unknown as {
    type: string
    item?: GenericSchema
    value?: GenericSchema
  }
  const [inner, title] =
    type === 'array' ? [item, `${name}[]`] : type === 'record' ? [value, `${name}.*`] : [schema, name]
  if (inner === undefined || entriesOf(inner) === undefined) return
  described.set(inner === schema ? unwrap(schema) : schema, title)
  section(title, level, inner, inner === schema ? descriptionOf(schema) : undefined)
}

/** The modules of every family that a place lists. A module's own settings may list modules again. */
function modules(): void {
  const done = new Set<string>()
  for (let next = [...families.values()]; next.length > 0;) {
    for (const { family, modules: known } of next) {
      done.add(family.name)
      lines.push(`## Modules: ${family.name}`, '', `${family.summary}.`, '')
      for (const module of known) section(`${family.name}: ${module.name}`, 3, module.config, module.summary)
    }
    next = [...families.values()].filter(({ family }) => !done.has(family.name))
  }
}

section('Top level', 2, configSchema)
modules()
lines.push(
  '## The shortest useful file, in full',
  '',
  '```yaml',
  stringify(withDefaults(configSchema, { hostname: 'mail.example.org', domain: 'example.org' })).trimEnd(),
  '```',
  '',
)

/** docs/reference/settings.md. */
export const settingsReference = lines.join('\n')
