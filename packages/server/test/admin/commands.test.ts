// The command line as an administrator's script sees it: output, exit statuses, and the same answers whether a server runs or not.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { configSchema } from '../../src/config.ts'
import { checkConfig, inlineSource } from '../../src/kernel/config/load.ts'
import { jsonSchema } from '../../src/kernel/config/json-schema.ts'
import { withDefaults } from '../../src/kernel/config/show.ts'
import { PROGRAM } from '../fixtures/program.ts'
import { BASE, temporaryFolder } from '../house/fixture.ts'

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function begin(folder: string, args: readonly string[]) {
  const { AVISO_CONFIG: _, ...env } = process.env
  const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (err += bytes.toString()))
  const ended = new Promise<Ended>((resolve) => child.once('close', (status) => resolve({ status, out, err })))
  return { child, ended, log: () => err }
}

/** Runs `aviso ARGS`; `stdin` is all that it can read. */
function aviso(folder: string, args: readonly string[], stdin = ''): Promise<Ended> {
  const { child, ended } = begin(folder, args)
  child.stdin.end(stdin)
  return ended
}

/** Resolves when the server's log says that it listens; rejects when it ends instead. */
function started(server: ReturnType<typeof begin>): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (server.log().includes('"event":"started"')) resolve()
    }
    server.child.stderr.on('data', look)
    server.child.once('close', () => reject(new Error(server.log())))
    look()
  })
}

/** How large a message may be: for an account, and for one of its mailboxes. */
async function sizesByCommand(folder: string): Promise<void> {
  const run = (args: readonly string[], stdin = ''): Promise<Ended> => aviso(folder, args, stdin)
  const quota = ['account', 'quota', 'anna@example.org', '--message-size']
  const limit = ['mailbox', 'limit', 'anna@example.org']
  assert.match((await run([...quota, '10KiB'])).out, /\none message +10 KiB +this account\n$/)
  assert.match((await run([...limit, 'Drafts', '100'])).out, /^100 B \(100 octets\)\n$/)
  assert.match((await run([...limit, 'INBOX'])).out, /^10 KiB \(10240 octets\), as elsewhere\n$/)
  const mail = (octets: number): string => `Subject: x\r\n\r\n${'y'.repeat(octets - 14)}`
  const add = (mailbox: string, octets: number): Promise<Ended> =>
    run(['message', 'add', 'anna@example.org', mailbox], mail(octets))
  assert.equal((await add('Drafts', 100)).status, 0)
  const refused = await add('Drafts', 101)
  assert.equal(refused.status, 5)
  assert.match(refused.err, /^aviso: messages may have 100 octets at most in this mailbox\n$/)
  assert.equal((await add('INBOX', 10_240)).status, 0)
  assert.equal((await add('INBOX', 10_241)).status, 5)
  assert.match((await run([...quota, '1GiB'])).err, /the server takes messages of 52428800 octets at most/)
  assert.match((await run([...limit, 'Draft', '5'])).err, /Did you mean Drafts\?/)
  assert.equal((await run([...limit, 'Drafts', 'small'])).status, 2)
  assert.equal(
    (await run([...limit, 'Drafts', 'default', '--json'])).out,
    '{"mailbox":"Drafts","limit":10240,"own":false}\n',
  )
  assert.match((await run([...quota, 'default'])).out, /\none message +50 MiB +the config\n$/)
}

/** Rooms are made, changed, carried elsewhere and destroyed. */
async function roomsByCommand(folder: string): Promise<void> {
  const told = async (...args: string[]): Promise<string> => {
    const { status, out, err } = await aviso(folder, ['room', ...args])
    assert.equal(status, 0, err)
    return out
  }
  const refused = async (status: number, why: RegExp, ...args: string[]): Promise<void> => {
    const ended = await aviso(folder, ['room', ...args])
    assert.equal(ended.status, status)
    assert.match(ended.err, why)
  }
  const room = 'cafe@rooms.example.org'
  await told('create', room, '--owner', 'anna@example.org', '--title', 'Café')
  await refused(4, /there is a room/, 'create', room, '--owner', 'anna@example.org')
  assert.match(await told('list'), /cafe@rooms\.example\.org +0 +Café/)
  assert.match(await told('config', room, 'membersOnly=true', 'historyLength=5'), /membersOnly +true/)
  const hats = 'hats=urn:x:host=Host,urn:x:scribe=Scribe'
  assert.match(await told('config', room, hats), /hats +urn:x:host=Host,urn:x:scribe=Scribe/)
  await refused(2, /is no hat/, 'config', room, 'hats=Host')
  await refused(2, /is no setting/, 'config', room, 'colour=red')
  await refused(2, /true or false/, 'config', room, 'membersOnly=perhaps')
  await refused(5, /privateMessages/, 'config', room, 'privateMessages=cats')
  await told('affiliation', room, 'bert@example.org', 'member', '--nick', 'Bert', '--hat', 'urn:x:host=Host')
  await refused(4, /needs an owner/, 'affiliation', room, 'anna@example.org', 'none')
  await refused(5, /an affiliation is one of/, 'affiliation', room, 'anna@example.org', 'king')
  assert.match(await told('show', room), /bert@example\.org +member +Bert/)
  const file = join(folder, 'cafe.jsonl')
  assert.match(await told('export', room, file), /0 messages/)
  const message = {
    id: 'm1',
    at: 1,
    sender: 'bert@example.org',
    xml: "<message xmlns='jabber:client'><body>hi</body></message>",
  }
  writeFileSync(file, `${readFileSync(file, 'utf8')}${JSON.stringify(message)}\n`)
  assert.match(await told('import', 'bar@rooms.example.org', file), /1 messages/)
  rmSync(file)
  assert.match(await told('export', 'bar@rooms.example.org', file), /1 messages/)
  assert.match(readFileSync(file, 'utf8'), /"membersOnly":true.*"nick":"Bert".*"urn:x:host".*\n.*"m1".*\n$/)
  for (const each of [room, 'bar@rooms.example.org']) await told('destroy', each, '--reason', 'done')
  await refused(3, /there is no room/, 'show', room)
}

describe('commands', () => {
  test('chat rules test: which rule decides; what is wrong with a rule is told with its line', async (t) => {
    const folder = temporaryFolder(t)
    const rules = (zone: string) => ({
      zones: { spammers: ['evil.example'] },
      rules: [
        { name: 'friends', if: { 'in-roster': true }, do: { pass: true } },
        { name: 'spammers', if: { from: [{ zone }] }, do: { bounce: { condition: 'forbidden' } } },
      ],
    })
    const write = (zone: string): void =>
      writeFileSync(join(folder, 'aviso.yaml'), stringify({ ...BASE, chat: { features: { rules: rules(zone) } } }))
    write('spammers')
    const to = ['--to', 'anna@example.org', '-']
    const stanza = "<message type='chat'><body>hi</body></message>"
    const bad = await aviso(folder, ['chat', 'rules', 'test', '--from', 'x@evil.example', ...to], stanza)
    assert.equal(
      bad.out,
      '  friends: not for it (in-roster)\n  spammers: bounce with forbidden\nRule spammers decides: bounce with forbidden.\n',
      bad.err,
    )
    const good = await aviso(folder, ['chat', 'rules', 'test', '--from', 'x@good.example', '--json', ...to], stanza)
    assert.deepEqual(JSON.parse(good.out), {
      steps: [
        { rule: 'friends', did: [], why: 'in-roster' },
        { rule: 'spammers', did: [], why: 'from' },
      ],
      rule: null,
      end: 'pass',
    })
    const broken = await aviso(folder, ['chat', 'rules', 'test', '--from', 'x@y.example', ...to], '<x')
    assert.equal(broken.status, 5)
    assert.match(broken.err, /this is no stanza/)
    write('spamers')
    const line =
      readFileSync(join(folder, 'aviso.yaml'), 'utf8')
        .split('\n')
        .findIndex((text) => text.includes('spamers')) + 1
    const checked = await aviso(folder, ['config', 'check'])
    assert.match(
      checked.err + checked.out,
      new RegExp(`aviso\\.yaml:${line}:\\d+: there is no zone 'spamers'; known here: spammers`),
    )
  })

  test('with --json, standard output holds one line of JSON, however wrongly a command is used', async (t) => {
    const folder = temporaryFolder(t)
    const stories: readonly (readonly [args: readonly string[], message: RegExp])[] = [
      [['mailbox', 'list'], /^missing required argument 'address'$/],
      [['mailbox', 'create', 'a@example.org', 'x', '--role', 'attic'], /^option '--role <role>' argument 'attic' is/],
      [['message', 'lst', 'a@example.org', 'INBOX'], /^unknown command 'lst'/],
      [['message', 'list', 'a@example.org', 'INBOX', '--seen', '--unseen'], /choose nothing$/],
      [['message', 'list', 'a@example.org', 'INBOX', '--since', 'once'], /^'once' is no date/],
    ]
    for (const [args, message] of stories) {
      const { status, out } = await aviso(folder, [...args, '--json'])
      assert.equal(status, 2)
      const told = JSON.parse(out) as { readonly error: { readonly status: number; readonly message: string } }
      assert.equal(told.error.status, 2)
      assert.match(told.error.message, message)
    }
  })

  test('offline and with the server running: the same answers, the same exit statuses', async (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'aviso.yaml'), stringify(BASE))
    const added = await aviso(
      folder,
      ['account', 'add', 'anna@example.org', '--password-stdin', '--json'],
      'annas secret\n',
    )
    assert.equal(added.status, 0, added.err)
    assert.equal((JSON.parse(added.out) as { address: string }).address, 'anna@example.org')
    assert.equal((await aviso(folder, ['status', '--json'])).status, 6)

    await roomsByCommand(folder)

    const stories: readonly (readonly [status: number, args: readonly string[], said: RegExp])[] = [
      [0, ['account', 'list'], /^ADDRESS .*\nanna@example\.org/],
      [0, ['account', 'quota', 'anna@example.org'], /^RESOURCE .*\nstorage +0 B +none +the config\nmessages /],
      [2, ['account', 'quota', 'anna@example.org', '--storage', 'lots'], /expected a size/],
      [3, ['account', 'quota', 'zoe@example.org', '--messages', '5'], /there is no account zoe/],
      [3, ['account', 'show', 'zoe@example.org'], /there is no account zoe@example\.org/],
      [4, ['account', 'add', 'anna@example.org', '--password-stdin'], /exists already/],
      [2, ['account', 'add', 'ben@example.org'], /--password-stdin/],
      [
        0,
        ['invite', 'account', 'example.org', '--name', 'zoe'],
        /^xmpp:zoe@example\.org\?register;preauth=[a-z0-9]{24}\nGood until .*, once\.\n$/,
      ],
      [0, ['invite', 'reset', 'anna@example.org'], /^xmpp:anna@example\.org\?register;/],
      [
        0,
        ['invite', 'contact', 'anna@example.org', '--account'],
        /^xmpp:anna@example\.org\?roster;preauth=\w+;ibr=y\n/,
      ],
      [0, ['invite', 'list'], /^TOKEN /],
      [2, ['invite', 'account', 'example.org', '--expires', 'soon'], /is no duration/],
      [3, ['invite', 'account', 'example.com'], /is not a domain of this server/],
      [3, ['invite', 'revoke', 'nonsense'], /there is no such invitation/],
      [4, ['invite', 'account', 'example.org', '--name', 'anna'], /exists already/],
      [0, ['chat', 'reports'], /^NUMBER /],
      [3, ['chat', 'reports', 'forget', '7'], /there is no report 7/],
      [0, ['room', 'list'], /^ROOM /],
      [3, ['room', 'show', 'tea@rooms.example.org'], /there is no room tea@/],
      [3, ['room', 'show', 'tea@elsewhere.example'], /there are no rooms at elsewhere\.example/],
      [2, ['room', 'create', 'tea@rooms.example.org'], /--owner/],
      [3, ['chat', 'rules', 'test', '--from', 'x@evil.example', '--to', 'anna@example.org', '-'], /there are no rules/],
      [0, ['chat', 'push', 'list', 'anna@example.org'], /^APP SERVER +NODE/],
      [0, ['chat', 'push', 'test', 'anna@example.org', '--json'], /^\[\]\n$/],
      [3, ['chat', 'push', 'test', 'nobody@example.org'], /there is no account nobody@example\.org/],
      [3, ['chat', 'push', 'remove', 'anna@example.org', 'push.example.com'], /has no such registration/],
      [5, ['mailbox', 'delete', 'anna@example.org', 'INBOX', '--yes'], /^aviso: INBOX cannot be deleted\n$/],
      [2, ['acount', 'list'], /Did you mean account\?/],
      [1, ['account', 'import', 'no-such-file'], /ENOENT[^\n]*\n$/],
    ]
    const run = async (): Promise<void> => {
      const results = await Promise.all(stories.map(([, args]) => aviso(folder, args, 'another secret\n')))
      for (const [index, [status, args, said]] of stories.entries()) {
        const result = results[index]
        assert.equal(result?.status, status, `${args.join(' ')}: ${result?.err}`)
        assert.match(status === 0 ? result.out : result.err, said)
      }
    }
    // One at a time without a server, as the data folder belongs to one process; the rest never comes that far.
    for (const [status, args, said] of stories.slice(1, 2)) {
      const result = await aviso(folder, args, 'another secret\n')
      assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`)
      assert.match(status === 0 ? result.out : result.err, said)
    }

    const server = begin(folder, ['start'])
    try {
      await started(server)
      assert.equal((await aviso(folder, ['status', '--json'])).status, 0)
      await run()
      const limits = ['--storage', '1GiB', '--messages', '1000', '--mailboxes', 'none']
      const set = await aviso(folder, ['account', 'quota', 'anna@example.org', ...limits])
      assert.match(
        set.out,
        /\nstorage +0 B +1 GiB +this account\nmessages +0 +1000 +this account\nmailboxes +6 +none +this account\n/,
      )
      const back = await aviso(folder, ['account', 'quota', 'anna@example.org', '--storage', 'default', '--json'])
      assert.deepEqual(JSON.parse(back.out), {
        storage: { used: 0, own: false },
        messages: { used: 0, limit: 1000, own: true },
        mailboxes: { used: 6, own: true },
        message: { limit: 52_428_800, own: false },
      })
      await sizesByCommand(folder)
      writeFileSync(join(folder, 'aviso.yaml'), stringify({ ...BASE, hostnam: 'x' }))
      const reload = await aviso(folder, ['reload'])
      assert.equal(reload.status, 2)
      assert.match(reload.err, /aviso\.yaml:\d+:\d+: unknown setting 'hostnam'; did you mean 'hostname'\?/)
      writeFileSync(join(folder, 'aviso.yaml'), stringify(BASE))
      assert.equal((await aviso(folder, ['reload', '--json'])).out, '{"reloaded":true}\n')
      assert.equal((await aviso(folder, ['stop', '--data', join(folder, 'data')])).status, 0)
      assert.equal((await server.ended).status, 0)
    } finally {
      server.child.kill('SIGKILL')
    }
  })

  test('a signal ends the server with status 0', async (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'aviso.yaml'), stringify(BASE))
    const server = begin(folder, ['start'])
    t.after(() => server.child.kill('SIGKILL'))
    await started(server)
    server.child.kill('SIGHUP')
    server.child.kill('SIGTERM')
    const { status, err } = await server.ended
    assert.equal(status, 0, err)
    assert.ok(!err.includes('"level":"error"'), err)
  })

  test('a start that fails says why in one line, and ends', async (t) => {
    const folder = temporaryFolder(t)
    const config = { ...BASE, endpoints: { ...BASE.endpoints, metrics: { listen: '192.0.2.1:9464' } } }
    writeFileSync(join(folder, 'aviso.yaml'), stringify(config))
    const { status, err } = await aviso(folder, ['start'])
    assert.equal(status, 1)
    assert.match(err, /aviso: metrics cannot listen on 192\.0\.2\.1:9464: this machine has no such address/)
    assert.ok(!/^ {4}at /m.test(err.slice(err.indexOf('aviso: '))))
  })

  test('quickstart leaves a config and an account, or neither', async (t) => {
    const folder = temporaryFolder(t)
    const weak = await aviso(folder, ['quickstart', 'example.org', '--admin', 'an na@example.org'])
    assert.equal(weak.status, 5, weak.err)
    assert.ok(!existsSync(join(folder, 'aviso.yaml')))
    const made = await aviso(folder, ['quickstart', 'example.org', '--json'])
    assert.equal(made.status, 0, made.err)
    const { account, password } = JSON.parse(made.out) as { account: string; password: string }
    assert.equal(account, 'admin@example.org')
    assert.ok(password.length >= 16)
    assert.deepEqual(parse(readFileSync(join(folder, 'aviso.yaml'), 'utf8')), {
      hostname: 'mail.example.org',
      domain: 'example.org',
      data: './data',
    })
    assert.equal((await aviso(folder, ['quickstart', 'example.org'])).status, 2)
  })
})

describe('config show and schema', () => {
  test('what show prints is a config that means the same', () => {
    for (const config of [
      { hostname: 'mail.example.org' },
      BASE,
      { ...BASE, mail: { incoming: { checks: { 'own-name': false, loops: { 'max-received': 20 } } } } },
    ]) {
      const settings = checkConfig(configSchema, inlineSource(config)).settings
      const shown: unknown = parse(stringify(withDefaults(configSchema, config)))
      assert.deepEqual(plain(checkConfig(configSchema, inlineSource(shown)).settings), plain(settings))
      assert.deepEqual(withDefaults(configSchema, shown), shown, 'shown twice is the same')
    }
  })

  test('the JSON Schema names every setting of the top level', () => {
    const schema = jsonSchema(configSchema) as { properties?: Record<string, unknown>; additionalProperties?: unknown }
    assert.deepEqual(Object.keys(schema.properties ?? {}), Object.keys(configSchema.entries))
    assert.equal(schema.additionalProperties, false)
    assert.doesNotThrow(() => JSON.stringify(schema))
  })

  test('a setting called like something that every object has is unknown all the same', () => {
    for (const key of ['constructor', 'toString', 'hasOwnProperty'])
      assert.throws(
        () => checkConfig(configSchema, inlineSource({ hostname: 'mail.example.org', [key]: 1 })),
        new RegExp(`unknown setting '${key}'`),
      )
  })
})

/** The settings as data: modules by their keys, without their code. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
