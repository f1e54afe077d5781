import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as v from 'valibot'
import { ConfigError, loadConfig } from '../../src/kernel/config/load.ts'
import { moduleMap } from '../../src/kernel/config/modules.ts'
import { jsonSchema } from '../../src/kernel/config/json-schema.ts'
import { withDefaults } from '../../src/kernel/config/show.ts'
import { defineFamily, defineModule, Registry } from '../../src/kernel/module.ts'

const checks = defineFamily<string>('checks', 'what looks at a mail')
const spf = defineModule({
  family: checks,
  name: 'spf',
  summary: 'Asks the sender domain.',
  config: v.strictObject({
    fail: v.optional(v.picklist(['reject', 'quarantine']), 'quarantine'),
    limit: v.optional(v.number(), 10),
  }),
  create: () => 'spf',
})
const loops = defineModule({
  family: checks,
  name: 'loops',
  summary: 'Stops loops.',
  config: v.strictObject({}),
  create: () => 'loops',
})

const schema = v.strictObject({
  hostname: v.string(),
  data: v.optional(v.string(), './data'),
  log: v.optional(v.strictObject({ level: v.optional(v.picklist(['info', 'debug']), 'info') }), {}),
  listen: v.optional(v.array(v.strictObject({ port: v.number() })), []),
  checks: moduleMap(new Registry([spf, loops]), checks, { loops: true }),
})

const folder = mkdtempSync(join(tmpdir(), 'aviso-config-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0

const load = (text: string, environment: Record<string, string> = {}, extra: Record<string, string> = {}) => {
  const file = join(folder, `${++files}.yaml`)
  writeFileSync(file, text)
  for (const [name, content] of Object.entries(extra)) writeFileSync(join(folder, name), content)
  return loadConfig(schema, file, { environment })
}

/** The lines of the error, without the folder. */
async function complaints(promise: Promise<unknown>): Promise<string[]> {
  const error = await promise.then(
    () => assert.fail('the config was accepted'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ConfigError, String(error))
  return error.message.split('\n').map((line) => line.replaceAll(`${folder}/`, '').replace(/^\d+\.yaml:/, ''))
}

test('the shortest file gets every default', async () => {
  const { settings, written } = await load('hostname: mail.example.org\n')
  assert.equal(settings.data, './data')
  assert.deepEqual(
    settings.checks.map(({ key }) => key),
    ['loops'],
  )
  assert.deepEqual(withDefaults(schema, written), {
    hostname: 'mail.example.org',
    data: './data',
    log: { level: 'info' },
    listen: [],
    checks: { loops: {} },
  })
})

test('all mistakes of a file are told at once, each with its line, what was expected and the nearest name', async () => {
  const text = `hostnam: mail.example.org
log:
  levl: info
  level: infos
listen:
  - port: "25"
  - prt: 26
checks:
  sfp: {}
  spf:
    fail: rejct
    limits: 3
    limt: 4
`
  assert.deepEqual(await complaints(load(text)), [
    "1:1: unknown setting 'hostnam'; did you mean 'hostname'?",
    "1:1: 'hostname' is missing",
    "3:3: unknown setting 'levl'; did you mean 'level'?",
    `4:10: expected ("info" or "debug"), found "infos"; did you mean 'info'?`,
    '6:11: expected number, found "25"',
    "7:5: unknown setting 'prt'; did you mean 'port'?",
    "7:5: 'port' is missing",
    "9:3: there is no checks module 'sfp'; did you mean 'spf'?",
    `11:11: expected ("reject" or "quarantine"), found "rejct"; did you mean 'reject'?`,
    "12:5: unknown setting 'limits'; did you mean 'limit'?",
    "13:5: unknown setting 'limt'; did you mean 'limit'?",
  ])
})

test('a broken YAML file says where', async () => {
  const [first] = await complaints(load('hostname: "unfinished\nlog: {}\n'))
  assert.match(first ?? '', /^\d+:\d+: .*quote/i)
})

test('a setting that stands twice in a file is a mistake: neither of them is taken silently', async () => {
  const [first] = await complaints(load('hostname: a\nlog:\n  level: info\n  level: debug\nhostname: b\n'))
  assert.match(first ?? '', /^4:3: .*unique/)
})

test('secrets come from the environment and from files; an unset one is an error', async () => {
  const { settings } = await load(
    'hostname: ${HOST}.example.org\ndata: ${file:where.txt}\n',
    { HOST: 'mx' },
    { 'where.txt': '/srv/mail\n' },
  )
  assert.equal(settings.hostname, 'mx.example.org')
  assert.equal(settings.data, '/srv/mail')
  assert.equal(
    (await load('hostname: ${HOST:-mail}.example.org\ndata: a$${b}\n')).settings.hostname,
    'mail.example.org',
  )
  assert.deepEqual(await complaints(load('hostname: ${HOST}\n')), [
    '1:11: the environment variable HOST is not set (write ${HOST:-something} for a default)',
  ])
})

test('files can be put together; the same setting in two of them is an error', async () => {
  const { settings } = await load(
    'hostname: a\ninclude: more-*.yaml\n',
    {},
    { 'more-1.yaml': 'log:\n  level: debug\n', 'more-2.yaml': 'checks: { spf: { fail: reject } }\n' },
  )
  assert.equal(settings.log.level, 'debug')
  assert.deepEqual(
    settings.checks.map(({ key, config }) => [key, config]),
    [
      ['loops', {}],
      ['spf', { fail: 'reject', limit: 10 }],
    ],
  )
  const [twice] = await complaints(load('hostname: a\ninclude: twice.yaml\n', {}, { 'twice.yaml': 'hostname: b\n' }))
  assert.match(twice ?? '', /^twice\.yaml:1:1: 'hostname' is set already in \d+\.yaml:1/)
  assert.match(
    (await complaints(load('hostname: a\ninclude: missing.yaml\n')))[0] ?? '',
    /^2:10: include: there is no file missing\.yaml/,
  )
})

test('a module can be switched off, given its defaults, and used twice under labels', async () => {
  const { settings } = await load('hostname: a\nchecks:\n  loops: false\n  spf:\n  spf/strict: { fail: reject }\n')
  assert.deepEqual(
    settings.checks.map(({ key, config }) => [key, config]),
    [
      ['spf', { fail: 'quarantine', limit: 10 }],
      ['spf/strict', { fail: 'reject', limit: 10 }],
    ],
  )
})

test('the JSON Schema knows the modules of every place', () => {
  const schemaText = JSON.stringify(jsonSchema(schema))
  assert.match(schemaText, /"spf":\{"description":"Asks the sender domain\."/)
  assert.match(schemaText, /"additionalProperties":false/)
})

test('a TypeScript config is the same data', async () => {
  const file = join(folder, 'aviso.config.mts')
  writeFileSync(file, `export default { hostname: 'ts.example.org', checks: { spf: true } satisfies object }\n`)
  const { settings } = await loadConfig(schema, file, { environment: {} })
  assert.equal(settings.hostname, 'ts.example.org')
  writeFileSync(join(folder, 'bad.config.mts'), `export default { hostnam: 'x' }\n`)
  assert.deepEqual(await complaints(loadConfig(schema, join(folder, 'bad.config.mts'), { environment: {} })), [
    "bad.config.mts: hostnam: unknown setting 'hostnam'; did you mean 'hostname'?",
    "bad.config.mts: 'hostname' is missing",
  ])
})
