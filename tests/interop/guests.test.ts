// Two people without an account, with slixmpp: they log in by ANONYMOUS, chat, and are gone.

import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { minimal, portOf, Site } from './admin-fixture.ts'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { eventually } from './programs.ts'
import { temporaryFolder } from './server.ts'

const DOMAIN = 'guests.example.test'

/** The databases of accounts that there are. */
function databases(data: string): readonly string[] {
  const folder = join(data, 'accounts')
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((part) => readdirSync(join(folder, part)))
}

describe('guests', { skip: needsSlixmpp() }, () => {
  test('two strangers meet, and leave nothing', async (t) => {
    const folder = temporaryFolder()
    t.after(() => folder.remove())
    const site = new Site(folder.path, minimal({ domain: DOMAIN, chat: { hosts: { [DOMAIN]: { guests: true } } } }))
    const server = await site.start()
    t.after(() => server.stop())
    const status = await site.status()
    const ports = { xmpp: portOf(status, 'c2s', 'starttls'), xmpps: portOf(status, 'c2s', 'implicit') }
    const reach = { ports, ca: join(site.data, 'self-signed.crt') }
    const enter = async (how: 'starttls' | 'tls'): Promise<{ client: ChatClient; jid: string }> => {
      const client = new ChatClient(reach, { address: DOMAIN, password: '' }, how, 'web')
      t.after(() => client.end())
      const [, jid, mechanism] = await client.next('started')
      assert.equal(mechanism, 'ANONYMOUS')
      assert.match(String(jid), /^[0-9a-f-]{36}@guests\.example\.test\//)
      client.do('online')
      return { client, jid: String(jid) }
    }
    const one = await enter('starttls')
    const other = await enter('tls')
    one.client.do('say', other.jid, 'anybody here?')
    await other.client.next('message', one.jid.split('/')[0], 'chat', 'anybody here?')
    other.client.do('say', 'dora@example.com', 'and elsewhere?')
    // So it calls every error to a message.
    await other.client.next('room-error', 'dora@example.com', 'not-allowed')
    await one.client.end()
    await other.client.end()
    await eventually('all of it to be erased', () => (databases(site.data).length === 0 ? true : undefined))
    assert.deepEqual((await site.json(['account', 'list'])).value, [])
  })
})
