// How a session lives with others and how it ends: logins, TLS, faults, limits, time.

import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import { test } from 'node:test'
import { serverMechanism, type ServerMechanism, type ServerOptions, type ServerStep } from '@aviso/sasl'
import { type Alarm, BackendError, ImapClient, ImapServerSession, type SaslMechanisms } from '../src/index.ts'
import { MemoryMail } from '../src/testing/index.ts'
import { fill, world } from './harness.ts'

/** A mechanism with a challenge and data at the end: user in the first response, `ok` in the second. */
function conversation(): ServerMechanism {
  let user = ''
  const begin = async (initial: Uint8Array | undefined): Promise<ServerStep> => {
    if (initial === undefined) return { kind: 'challenge', data: Buffer.alloc(0) }
    user = Buffer.from(initial).toString()
    return { kind: 'challenge', data: Buffer.from('really?') }
  }
  return {
    name: 'SCRAM-SHA-256',
    start: begin,
    next: async (response) => {
      if (user === '') return begin(response)
      if (Buffer.from(response).toString() !== 'ok') return { kind: 'failure', condition: 'not-authorized', text: 'No' }
      return { kind: 'success', data: Buffer.from('v=1'), identity: { authcid: user, authzid: undefined } }
    },
    abort: () => ({ kind: 'failure', condition: 'aborted', text: 'Aborted' }),
  }
}

const b64 = (text: string): string => Buffer.from(text).toString('base64')

test('AUTHENTICATE with and without an initial response, given up, and failing', async (t) => {
  const { wire } = await world(t, {}, { mechanisms: () => new Map([['SCRAM-SHA-256', conversation]]) })
  const c = await wire()
  assert.match(await c.until('* OK'), /SASL-IR.* AUTH=SCRAM-SHA-256\]/)
  assert.match(await c.ask('a AUTHENTICATE PLAIN AAAA'), /^a NO \[CANNOT\]/)
  c.send('b AUTHENTICATE SCRAM-SHA-256\r\n')
  assert.equal(await c.until('+ '), '+ \r\n')
  c.send('*\r\n')
  assert.match(await c.until('b '), /^b BAD/)
  c.send(`c AUTHENTICATE SCRAM-SHA-256 ${b64('anna')}\r\n`)
  assert.equal(await c.until('+ '), `+ ${b64('really?')}\r\n`)
  c.send(`${b64('no')}\r\n`)
  assert.match(await c.until('c '), /^c NO \[AUTHENTICATIONFAILED\] No/)
  c.send('d AUTHENTICATE SCRAM-SHA-256 !!\r\n')
  assert.match(await c.until('d '), /^d BAD/)
  c.send(`e AUTHENTICATE SCRAM-SHA-256 ${b64('anna')}\r\n`)
  await c.until('+ ')
  // A client may send its next line and command at once.
  c.send(`${b64('ok')}\r\n`)
  assert.equal(await c.until('+ '), `+ ${b64('v=1')}\r\n`)
  c.send('\r\nf SELECT INBOX\r\n')
  assert.match(await c.until('f '), /e OK \[CAPABILITY [^\]]*\] Logged in\r\n(.*\r\n)*f OK/)
  assert.match(await c.ask('g LOGIN anna secret'), /^g BAD/)
})

test('AUTHENTICATE PLAIN and SCRAM of @aviso/sasl', async (t) => {
  const options: ServerOptions = {
    offered: ['SCRAM-SHA-256', 'PLAIN'],
    credentials: {
      scram: async () => undefined,
      password: async (user, password) => (user === 'anna' && password === 'secret' ? 'accepted' : 'not-authorized'),
    },
    secret: Buffer.alloc(16, 7),
  }
  const mechanisms: SaslMechanisms = new Map(
    options.offered.map((name) => [
      name,
      () => {
        const mechanism = serverMechanism(name, options)
        assert.ok(mechanism !== undefined)
        return mechanism
      },
    ]),
  )
  const { wire } = await world(t, {}, { mechanisms: () => mechanisms })
  const c = await wire()
  await c.until('* OK')
  assert.match(await c.ask(`a AUTHENTICATE PLAIN ${b64('\0anna\0wrong')}`), /^a NO \[AUTHENTICATIONFAILED\]/)
  c.send(`b AUTHENTICATE SCRAM-SHA-256 ${b64('n,,n=anna,r=abc')}\r\n`)
  assert.match(Buffer.from((await c.until('+ ')).slice(2), 'base64').toString(), /^r=abc.*,s=.*,i=\d+$/)
  c.send('*\r\n')
  await c.until('b BAD')
  c.send('c AUTHENTICATE PLAIN\r\n')
  await c.until('+ ')
  c.send(`${b64('\0anna\0secret')}\r\n`)
  assert.match(await c.until('c '), /^c OK \[CAPABILITY/)
})

test('too many wrong passwords end the connection', async (t) => {
  const { wire } = await world(t, {}, { limits: { failedLogins: 3 } })
  const c = await wire()
  await c.until('* OK')
  c.send('a LOGIN anna 1\r\nb LOGIN anna 2\r\nc LOGIN anna 3\r\nd LOGIN anna secret\r\n')
  const said = await c.rest()
  assert.match(said, /^a NO.*\r\nb NO.*\r\n\* BYE/)
  assert.doesNotMatch(said, /^d /m)
})

test('a login that the store cannot serve says so, and can be tried again', async (t) => {
  let broken = true
  const mail = new MemoryMail()
  const { wire } = await world(
    t,
    {},
    {
      open: async () => {
        if (broken) throw new BackendError('UNAVAILABLE', 'The mail store is being moved')
        return mail.open()
      },
    },
  )
  const c = await wire()
  await c.until('* OK')
  assert.match(await c.ask('a LOGIN anna secret'), /^a NO \[UNAVAILABLE\] The mail store is being moved/)
  broken = false
  assert.match(await c.ask('b LOGIN anna secret'), /^b OK/)
})

/** Stands for TLS: a stream of its own over the socket. */
function fakeTls(socket: Duplex): Promise<Duplex> {
  const input = new PassThrough()
  const stream = Duplex.from({ readable: input, writable: socket })
  socket.on('data', (chunk) => input.write(chunk))
  socket.on('end', () => input.end())
  socket.resume()
  return Promise.resolve(stream)
}

test('6: STARTTLS; what is piped behind it in the clear is never run', async (t) => {
  const { wire } = await world(t, {}, { startTls: fakeTls })
  const c = await wire()
  assert.match(await c.until('* OK'), /STARTTLS LOGINDISABLED\]/)
  assert.match(await c.ask('a LOGIN anna secret'), /^a NO \[PRIVACYREQUIRED\]/)
  assert.match(await c.ask('b STARTTLS'), /^b OK/)
  assert.match(await c.ask('c CAPABILITY'), /^\* CAPABILITY IMAP4rev1 (?!.*STARTTLS)/)
  assert.match(await c.ask('d STARTTLS'), /^d BAD/)
  assert.match(await c.ask('e LOGIN anna secret'), /^e OK/)

  const evil = await wire()
  await evil.until('* OK')
  evil.send('a STARTTLS\r\nb LOGIN anna secret\r\nc NOOP\r\n')
  const said = await evil.rest()
  assert.doesNotMatch(said, /^[bc] /m)
})

test('a throw in a command is NO [SERVERBUG], logged, and nobody else notices', async (t) => {
  const { mail, wire, log } = await world(t)
  const box = await mail.open().open('INBOX')
  const one = await wire()
  const two = await wire()
  await one.login()
  await two.login()
  await one.ask('a SELECT INBOX')
  await two.ask('a SELECT INBOX')
  await fill(mail, 1)
  await one.ask('a NOOP')
  box.raw = () => Promise.reject(new TypeError('the disk is on fire'))
  assert.match(await one.ask('b FETCH 1 BODY.PEEK[]'), /^b NO \[SERVERBUG\] (?!.*fire)/)
  assert.match(await one.ask('c FETCH 1 FLAGS'), /c OK/)
  assert.match(await two.ask('b NOOP'), /b OK/)
  assert.equal(log.filter(({ event }) => event === 'defect').length, 1)
  const delta = box.delta.bind(box)
  let failing = true
  box.delta = (since) => (failing ? Promise.reject(new TypeError('worse')) : delta(since))
  await fill(mail, 1)
  assert.equal(await one.ask('d NOOP'), 'd OK NOOP completed\r\n')
  assert.equal(log.filter(({ event }) => event === 'defect').length, 2)
  failing = false
  assert.match(await one.ask('e NOOP'), /^\* 2 EXISTS/)
})

test('twenty bad commands are enough', async (t) => {
  const { wire } = await world(t)
  const c = await wire()
  await c.login()
  c.send('x BAD\r\n'.repeat(30))
  const said = await c.rest()
  assert.equal(said.match(/^x BAD/gm)?.length, 20)
  assert.match(said, /\* BYE Too many bad commands\r\n$/)
})

test('shutdown: a running command finishes, an idle session hears BYE', async (t) => {
  const { mail, wire, sessions } = await world(t)
  await fill(mail, 1)
  const box = await mail.open().open('INBOX')
  const raw = box.raw.bind(box)
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  const started = new Promise<void>((resolve) => {
    box.raw = async (...args) => {
      resolve()
      await gate
      return raw(...args)
    }
  })
  const [busy, idle, quiet] = [await wire(), await wire(), await wire()]
  for (const c of [busy, idle, quiet]) {
    await c.login()
    await c.ask('a SELECT INBOX')
  }
  idle.send('b IDLE\r\n')
  await idle.until('+ ')
  busy.send('b FETCH 1 BODY.PEEK[]\r\nc NOOP\r\n')
  await started
  const closing = sessions.map((session) => session.shutdown('Maintenance'))
  assert.equal(await quiet.rest(), '* BYE Maintenance\r\n')
  assert.equal(await idle.rest(), '* BYE Maintenance\r\n')
  release()
  assert.match(
    await busy.rest(),
    /^\* 1 FETCH \(BODY\[\] \{41\}\r\n[^]*b OK FETCH completed\r\n\* BYE Maintenance\r\n$/,
  )
  await Promise.all(closing)
  assert.equal(mail.watchers, 0)
})

test('time: silence before and after login ends the session, work does not', async (t) => {
  const alarms: { ring: () => void; wound: number[] }[] = []
  const alarm = (ring: () => void): Alarm => {
    const one = { ring, wound: [] as number[] }
    alarms.push(one)
    return { reset: (milliseconds) => one.wound.push(milliseconds), stop: () => undefined }
  }
  const { wire, sessions } = await world(t, {}, { alarm })
  const early = await wire()
  await early.until('* OK')
  assert.deepEqual(alarms[0]?.wound, [60_000])
  alarms[0]?.ring()
  assert.match(await early.rest(), /^\* BYE/)
  const late = await wire()
  await late.login()
  assert.equal(alarms[1]?.wound.at(-1), 30 * 60_000)
  // Something was heard since: one more round.
  const server = sessions[1]?.connection.socket as Socket
  const before = server.bytesRead
  late.send('a NO')
  while (server.bytesRead === before) await new Promise((resolve) => setImmediate(resolve))
  alarms[1]?.ring()
  late.send('OP\r\n')
  assert.match(await late.until('a '), /^a OK/)
  alarms[1]?.ring()
  assert.match(await late.rest(), /^\* BYE/)
})

test('a reader that stops reading makes the server wait, not grow; when it leaves, all is freed', async (t) => {
  const { mail, connect, sessions } = await world(t, { appendLimit: 1 << 27 })
  const account = mail.open()
  await account.append('INBOX', [
    { bytes: Buffer.concat([Buffer.from('Subject: x\r\n\r\n'), Buffer.alloc(900_000, 0x61)]), flags: ['\\Seen'] },
  ])
  const box = await account.open('INBOX')
  for (let i = 0; i < 6; i++) await box.copy([...(await box.snapshot()).uids], 'INBOX')
  const socket = await connect()
  socket.pause()
  socket.write('a LOGIN anna secret\r\nb SELECT INBOX\r\nc FETCH 1:* BODY[]\r\n')
  const session = sessions[0]
  assert.ok(session !== undefined)
  while (!session.out.stalled) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(session.connection.socket.writableLength < 4_000_000)
  socket.destroy()
  await session.closed
  account.close()
  assert.equal(mail.watchers, 0)
})

test('ID and NAMESPACE and ENABLE', async (t) => {
  const { wire, log } = await world(t, {}, { id: { name: 'Aviso', version: '1' } })
  const c = await wire()
  await c.until('* OK')
  assert.equal(
    await c.ask('a ID ("name" "Mail \\"x\\"" "os" NIL)'),
    '* ID ("name" "Aviso" "version" "1")\r\na OK ID completed\r\n',
  )
  assert.deepEqual(log.find(({ event }) => event === 'client-id')?.fields, { name: 'Mail "x"', os: undefined })
  assert.match(await c.ask('b ID NIL'), /^\* ID/)
  assert.match(await c.ask('c ID ("name")'), /^c BAD/)
  assert.match(await c.ask('d NAMESPACE'), /^d BAD/)
  await c.ask('e LOGIN anna secret')
  assert.match(await c.ask('f NAMESPACE'), /^\* NAMESPACE \(\("" "\/"\)\) NIL NIL\r\n/)
  assert.equal(await c.ask('g ENABLE CONDSTORE X-FOO'), '* ENABLED CONDSTORE\r\ng OK ENABLE completed\r\n')
})

test('the small client reads, searches, appends and idles', async (t) => {
  const { mail, user } = await world(t)
  await fill(mail, 3)
  const c = await user()
  assert.equal(await c.select('INBOX'), 3)
  const [line] = await c.fetch('2', '(UID BODY.PEEK[TEXT])')
  assert.equal(line?.literals[0]?.toString(), 'body 2\r\n')
  assert.deepEqual(await c.search('SUBJECT 3', true), [3])
  const heard = new Promise<string>((resolve) => (c.onUntagged = ({ text }) => resolve(text)))
  const done = await c.idle()
  await fill(mail, 1)
  assert.equal(await heard, '4 EXISTS')
  assert.equal((await done()).status, 'OK')
  assert.match(
    (await c.append('INBOX', Buffer.from('Subject: new\r\n\r\nx\r\n'), ['\\Seen'])).code ?? '',
    /^APPENDUID \d+ 5$/,
  )
  await assert.rejects(c.select('nowhere'), /SELECT: NO/)
  await c.logout()
})

test('many sessions over one mailbox share its columns', async () => {
  const mail = new MemoryMail()
  await fill(mail, 2000)
  const make = async (): Promise<{ session: ImapServerSession; client: ImapClient }> => {
    const up = new PassThrough()
    const down = new PassThrough()
    const session = new ImapServerSession(Duplex.from({ readable: up, writable: down }), {
      hostname: 'h',
      login: async () => ({ authcid: 'a', authzid: undefined }),
      open: async () => mail.open(),
    })
    const client = new ImapClient(Duplex.from({ readable: down, writable: up }))
    session.start()
    await client.greeting
    await client.login('a', 'b')
    await client.select('INBOX')
    return { session, client }
  }
  const all = await Promise.all(Array.from({ length: 5 }, make))
  const buffers = new Set(all.map(({ session }) => session.view.uids.buffer))
  assert.equal(buffers.size, 1)
  await Promise.all(all.map(({ session }) => session.shutdown()))
})

test('a client that says everything at once and closes its side still gets its answers', async (t) => {
  const { mail, port, sessions } = await world(t)
  await fill(mail, 3000)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end('a LOGIN anna secret\r\nb SELECT INBOX\r\nc FETCH 1:* (UID FLAGS)\r\nd UNFINISHED')
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  assert.match(text, /^a OK/m)
  await sessions[0]?.closed
  assert.equal(mail.watchers, 0)
})

test('a TLS handshake that never ends is cut off by the clock', async (t) => {
  const rings: (() => void)[] = []
  const alarm = (ring: () => void): Alarm => {
    rings.push(ring)
    return { reset: () => undefined, stop: () => undefined }
  }
  const { wire, sessions } = await world(t, {}, { alarm, startTls: () => new Promise(() => undefined) })
  const c = await wire()
  await c.until('* OK')
  await c.ask('a STARTTLS')
  await new Promise((resolve) => setImmediate(resolve))
  rings[0]?.()
  await sessions[0]?.closed
  assert.equal(await c.rest(), '')
})
