import assert from 'node:assert/strict'
import { it } from 'node:test'
import { clientMechanism, deriveScram, serverMechanism, type CredentialSource } from '@aviso/sasl'
import * as fc from 'fast-check'
import { AuthenticationError, Client, Jid, NS, ServerStream, type CloseReason } from '../src/index.ts'
import { HandTimers, memorySockets } from '../src/testing/index.ts'

it('whatever a peer sends, in whatever pieces: one stream ends at most, told once, and nothing is thrown', async () => {
  const open = `<stream:stream xmlns='jabber:client' xmlns:stream='${NS.streams}' version='1.0' to='a.example'>`
  const words = fc.constantFrom(
    open,
    "<?xml version='1.0'?>",
    `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>AGEAYg==</auth>`,
    `<auth xmlns='${NS.sasl}' mechanism='PLAIN'/>`,
    `<response xmlns='${NS.sasl}'>=</response>`,
    `<abort xmlns='${NS.sasl}'/>`,
    `<starttls xmlns='${NS.tls}'/>`,
    `<iq type='set' id='b'><bind xmlns='${NS.bind}'/></iq>`,
    `<iq type='get' id='1'><ping xmlns='${NS.ping}'/></iq>`,
    '<message><body>x</body></message>',
    `<stream:error><reset xmlns='${NS.streamErrors}'/></stream:error>`,
    `<r xmlns='${NS.streamManagement}'/>`,
    '</stream:stream>',
    '<message>',
    ' ',
    '\u0000',
  )
  const run = async (parts: readonly string[], size: number, hangUp: boolean): Promise<void> => {
    const [ours, theirs] = memorySockets()
    const closed: CloseReason[] = []
    const stream = new ServerStream(
      { socket: ours, secure: true, defaultHost: 'a.example', streamId: () => 's', timers: new HandTimers() },
      {
        isServed: () => true,
        mechanisms: () => ['PLAIN'],
        begin: () => ({
          name: 'PLAIN',
          start: async () => ({ kind: 'success', identity: { authcid: 'anna', authzid: undefined } }),
          next: async () => ({ kind: 'failure', condition: 'not-authorized', text: '' }),
          abort: () => ({ kind: 'failure', condition: 'aborted', text: '' }),
        }),
        bind: () => Jid.parse('anna@a.example/x'),
        stanza: async (stanza) => {
          if (stanza.name === 'message') throw new Error('a bug')
        },
        nonza: () => true,
        closed: (reason) => closed.push(reason),
      },
    )
    theirs.resume()
    theirs.on('error', () => {})
    const bytes = Buffer.from(parts.join(''))
    for (let at = 0; at < bytes.length && theirs.writable; at += size) theirs.write(bytes.subarray(at, at + size))
    if (hangUp) theirs.end()
    for (let turn = 0; turn < 8; turn++) await new Promise(setImmediate)
    assert.ok(closed.length <= 1)
    assert.equal(stream.state === 'closed', closed.length === 1)
    if (hangUp) assert.equal(closed.length, 1)
    stream.destroy()
    assert.equal(closed.length, 1)
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(words, { maxLength: 8 }),
      fc.constantFrom(7, 100, 10_000),
      fc.boolean(),
      (parts, size, hangUp) => run([open, ...parts], size, hangUp),
    ),
    { numRuns: 400 },
  )
})

it('SCRAM-SHA-256 with @aviso/sasl on both sides', async () => {
  const salt = Buffer.alloc(16, 7)
  const keys = { salt, iterations: 4096, ...(await deriveScram('SHA-256', 'pencil', salt, 4096)) }
  const credentials: CredentialSource = {
    scram: async (authcid, hash) => (authcid === 'anna' && hash === 'SHA-256' ? keys : undefined),
    password: async () => 'not-authorized',
  }
  const login = (password: string): Promise<Client> => {
    const [ours, theirs] = memorySockets()
    const stream = new ServerStream(
      { socket: ours, secure: true, defaultHost: 'a.example', streamId: () => 's', timers: new HandTimers() },
      {
        isServed: () => true,
        mechanisms: () => ['SCRAM-SHA-256'],
        begin: (name) => serverMechanism(name, { offered: ['SCRAM-SHA-256'], credentials, secret: Buffer.alloc(16) }),
        bind: (resource, stream) => Jid.of(stream.identity?.authcid ?? '', stream.host, resource ?? 'x'),
        stanza: () => {},
        closed: () => {},
      },
    )
    assert.equal(stream.state, 'opening')
    return Client.connect({
      domain: 'a.example',
      connect: async () => theirs,
      sasl: (offer) => clientMechanism(offer, { authcid: 'anna', password, secure: true }),
      timers: new HandTimers(),
    })
  }
  assert.equal((await login('pencil')).jid.toString(), 'anna@a.example/x')
  await assert.rejects(login('crayon'), AuthenticationError)
})
