// The command line, with the server running and stopped: the same commands, the same answers, the same exit statuses.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { ImapFlow } from 'imapflow'
import { createTransport } from 'nodemailer'
import { minimal, portOf, Site } from './admin-fixture.ts'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { aviso, eventually } from './programs.ts'
import { type Reach, type ServerProcess, temporaryFolder } from './server.ts'

const PASSWORD = 'correct horse battery'

for (const running of [false, true])
  describe(`the command line, server ${running ? 'running' : 'stopped'}`, () => {
    const folder = temporaryFolder()
    const site = new Site(folder.path)
    let server: ServerProcess | undefined
    before(async () => void (server = running ? await site.start() : undefined))
    after(async () => {
      if (server !== undefined) assert.equal(await server.stop(), 0, server.log)
      folder.remove()
    })

    test('account: add, list, show, role, password, disable, enable, delete', async () => {
      const made = await site.json(['account', 'add', 'Anna@Example.test', '--password-stdin'], `${PASSWORD}\n`)
      assert.equal(made.status, 0)
      assert.equal((made.value as { address: string }).address, 'anna@example.test')
      const people = await site.aviso(['account', 'add', 'bert@example.test', '--password-stdin'], PASSWORD)
      assert.equal(people.status, 0, people.stderr)
      assert.match(people.stdout, /bert@example\.test can log in now/)

      const listed = (await site.json(['account', 'list'])).value as { address: string; role: string }[]
      assert.deepEqual(
        listed.map(({ address, role }) => [address, role]),
        [
          ['anna@example.test', 'user'],
          ['bert@example.test', 'user'],
        ],
      )
      assert.equal((await site.json(['account', 'role', 'anna@example.test', 'admin'])).status, 0)
      const shown = (await site.json(['account', 'show', 'anna@example.test'])).value as Record<string, unknown>
      assert.equal(shown['role'], 'admin')
      assert.deepEqual(shown['aliases'], [])
      assert.equal(JSON.stringify(shown).includes(PASSWORD), false)
      assert.equal(
        (await site.json(['account', 'password', 'anna@example.test', '--password-stdin'], 'another one\n')).status,
        0,
      )
      assert.equal((await site.json(['account', 'disable', 'anna@example.test'])).status, 0)
      assert.match((await site.aviso(['account', 'show', 'anna@example.test'])).stdout, /state +disabled/)
      assert.equal((await site.json(['account', 'enable', 'anna@example.test'])).status, 0)
      const unsure = await site.aviso(['account', 'delete', 'anna@example.test'])
      assert.equal(unsure.status, 2)
      assert.match(unsure.stderr, /--yes/)
      assert.equal((await site.json(['account', 'delete', 'anna@example.test', '--yes'])).status, 0)
      assert.equal((await site.json(['account', 'show', 'anna@example.test'])).status, 3)
    })

    test('domain and alias', async () => {
      assert.equal((await site.json(['domain', 'add', 'second.test'])).status, 0)
      assert.deepEqual(
        ((await site.json(['domain', 'list'])).value as { name: string }[]).map(({ name }) => name).sort(),
        ['example.test', 'second.test'],
      )
      assert.equal((await site.json(['alias', 'add', 'info@second.test', 'bert@example.test'])).status, 0)
      assert.deepEqual(
        (
          (await site.json(['alias', 'list', '--domain', 'second.test'])).value as {
            address: string
            targets: string[]
          }[]
        ).map(({ address, targets }) => [address, targets]),
        [['info@second.test', ['bert@example.test']]],
      )
      const busy = await site.json(['domain', 'remove', 'second.test'])
      assert.equal(busy.status, 4)
      assert.match((busy.value as { error: { message: string } }).error.message, /second\.test/)
      assert.equal((await site.json(['alias', 'remove', 'info@second.test'])).status, 0)
      assert.equal((await site.json(['domain', 'remove', 'second.test'])).status, 0)
    })

    test('every failure has its exit status, and a message on standard error', async () => {
      for (const [args, input, status] of [
        [['account', 'add', 'bert@example.test', '--password-stdin'], PASSWORD, 4],
        [['account', 'add', 'short@example.test', '--password-stdin'], 'x', 5],
        [['account', 'add', 'nobody@elsewhere.test', '--password-stdin'], PASSWORD, 3],
        [['account', 'add', 'not an address', '--password-stdin'], PASSWORD, 5],
        [['account', 'add', 'carla@example.test'], '', 2],
        [['account', 'add', 'carla@example.test', '--password-stdin'], '', 2],
        [['account', 'password', 'nobody@example.test', '--password-stdin'], PASSWORD, 3],
        [['account', 'role', 'bert@example.test', 'king'], '', 5],
        [['account', 'disable', 'nobody@example.test'], '', 3],
        [['account', 'delete', 'nobody@example.test', '--yes'], '', 3],
        [['alias', 'remove', 'nobody@example.test'], '', 3],
        [['domain', 'add', 'not a domain'], '', 5],
        [['domain', 'remove', 'never.test'], '', 3],
        [['account', 'frobnicate'], '', 2],
        [['account', 'list', '--frobnicate'], '', 2],
      ] as const) {
        // Stopped, each of them opens the store anew: a few will do.
        if (!running && status !== 3) continue
        const plain = await site.aviso(args, input)
        assert.equal(plain.status, status, `${args.join(' ')}: ${plain.stdout}${plain.stderr}`)
        assert.notEqual(plain.stderr, '', args.join(' '))
        assert.doesNotMatch(plain.stderr, /\n +at /, args.join(' '))
      }
      const found = await site.json(['account', 'show', 'nobody@example.test'])
      assert.equal((found.value as { error: { status: number } }).error.status, 3)
    })

    test('status, queue and version', async () => {
      const { status, value } = await site.json(['status'])
      assert.equal(status, running ? 0 : 6)
      assert.equal((value as { running: boolean }).running, running)
      assert.match(
        (await site.aviso(['status'])).stdout,
        running ? /mail\.example\.test serves example\.test/ : /no server runs/,
      )
      assert.deepEqual(await site.json(['queue']), { status: 0, value: [] })
      assert.deepEqual(await site.json(['queue', 'list', '--destination', 'example.net']), { status: 0, value: [] })
      assert.equal((await site.aviso(['queue', 'show', 'nosuch'])).status, 3)
      assert.equal((await site.aviso(['queue', 'hold', 'nosuch'])).status, 3)
      assert.equal((await site.aviso(['queue', 'retry'])).status, 2, 'all of it must be asked for')
      assert.equal((await site.aviso(['queue', 'delete', '--all'])).status, 2)
      for (const words of [['flush'], ['release', '--all'], ['delete', '--sender', 'example.net', '--yes']])
        assert.deepEqual(await site.json(['queue', ...words]), { status: 0, value: { changed: 0 } })
      assert.equal((await site.aviso(['reload'])).status, running ? 0 : 6)
      if (!running) assert.equal((await site.aviso(['stop'])).status, 6)
      const version = await aviso(['version', '--json'])
      assert.equal(version.status, 0)
      assert.match((JSON.parse(version.stdout) as { aviso: string }).aviso, /^\d+\.\d+\.\d+/)
    })
  })

describe('the config commands', () => {
  const folder = temporaryFolder()
  const site = new Site(folder.path)
  after(() => folder.remove())

  test('check tells all that is wrong, with line, column and the nearest right name', async () => {
    assert.deepEqual((await site.json(['config', 'check'])).status, 0)
    site.write('hostname: mail.example.test\ndomian: example.test\nendpoints:\n  imap:\n    listen: 143\n')
    const wrong = await site.aviso(['config', 'check'])
    assert.equal(wrong.status, 2)
    assert.match(wrong.stderr, /aviso\.yaml:2:1.*domian[^]*domain/)
    assert.match(wrong.stderr, /aviso\.yaml:5:\d+/)
    assert.equal((await site.json(['config', 'check'])).status, 2)
    site.write(minimal())
    const none = await aviso(['config', 'check', '--config', join(folder.path, 'nowhere.yaml')])
    assert.equal(none.status, 2)
    assert.match(none.stderr, /nowhere\.yaml/)
    assert.doesNotMatch(none.stderr, /\n +at /)
  })

  test('show prints every default, schema a JSON Schema', async () => {
    const whole = (await site.json(['config', 'show'])).value as Record<string, Record<string, unknown>>
    assert.equal(whole['hostname'], 'mail.example.test')
    assert.equal(whole['network']?.['connections-per-address'], 200)
    assert.match((await site.aviso(['config', 'show'])).stdout, /^reload-grace: 1d$/m)
    const schema = await aviso(['config', 'schema'])
    assert.equal(schema.status, 0)
    assert.ok('hostname' in (JSON.parse(schema.stdout) as { properties: object }).properties)
  })
})

describe('a running server', () => {
  const folder = temporaryFolder()
  const site = new Site(folder.path)
  let server: ServerProcess
  before(async () => {
    for (const name of ['anna', 'bert'])
      assert.equal(
        (await site.aviso(['account', 'add', `${name}@example.test`, '--password-stdin'], PASSWORD)).status,
        0,
      )
    server = await site.start()
  })
  after(async () => {
    await server.stop()
    folder.remove()
  })

  const ca = (): string => join(site.data, 'self-signed.crt')
  const imapOf = async (name: string, password = PASSWORD): Promise<ImapFlow> => {
    const client = new ImapFlow({
      host: '127.0.0.1',
      port: portOf(await site.status(), 'imap', 'implicit'),
      secure: true,
      auth: { user: `${name}@example.test`, pass: password },
      tls: { ca: readFileSync(ca()) },
      logger: false,
    })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  const send = async (to: string, subject: string): Promise<void> => {
    const mailer = createTransport({
      host: '127.0.0.1',
      port: portOf(await site.status(), 'submission', 'implicit'),
      secure: true,
      auth: { user: 'bert@example.test', pass: PASSWORD },
      tls: { ca: readFileSync(ca()) },
    })
    await mailer.sendMail({ from: 'bert@example.test', to, subject, text: 'x' })
  }

  test('mail goes through an alias as soon as the command has ended, and no more once it is removed', async () => {
    assert.equal((await site.aviso(['alias', 'add', 'sales@example.test', 'anna@example.test'])).status, 0)
    await send('sales@example.test', 'through the alias')
    const client = await imapOf('anna')
    const lock = await client.getMailboxLock('INBOX')
    const found = await client.search({ header: { subject: 'through the alias' } })
    assert.deepEqual(found, [1])
    lock.release()
    await client.logout()
    assert.equal((await site.aviso(['alias', 'remove', 'sales@example.test'])).status, 0)
    await assert.rejects(send('sales@example.test', 'too late'), /550/)
  })

  test('a disabled account is out at once; enabled, and with its new password, it is in', async () => {
    await (await imapOf('anna')).logout()
    assert.equal((await site.aviso(['account', 'disable', 'anna@example.test'])).status, 0)
    await assert.rejects(imapOf('anna'))
    assert.equal((await site.aviso(['account', 'enable', 'anna@example.test'])).status, 0)
    assert.equal(
      (await site.aviso(['account', 'password', 'anna@example.test', '--password-stdin'], 'a newer password')).status,
      0,
    )
    await assert.rejects(imapOf('anna'))
    await (await imapOf('anna', 'a newer password')).logout()
    assert.equal(
      (await site.aviso(['account', 'password', 'anna@example.test', '--password-stdin'], PASSWORD)).status,
      0,
    )
  })

  test(
    'a reload: who is connected stays and is served, who connects gets the new settings',
    { skip: needsSlixmpp() },
    async (t) => {
      const before = await site.status()
      const watcher = await imapOf('anna')
      t.after(() => watcher.close())
      await watcher.mailboxOpen('INBOX')
      let count = 0
      watcher.on('exists', (event: { count: number }) => (count = event.count))
      const idle = watcher.idle()
      const chat = new ChatClient(
        {
          ports: { xmpp: portOf(before, 'c2s', 'starttls'), xmpps: portOf(before, 'c2s', 'implicit') },
          ca: ca(),
        } as unknown as Reach,
        { address: 'anna@example.test', password: PASSWORD },
        'starttls',
        'desk',
      )
      t.after(() => chat.end())
      await chat.next('started')
      chat.do('online')

      site.write(minimal({ hostname: 'renamed.example.test' }))
      assert.equal((await site.aviso(['reload'])).status, 0)
      const later = await site.status()
      assert.equal(later.generation, before.generation + 1)
      assert.deepEqual(
        later.bound.map(({ protocol, port }) => `${protocol} ${port}`),
        before.bound.map(({ protocol, port }) => `${protocol} ${port}`),
      )
      // The old connections live, and hear of what the new ones do.
      const known = count
      await send('anna@example.test', 'after the reload')
      await eventually('the watcher hears of the mail', () => (count > known ? true : undefined))
      chat.do('ping', 'example.test')
      await chat.next('pong')
      // A new connection is greeted by the new name.
      assert.match(await greeting(portOf(later, 'imap', 'implicit'), ca()), /renamed\.example\.test/)

      // A config that does not start leaves everything as it is.
      site.write(minimal({ hostname: 'broken.example.test', tls: { certificate: 'missing.pem', key: 'missing.pem' } }))
      const refused = await site.aviso(['reload'])
      assert.notEqual(refused.status, 0)
      assert.match(refused.stderr, /missing\.pem/)
      assert.doesNotMatch(refused.stderr, /\n +at /)
      site.write('hostname: [\n')
      assert.notEqual((await site.aviso(['reload'])).status, 0)
      assert.equal((await site.status()).generation, later.generation)
      assert.match(await greeting(portOf(later, 'imap', 'implicit'), ca()), /renamed\.example\.test/)
      chat.do('ping', 'example.test')
      await chat.next('pong')
      site.write(minimal())

      await watcher.noop()
      await idle
      await watcher.logout()
    },
  )

  test('aviso stop ends it politely', async () => {
    assert.deepEqual((await site.json(['stop'])).value, { stopping: true })
    assert.equal(await server.stop('SIGCONT'), 0, server.log)
    assert.equal((await site.json(['status'])).status, 6)
  })
})

/** The first line that a TLS server says. */
const greeting = (port: number, ca: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: readFileSync(ca), checkServerIdentity: () => undefined })
    socket.once('data', (bytes: Buffer) => {
      socket.destroy()
      resolve(bytes.toString())
    })
    socket.once('error', reject)
  })
