// aviso config ...

import { Command } from 'commander'
import { stringify } from 'yaml'
import { withDefaults } from '../../kernel/config/show.ts'
import { type CommonOptions, common, loadFor } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show } from '../terminal.ts'

export function configCommand(programme: Programme): Command {
  const config = new Command('config').description('the config file')
  common(config.command('check').description('tell everything that is wrong with it')).action(
    async (options: CommonOptions) => {
      const loaded = await loadFor(programme, options)
      show(options.json === true, { ok: true, file: loaded.file }, () => `${String(loaded.file)} is fine.`)
    },
  )
  common(config.command('show').description('print it in full, with every default')).action(
    async (options: CommonOptions) => {
      const loaded = await loadFor(programme, options)
      const whole = withoutSecrets(withDefaults(programme.schema, loaded.written))
      show(options.json === true, whole, () => stringify(whole))
    },
  )
  config
    .command('schema')
    .description('print its JSON Schema, from which an editor completes and checks')
    .action(async () => {
      const { jsonSchema } = await import('../../kernel/config/json-schema.ts')
      show(true, jsonSchema(programme.schema), () => '')
    })
  return config
}

/** What must not end up in a bug report. */
function withoutSecrets(value: unknown, key = ''): unknown {
  if (/pass(word|phrase)$|secret$|token$/.test(key) && typeof value === 'string') return '[hidden]'
  if (Array.isArray(value)) return value.map((inner) => withoutSecrets(inner))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutSecrets(inner, name)]))
}
