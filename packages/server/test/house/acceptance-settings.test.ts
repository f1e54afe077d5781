// Acceptance of settings: what the reference says of a default is what the server does where the config says nothing.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { GenericSchema } from 'valibot'
import * as v from 'valibot'
import { parse } from 'yaml'
import { configSchema } from '../../src/config.ts'
import { checkConfig, inlineSource } from '../../src/kernel/config/load.ts'
import { placeOf } from '../../src/kernel/config/modules.ts'
import { withDefaults } from '../../src/kernel/config/show.ts'
import { entriesOf, itemOf } from '../../src/kernel/config/validate.ts'
import { modules } from '../../src/modules.ts'
import { BASE, startHouse } from './fixture.ts'

const ROOT = new URL('../../../../', import.meta.url)
const page = readFileSync(new URL('docs/reference/settings.md', ROOT), 'utf8')

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

/** The pieces of config that a page shows, with something in the place of secrets. */
function* examples(name: string): Generator<Readonly<Record<string, unknown>>> {
  for (const [, text = ''] of readFileSync(new URL(name, ROOT), 'utf8').matchAll(/^```yaml\n([^]*?)^```$/gm)) {
    const shown: unknown = parse(text.replaceAll(/\$\{[^}]*\}/g, 'a-secret-of-many-letters'))
    // Of other programs: Prometheus.
    if (typeof shown === 'object' && shown !== null && !('scrape_configs' in shown)) yield { ...shown }
  }
}

test('X-16: every piece of config in the documentation is one that the server takes', () => {
  const pages = ['README.md', ...readdirSync(new URL('docs', ROOT)).filter((name) => name.endsWith('.md'))]
  let checked = 0
  for (const name of pages.map((one) => (one === 'README.md' ? one : `docs/${one}`)))
    for (const shown of examples(name)) {
      checked++
      const whole = { hostname: 'mail.example.org', domain: 'example.org', ...shown }
      assert.doesNotThrow(
        () => checkConfig(configSchema, inlineSource(whole)),
        (error) => assert.fail(`${name}: ${JSON.stringify(shown)}: ${String(error)}`),
      )
    }
  assert.ok(checked > 10, `${checked} examples`)
})

test('X-16: a server starts with the routes of docs/mail.md', async (t) => {
  const shown = [...examples('docs/mail.md')].find((one) => 'tables' in one)
  assert.ok(shown)
  const { house } = await startHouse(t, { ...BASE, ...shown })
  assert.equal((await house.status()).generation, 1)
})

test('the service gives the server the time that it takes to stop', () => {
  const unit = readFileSync(new URL('deploy/aviso.service', ROOT), 'utf8')
  const { network } = v.parse(configSchema, { hostname: 'mail.example.org' })
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])
  assert.ok(seconds * 1000 >= network['shutdown-deadline'] + 5000, `${seconds} s`)
})
