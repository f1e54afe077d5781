// go-sendxmpp and sendxmpp: two more XMPP libraries (Go, Perl), from scripts.

import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { needs, succeed } from './programs.ts'
import { demoJourney } from './demo-journey.ts'

describe('messages from scripts', () => {
  const journey = demoJourney()

  /** Bert, who listens with slixmpp. */
  const listening = async (): Promise<ChatClient> => {
    const bert = new ChatClient(journey.demo.reach, journey.demo.bert, 'tls', 'ear')
    await bert.next('started')
    bert.do('online')
    bert.do('ping', journey.demo.reach.domain)
    await bert.next('pong')
    return bert
  }

  for (const how of ['STARTTLS', 'direct TLS'] as const)
    test(`go-sendxmpp, ${how}`, { skip: needs('go-sendxmpp') || needsSlixmpp() }, async (t) => {
      const bert = await listening()
      t.after(() => bert.end())
      const { anna, reach } = journey.demo
      const server = `${reach.host}:${how === 'STARTTLS' ? reach.ports.xmpp : reach.ports.xmpps}`
      const login = ['-u', anna.address, '-p', anna.password, '-j', server, ...(how === 'STARTTLS' ? [] : ['-t'])]
      await succeed('go-sendxmpp', [...login, journey.demo.bert.address], {
        input: `from Go, ${how}\n`,
        env: { SSL_CERT_FILE: reach.ca },
      })
      const [, , , body] = await bert.next('message', anna.address, 'chat')
      assert.equal(String(body).trim(), `from Go, ${how}`)
    })

  test('sendxmpp', { skip: needs('sendxmpp', 'openssl') || needsSlixmpp() }, async (t) => {
    const bert = await listening()
    t.after(() => bert.end())
    const { anna, reach } = journey.demo
    // It wants a folder of certificates, as c_rehash makes it.
    const trust = join(journey.folder, 'trust')
    mkdirSync(trust)
    copyFileSync(reach.ca, join(trust, 'aviso.crt'))
    await succeed('openssl', ['rehash', trust])
    const [user = ''] = anna.address.split('@')
    const login = ['-u', user, '-p', anna.password, '-j', `${reach.host}:${reach.ports.xmpp}`, '-o', reach.domain]
    await succeed('sendxmpp', [...login, '-t', '--tls-ca-path', trust, journey.demo.bert.address], {
      input: 'from Perl\n',
    })
    const [, , , body] = await bert.next('message', anna.address, 'chat')
    assert.equal(String(body).trim(), 'from Perl')
  })
})
