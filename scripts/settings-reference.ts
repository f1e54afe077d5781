// The reference of settings, from the config's schemas.

import type { GenericSchema } from 'valibot'
import { stringify } from 'yaml'
import { configSchema } from '../packages/server/src/config.ts'
import { placeOf } from '../packages/server/src/kernel/config/modules.ts'
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
  const inside = unwrap(schema) as unknown as {
    type: string
    options?: readonly unknown[]
    item?: GenericSchema
    expects?: string
  }
  if (placeOf(schema) !== undefined) return 'modules'
  if (inside.type === 'strict_object') return 'group'
  if (inside.type === 'picklist') return (inside.options ?? []).map((option) => `\`${String(option)}\``).join(', ')
  if (inside.type === 'array') return `list of ${inside.item === undefined ? 'values' : kindOf(inside.item)}`
  if (inside.type === 'record') return 'map'
  if (inside.type === 'union') return 'text or number'
  return inside.type === 'string' ? 'text' : inside.type
}

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
  for (const [key, entry] of Object.entries(entries)) {
    const place = placeOf(entry)
    if (place === undefined) {
      if (entriesOf(entry) !== undefined)
        section(
          `${title === 'Top level' ? '' : `${title}.`}${key}`,
          Math.min(4, level + 1),
          entry,
          descriptionOf(entry),
        )
      continue
    }
    const name = `${title === 'Top level' ? '' : `${title}.`}${key}`
    lines.push(
      `${'#'.repeat(Math.min(4, level + 1))} ${name}`,
      '',
      `Modules: ${place.family.summary}. On without being named: ${
        Object.keys(place.standard)
          .map((module) => `\`${module}\``)
          .join(', ') || 'none'
      }. \`name: false\` switches one off.`,
      '',
    )
    for (const module of place.modules)
      section(`${name}.${module.name}`, Math.min(5, level + 2), module.config, module.summary)
  }
}

section('Top level', 2, configSchema)
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
