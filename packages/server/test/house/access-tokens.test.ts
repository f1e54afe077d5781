// An access token of another server, on all three ways in: chat, reading and sending.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NS } from '@aviso/xmpp'
import { IdentityProvider } from '../accounts/identity-provider.ts'
import { ANNA, greeted, LINE, LINES, populated } from './conversations.ts'
import { Talker } from './fixture.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const bearer = (token: string): string => base64(`n,,\x01auth=Bearer ${token}\x01\x01`)
const FAREWELL = base64('\x01')
/** What a client is told in base64, read. */
const told = (text: string): unknown =>
  JSON.parse(Buffer.from(/ ([A-Za-z0-9+/=]+)\s*$/.exec(text)?.[1] ?? '', 'base64').toString())
const REASON = { status: 'invalid_token', schemes: 'bearer', scope: 'aviso' }
const HEADER = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>`

test('a good token logs in, another one is answered with its reason', async (t) => {
  const provider = await IdentityProvider.start(t)
  provider.tokens.set('good', { active: true, email: ANNA.address, scope: 'aviso' })
  const url = `${provider.url}/introspect`
  const oauth = { introspection: { url, 'client-id': 'aviso', 'client-secret': 's+s' }, scope: ['aviso'] }
  const running = await populated(t, {
    accounts: { oauth },
    endpoints: { c2s: { listen: ['127.0.0.1:0'], 'listen-tls': [], 'require-tls': false } },
  })

  const reading = async (): Promise<Talker> => {
    const imap = Talker.to(running.port('imap'))
    assert.match(await imap.expect(/^\* OK [^\r]*\r\n/), /AUTH=OAUTHBEARER AUTH=XOAUTH2/)
    return imap
  }
  const imap = await reading()
  await imap.ask(`a AUTHENTICATE OAUTHBEARER ${bearer('good')}`, /a OK /)
  await imap.ask('b SELECT INBOX', /b OK /)
  imap.socket.destroy()
  const old = await reading()
  await old.ask(`a AUTHENTICATE XOAUTH2 ${base64(`user=${ANNA.address}\x01auth=Bearer good\x01\x01`)}`, /a OK /)
  old.socket.destroy()
  const badly = await reading()
  assert.deepEqual(told(await badly.ask(`a AUTHENTICATE OAUTHBEARER ${bearer('bad')}`, /^\+ [^\r]*\r\n/)), REASON)
  await badly.ask(FAREWELL, /a NO \[AUTHENTICATIONFAILED\]/)
  badly.socket.destroy()

  const smtp = await greeted(running, 'submission')
  assert.match(await smtp.ask('EHLO client.example', LINES), /AUTH [^\r]*OAUTHBEARER XOAUTH2/)
  assert.deepEqual(told(await smtp.ask(`AUTH OAUTHBEARER ${bearer('bad')}`, LINE)), REASON)
  assert.match(await smtp.ask(FAREWELL, LINE), /^535 /)
  assert.match(await smtp.ask(`AUTH OAUTHBEARER ${bearer('good')}`, LINE), /^235 /)
  smtp.socket.destroy()

  const open = async (): Promise<Talker> => {
    const chat = Talker.to(running.port('c2s'))
    const features = await chat.ask(HEADER, /<\/stream:features>/)
    assert.match(features, /<mechanism>OAUTHBEARER</)
    assert.doesNotMatch(features, /XOAUTH2/)
    return chat
  }
  const chat = await open()
  await chat.ask(`<auth xmlns='${NS.sasl}' mechanism='OAUTHBEARER'>${bearer('good')}</auth>`, /<success/)
  chat.socket.destroy()
  const refused = await open()
  const challenge = await refused.ask(
    `<auth xmlns='${NS.sasl}' mechanism='OAUTHBEARER'>${bearer('bad')}</auth>`,
    /<challenge[^>]*>[^<]*/,
  )
  assert.deepEqual(told(challenge.replace('>', ' ')), REASON)
  await refused.ask(`<response xmlns='${NS.sasl}'>${FAREWELL}</response>`, /<failure[^]*<not-authorized/)
  refused.socket.destroy()
  // The other server is away: later, neither yes nor no.
  provider.instead = (_request, response) => response.writeHead(500).end()
  const later = await reading()
  await later.ask(`a AUTHENTICATE OAUTHBEARER ${bearer('another')}`, /a NO \[UNAVAILABLE\]/)
  later.socket.destroy()
})
