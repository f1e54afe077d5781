// What goes wrong on a machine: no room on the disk, a disk that cannot be written, a thread that dies, a config that cannot work.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { el, type Client, type Element } from '@aviso/xmpp'
import { mailOf, openImap, openSmtp, openSubmission, openXmpp, subjectOf } from './peers.ts'
import { ANNA, aviso, BERT, delay, DOMAIN, Folder, NotStarted, Server, type Settings, settingsOf } from './server.ts'

const root = process.getuid?.() === 0
const namespaces = root && spawnSync('unshare', ['-m', 'true']).status === 0
const needsRoot = namespaces ? false : 'needs root'

/** Runs the server with `script` done before, in a mount namespace of its own, which ends with it. */
const inNamespace = (script: string): readonly string[] => [
  'unshare',
  '-m',
  '--propagation',
  'private',
  'sh',
  '-c',
  `${script} && exec "$@"`,
  'sh',
]

const ping = (client: Client): Promise<Element> =>
  client.request(el('iq', { type: 'get', to: DOMAIN }, el('ping', { xmlns: 'urn:xmpp:ping' })))

/** Sends one mail by SMTP; the code and the enhanced code of the answer. */
async function mail(server: Server, name: string, size: number, to = ANNA): Promise<string> {
  const client = await openSmtp(server.ports.smtp)
  const [result] = await client.send(
    { reversePath: 'peer@peer.example', recipients: [{ address: to }] },
    mailOf(name, size, 'peer@peer.example', [to]),
  )
  await client.quit()
  return `${String(result?.reply.code)} ${result?.reply.enhanced ?? ''}`.trim()
}

/** Submits one mail of Anna's; the code and the enhanced code of the answer. */
async function submitted(server: Server, to: string, size: number): Promise<string> {
  const client = await openSubmission(server.ports, ANNA)
  const [result] = await client.send(
    { reversePath: ANNA, recipients: [{ address: to }] },
    mailOf('submitted', size, ANNA, [to]),
  )
  await client.quit()
  return `${String(result?.reply.code)} ${result?.reply.enhanced ?? ''}`.trim()
}

/** The recipients in the queue of a server whose data folder is in another namespace. */
async function queueIn(inside: string): Promise<readonly string[]> {
  const { connectControl } = await import('../../packages/server/src/admin/control.ts')
  const control = await connectControl(inside)
  assert.ok(control, 'the control socket')
  const lines = await control.ask('queue.list', undefined)
  await control.close()
  return lines.map(({ address }) => address)
}

/** Names of the mails in the mailbox, each whole by its length. */
async function subjects(server: Server, account: string, mailbox = 'INBOX'): Promise<readonly string[]> {
  const client = await openImap(server.ports, account)
  const count = await client.select(mailbox)
  const lines = count === 0 ? [] : await client.fetch('1:*', '(UID BODY.PEEK[])')
  await client.logout()
  return lines.map(({ literals }) => subjectOf(literals[0] ?? Buffer.alloc(0)))
}

describe('a full disk', { skip: needsRoot }, () => {
  test('nothing is acknowledged that does not fit, nothing is lost, and it goes on when there is room again', async () => {
    const folder = new Folder('full')
    const data = join(folder.path, 'data')
    mkdirSync(data)
    const server = await Server.start({
      folder: folder.path,
      under: inNamespace(`mount -t tmpfs -o size=16m tmpfs '${data}'`),
    })
    /** The folder as the server sees it. */
    const inside = `/proc/${server.pid}/root${data}`
    const ballast = join(inside, 'ballast')
    try {
      await admin(inside)
      const acknowledged: string[] = []
      assert.equal(await mail(server, 'before', 2000), '250 2.0.0')
      acknowledged.push('before')
      const reader = await openImap(server.ports, ANNA)
      await reader.select('INBOX')
      const bystander = await openXmpp(server.ports, BERT, 'bystander', () => {})
      const bounced: Element[] = []
      const chatter = await openXmpp(server.ports, BERT, 'chatter', (stanza) => {
        if (stanza.name === 'message') bounced.push(stanza)
      })

      fill(ballast)
      // What the write-ahead log has room for already may still be taken.
      const refusals = new Map<string, number>()
      for (let i = 0; i < 30; i++) {
        const name = `full-${i}`
        const reply = await mail(server, name, i % 2 === 0 ? 200_000 : 400_000)
        if (reply.startsWith('250')) acknowledged.push(name)
        else refusals.set(reply, (refusals.get(reply) ?? 0) + 1)
      }
      assert.deepEqual([...refusals.keys()], ['452 4.3.1'], 'SMTP says that there is no room')
      assert.ok([...refusals.values()].reduce((sum, count) => sum + count) >= 20, JSON.stringify([...refusals]))
      // The queue too: in its database, and in a file of its own.
      const queued: string[] = []
      const refused = new Set<string>()
      for (let i = 0; i < 20; i++) {
        const to = `guest-${i}@elsewhere.example`
        const reply = await submitted(server, to, i % 2 === 0 ? 200_000 : 400_000)
        if (reply.startsWith('250')) queued.push(to)
        else refused.add(reply)
      }
      assert.deepEqual([...refused], ['452 4.3.1'], 'submission says that there is no room')

      // The large one goes to a file of its own, the others into the database.
      for (const size of [300_000, 100_000]) {
        const octets = mailOf('appended', size, ANNA, [ANNA])
        const { status, code, text: words } = await reader.raw(`APPEND INBOX {${octets.length}}`, [octets])
        assert.equal(status, 'NO')
        assert.ok(!words.includes(folder.path), `no paths for peers: ${words}`)
        assert.equal(code, 'UNAVAILABLE', words)
      }

      const text = 'x'.repeat(60_000)
      const sent: string[] = []
      for (let i = 0; i < 40 && bounced.length === 0; i++) {
        const id = `chat-${i}`
        sent.push(id)
        chatter.send(el('message', { type: 'chat', to: ANNA, id }, el('body', {}, `${id} ${text}${Math.random()}`)))
        await ping(chatter)
      }
      const [bounce] = bounced
      assert.ok(bounce, 'the message comes back as an error')
      assert.equal(bounce.get('type'), 'error')
      assert.equal(bounce.child('error')?.get('type'), 'wait', bounce.toString())
      sent.splice(sent.indexOf(bounce.get('id') ?? ''), 1)

      // Nobody else notices: reading goes on, and so do the sessions.
      assert.equal((await reader.raw('NOOP')).status, 'OK')
      assert.deepEqual([...(await subjects(server, ANNA))].sort(), [...acknowledged].sort())
      await ping(bystander)
      assert.equal(bystander.closeReason, undefined)

      rmSync(ballast)
      assert.equal(await mail(server, 'after', 400_000), '250 2.0.0')
      acknowledged.push('after')
      assert.equal(await submitted(server, 'guest@elsewhere.example', 400_000), '250 2.0.0')
      queued.push('guest@elsewhere.example')
      const waiting = await queueIn(inside)
      assert.deepEqual([...waiting].sort(), queued.sort(), 'what was taken waits, and nothing else')
      const octets = mailOf('appended', 300_000, ANNA, [ANNA])
      assert.equal((await reader.raw(`APPEND Drafts {${octets.length}}`, [octets])).status, 'OK')
      assert.deepEqual([...(await subjects(server, ANNA))].sort(), [...acknowledged].sort())
      assert.deepEqual(await subjects(server, ANNA, 'Drafts'), ['appended'])
      const came: string[] = []
      const anna = await openXmpp(server.ports, ANNA, 'reading', (stanza) => {
        if (stanza.name === 'message') came.push((stanza.childText('body') ?? '').split(' ')[0] ?? '')
      })
      anna.send(el('presence'))
      for (let i = 0; i < 200 && came.length < sent.length; i++) await delay(10)
      assert.deepEqual(came, sent, 'the chat messages that were taken')
      await Promise.all([anna.close(), chatter.close(), bystander.close(), reader.logout()])
      assert.ok(!server.errors().some(({ event }) => event === 'unhandled-rejection'), JSON.stringify(server.errors()))
      assert.equal(await server.stop(), 0, server.stderr)
    } finally {
      if (server.running) await server.kill()
      folder.remove()
    }
  })

  test('a start without room says so', async () => {
    const folder = new Folder('full')
    const data = join(folder.path, 'data')
    mkdirSync(data)
    try {
      const failure = await failing({
        folder: folder.path,
        under: inNamespace(`mount -t tmpfs -o size=4k tmpfs '${data}'`),
      })
      assert.notEqual(failure.status, 0)
      assert.match(failure.stderr, /no room left for .*data/)
      assertShort(failure)
    } finally {
      folder.remove()
    }
  })
})

/** Makes the accounts of a server whose data folder is in another namespace. */
async function admin(inside: string): Promise<void> {
  const { connectControl } = await import('../../packages/server/src/admin/control.ts')
  for (let tries = 0; ; tries++) {
    const control = await connectControl(inside)
    if (control === undefined && tries < 200) {
      await delay(20)
      continue
    }
    assert.ok(control, 'the control socket')
    for (const address of [ANNA, BERT])
      await control.ask('account.add', { address, password: 'correct horse battery', role: 'user' })
    return control.close()
  }
}

/** Writes until there is no room. */
function fill(file: string): void {
  const handle = openSync(file, 'w')
  try {
    for (const size of [65_536, 4096]) {
      const block = Buffer.alloc(size)
      for (;;)
        try {
          if (writeSync(handle, block) < size) break
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOSPC') break
          throw error
        }
    }
  } finally {
    closeSync(handle)
  }
}

async function failing(options: Parameters<typeof Server.start>[0]): Promise<NotStarted> {
  let server: Server
  try {
    server = await Server.start(options)
  } catch (error) {
    if (error instanceof NotStarted) return error
    throw error
  }
  await server.kill()
  return assert.fail('the server started all the same')
}

/** A message for people: no stack. */
const assertShort = ({ stderr }: NotStarted): void =>
  assert.ok(!/^\s+at /m.test(stderr) && stderr.trim().split('\n').length <= 12, stderr)

describe('a start that cannot work says why, and what helps', () => {
  const inFolder = async (story: (folder: string) => Promise<void>): Promise<void> => {
    const folder = new Folder('faults')
    try {
      await story(folder.path)
    } finally {
      folder.remove()
    }
  }

  test('a second server on the same data folder', () =>
    inFolder(async (folder) => {
      const server = await Server.start({ folder })
      try {
        await server.makeAccounts()
        const failure = await failing({ folder })
        assert.equal(failure.status, 6)
        assert.match(failure.stderr, /core\.db is in use by another process/)
        assert.match(failure.stderr, /another Aviso runs on this data folder.*Stop it first/)
        assertShort(failure)
        // The first one is none the worse for it: its control socket too.
        assert.equal(await mail(server, 'still-here', 1000), '250 2.0.0')
        assert.deepEqual(await server.ask('queue.list', undefined), [])
      } finally {
        await server.stop()
      }
    }))

  test('a port in use', () =>
    inFolder(async (folder) => {
      const taken = createServer().listen(0, '127.0.0.1')
      await once(taken, 'listening')
      const address = taken.address()
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0
      try {
        const endpoints = { ...(settingsOf()['endpoints'] as Settings), smtp: { listen: [`127.0.0.1:${port}`] } }
        const failure = await failing({ folder, settings: { endpoints } })
        assert.equal(failure.status, 1)
        assert.match(failure.stderr, new RegExp(`smtp.*127\\.0\\.0\\.1:${port}`))
        assert.match(failure.stderr, /uses that port|in use/)
        assert.match(failure.stderr, /Stop it, or choose another port/)
        assertShort(failure)
      } finally {
        taken.close()
      }
    }))

  test('a certificate that does not parse, one that is missing, a key that is not its own', () =>
    inFolder(async (folder) => {
      const server = await Server.start({ folder })
      await server.stop()
      const good = { certificate: 'data/self-signed.crt', key: 'data/self-signed.key' }
      const started = await Server.start({ folder, settings: { tls: good } })
      await started.stop()
      writeFileSync(
        join(folder, 'broken.pem'),
        '-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n',
      )
      for (const [tls, word] of [
        [{ ...good, certificate: 'broken.pem' }, 'broken.pem'],
        [{ ...good, key: 'broken.pem' }, 'broken.pem'],
        [{ ...good, certificate: 'missing.pem' }, 'missing.pem'],
      ] as const) {
        const failure = await failing({ folder, settings: { tls } })
        assert.equal(failure.status, 1, failure.stderr)
        assert.ok(failure.stderr.includes(word), failure.stderr)
        assertShort(failure)
      }
    }))

  test('a config with mistakes: all of them at once, with their places', () =>
    inFolder(async (folder) => {
      const failure = await failing({
        folder,
        settings: { hostnam: 'x', network: { connections: 'many' }, store: { threads: 0 } },
      })
      assert.equal(failure.status, 2)
      for (const word of [
        /aviso\.yaml:1:\d+/,
        /'hostnam'.*'hostname'/,
        /expected number, found "many"/,
        />=1 but received 0/,
      ])
        assert.match(failure.stderr, word)
      writeFileSync(join(folder, 'torn.yaml'), 'hostname: "mail.example.org\ndata: ./data\n')
      const torn = await aviso(['start', '--config', join(folder, 'torn.yaml')])
      assert.equal(torn.status, 2)
      assert.match(torn.stderr, /torn\.yaml:\d+:\d+/)
      const missing = await aviso(['start', '--config', join(folder, 'nowhere.yaml')])
      assert.equal(missing.status, 2, missing.stderr)
      assert.match(missing.stderr, /nowhere\.yaml/)
      assert.ok(!existsSync(join(folder, 'data')), 'nothing was begun')
    }))

  test('a data folder that cannot be written', { skip: root && needsRoot }, () =>
    inFolder(async (folder) => {
      const server = await Server.start({ folder })
      await server.makeAccounts()
      await server.stop()
      const data = join(folder, 'data')
      const script = `mount --bind '${data}' '${data}' && mount -o remount,bind,ro '${data}'`
      if (!root) chmodSync(data, 0o500)
      try {
        const failure = await failing({ folder, ...(root ? { under: inNamespace(script) } : {}) })
        assert.notEqual(failure.status, 0)
        assert.match(failure.stderr, /core\.db/)
        assert.match(failure.stderr, /read-only|cannot (?:open|write)/)
        assert.match(failure.stderr, /check/)
        assertShort(failure)
      } finally {
        chmodSync(data, 0o700)
      }
      // The data is as it was.
      const again = await Server.start({ folder })
      assert.equal(await mail(again, 'again', 1000), '250 2.0.0')
      await again.stop()
    }),
  )
})

test('store workers that die under load: later is said, nothing is lost, other ones take their place', async () => {
  const folder = new Folder('workers')
  const preload = fileURLToPath(new URL('./kill-store-workers.ts', import.meta.url))
  const server = await Server.start({ folder: folder.path, node: ['--import', preload] })
  try {
    await server.makeAccounts()
    const chat = await openXmpp(server.ports, BERT, 'chat', () => {})
    const reader = await openImap(server.ports, ANNA)
    await reader.select('INBOX')
    const replies = new Map<string, number>()
    const acknowledged: string[] = []
    const refused = new Set<string>()
    const end = new AbortController()
    const senders = [1, 2, 3, 4].map(async (sender) => {
      for (let i = 0; !end.signal.aborted; i++) {
        const name = `mail-${sender}-${i}`
        const reply = await mail(server, name, 3000)
        replies.set(reply, (replies.get(reply) ?? 0) + 1)
        if (reply.startsWith('250')) acknowledged.push(name)
        else refused.add(name)
      }
    })
    for (let i = 0; i < 5; i++) {
      await delay(300)
      server.signal('SIGUSR2')
    }
    await delay(100)
    end.abort()
    await Promise.all(senders)
    // Whoever asked the dead thread was told "later"; whether it was done, nobody knows (RFC 5321 §6.1 leaves duplicates to us).
    for (const reply of replies.keys()) assert.match(reply, /^(?:250 2\.0\.0|451 4\.3\.0)$/)
    const there = await subjects(server, ANNA)
    const counts = new Map<string, number>()
    for (const name of there) counts.set(name, (counts.get(name) ?? 0) + 1)
    for (const name of acknowledged) assert.equal(counts.get(name), 1, `${name}: ${String(counts.get(name))} times`)
    for (const [name, count] of counts)
      assert.ok(count === 1 && (acknowledged.includes(name) || refused.has(name)), name)
    assert.equal(await mail(server, 'afterwards', 3000), '250 2.0.0')
    assert.equal((await reader.raw('NOOP')).status, 'OK')
    await ping(chat)
    await Promise.all([chat.close(), reader.logout()])
    assert.ok(!server.errors().some(({ event }) => event === 'unhandled-rejection'), JSON.stringify(server.errors()))
    assert.equal(await server.stop(), 0)
  } finally {
    if (server.running) await server.kill()
    folder.remove()
  }
})
