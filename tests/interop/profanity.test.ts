// profanity on a terminal: it connects over TLS, says something, and shows what it is told.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { needs } from './programs.ts'
import { Screen } from './screen.ts'
import { type Demo, type DemoJourney, startDemo } from './server.ts'

describe('profanity', () => {
  let journey: DemoJourney
  let demo: Demo
  before(async () => {
    journey = await startDemo()
    demo = journey.demo
  })
  after(async () => assert.equal(await journey.stop(), 0))

  test(
    'connects, asks to be a contact, sends and receives',
    { skip: needs('profanity', 'tmux') || needsSlixmpp() },
    async (t) => {
      const { anna, bert, reach } = demo
      const settings = join(journey.folder, 'config')
      const kept = join(journey.folder, 'share')
      for (const folder of [settings, kept]) mkdirSync(join(folder, 'profanity'), { recursive: true })
      writeFileSync(
        join(kept, 'profanity', 'accounts'),
        [
          '[anna]',
          'enabled=true',
          `jid=${anna.address}`,
          `password=${anna.password}`,
          `server=${reach.host}`,
          `port=${reach.ports.xmpp}`,
          'resource=desk',
          'tls.policy=force',
          '',
        ].join('\n'),
      )
      const listener = new ChatClient(reach, bert, 'tls', 'phone')
      t.after(() => listener.end())
      await listener.next('started')
      listener.do('roster')
      await listener.next('roster')
      listener.do('online')

      const screen = await Screen.open(journey.folder, ['profanity', '-a', 'anna'], {
        XDG_CONFIG_HOME: settings,
        XDG_DATA_HOME: kept,
      })
      t.after(() => screen.close())
      // The certificate is self-signed: profanity shows it, and asks.
      await screen.shows(/\/tls (allow|trust)/)
      await screen.type('/tls allow')
      await screen.press('Enter')
      await screen.shows(/anna@aviso\.test\/desk logged in successfully/)

      await screen.type(`/sub request ${bert.address}`)
      await screen.press('Enter')
      await listener.next('subscribe', anna.address)
      listener.do('presence', anna.address, 'subscribed')

      await screen.type(`/msg ${bert.address} Hallo <Bert>, Grüße`)
      await screen.press('Enter')
      await listener.next('message', anna.address, 'chat', 'Hallo <Bert>, Grüße')
      listener.do('say', anna.address, 'Servus & bis <bald>')
      await screen.shows(/Servus & bis <bald>/)
      await screen.type('/quit')
      await screen.press('Enter')
    },
  )
})
