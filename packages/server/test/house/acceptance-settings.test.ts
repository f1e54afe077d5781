// Acceptance of settings: what the reference says of a default is what the server does where the config says nothing.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { GenericSchema } from 'valibot'
import * as v from 'valibot'
import { configSchema } from '../../src/config.ts'
import { checkConfig, inlineSource } from '../../src/kernel/config/load.ts'
import { placeOf } from '../../src/kernel/config/modules.ts'
import { withDefaults } from '../../src/kernel/config/show.ts'
import { entriesOf, itemOf } from '../../src/kernel/config/validate.ts'
import { modules } from '../../src/modules.ts'

const page = readFileSync(new URL('../../../../docs/reference/settings.md', import.meta.url), 'utf8')

interface Row {
  /** The heading that it stands under, and its name. */
  readonly where: string
  readonly key: string
  readonly printed: string
}

/** The rows of all tables of the page. */
function* rows(): Generator<Row> {
  let where = ''
  for (const line of page.split('\n')) {
    where = /^#{2,} (.*)$/.exec(line)?.[1] ?? where
    const [, name = '', , printed = ''] = line.split(/(?<!\\) ?\| ?/)
    const key = /^`(.*)`$/.exec(name)?.[1]
    if (key !== undefined) yield { where, key, printed }
  }
}

const schemas = new Map(modules.map(({ family, name, config }) => [`${family.name}: ${name}`, config]))

/** The schema under a heading of the page: `Top level`, `network.dns`, `tls.certificates[]`, `checks: dnsbl.lists[]`. */
function schemaOf(heading: string): GenericSchema | undefined {
  const module = /^[a-z-]+: [a-z0-9-]+/.exec(heading)?.[0]
  const path = module === undefined ? heading : heading.slice(module.length + 1)
  let schema: GenericSchema | undefined = module === undefined ? configSchema : schemas.get(module)
  if (path === 'Top level') return schema
  for (const step of path.split('.').filter((word) => word !== '')) {
    const [name = '', ...lists] = step.split('[]')
    if (schema === undefined) return undefined
    schema = name === '*' ? itemOf(schema) : entriesOf(schema)?.[name]
    for (const _ of lists) schema = schema === undefined ? undefined : itemOf(schema)
  }
  return schema
}

test('X-16: every default of the reference is what the config means where it says nothing', () => {
  let compared = 0
  for (const { where, key, printed } of rows()) {
    const schema = schemaOf(where)
    const entry = schema === undefined ? undefined : entriesOf(schema)?.[key]
    assert.ok(entry, `${where}: ${key} is no setting`)
    const unsaid = v.safeParse(entry, undefined)
    const what = `${where}: ${key}, default ${printed}`
    if (printed === 'required') assert.equal(unsaid.success, false, what)
    else if (printed === '') {
      // Nothing, or a group or modules, whose own rows tell.
      assert.equal(unsaid.success, true, what)
      if (entriesOf(entry) === undefined && placeOf(entry) === undefined) assert.equal(unsaid.output, undefined, what)
    } else {
      compared++
      assert.deepEqual(unsaid.output, v.parse(entry, JSON.parse(printed.slice(1, -1))), what)
    }
  }
  assert.ok(compared > 100, `${compared} defaults compared`)
})

test('X-16: the whole config that is shown means the same as the short one', () => {
  const short = { hostname: 'mail.example.org', domain: 'example.org' }
  const meaning = (config: unknown): unknown => checkConfig(configSchema, inlineSource(config)).settings
  assert.deepEqual(meaning(withDefaults(configSchema, short)), meaning(short))
})
