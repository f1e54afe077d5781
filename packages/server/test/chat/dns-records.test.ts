// The records that an administrator publishes, from what the server listens on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Listening, recordsFor, zoneLine } from '../../src/chat/dns-records.ts'

const at = (protocol: string, port: number, tls: string, address = '::'): Listening => ({
  protocol,
  address,
  port,
  tls,
})

test('each way in has its record, services those for other servers', () => {
  const bound = [
    at('c2s', 5222, 'starttls'),
    at('c2s', 5223, 'implicit'),
    at('c2s', 443, 'implicit'),
    at('c2s', 5222, 'starttls', '192.0.2.1'),
    at('s2s', 5269, 'starttls'),
    at('http', 443, 'implicit'),
    at('imap', 993, 'implicit'),
  ]
  assert.deepEqual(recordsFor('example.org', ['rooms.example.org'], 'mail.example.net', bound).map(zoneLine), [
    '_xmpp-client._tcp.example.org. IN SRV 0 5 5222 mail.example.net.',
    '_xmpps-client._tcp.example.org. IN SRV 0 5 5223 mail.example.net.',
    '_xmpps-client._tcp.example.org. IN SRV 1 5 443 mail.example.net.',
    '_xmpp-server._tcp.example.org. IN SRV 0 5 5269 mail.example.net.',
    '_xmpp-server._tcp.rooms.example.org. IN SRV 0 5 5269 mail.example.net.',
    '_xmpps-server._tcp.example.org. IN SRV 0 0 0 .',
    '_xmpps-server._tcp.rooms.example.org. IN SRV 0 0 0 .',
  ])
})

test('what listens on this machine alone is for nobody else', () => {
  const own = [
    at('c2s', 5222, 'starttls', '127.0.0.1'),
    at('c2s', 5223, 'implicit', '::1'),
    at('s2s', 0, 'starttls', '/run/aviso.sock'),
  ]
  assert.ok(recordsFor('example.org', [], 'mail.example.net', own).every(({ target }) => target === '.'))
})
