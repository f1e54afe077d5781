// profanity on a terminal: it connects over TLS, says something, and shows what it is told.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { needs } from './programs.ts'
import { Screen } from './screen.ts'
import { demoJourney } from './demo-journey.ts'

describe('profanity', () => {
  const skip = needs('profanity', 'tmux') || needsSlixmpp()
  const journey = demoJourney()

  /** Anna, logged in with profanity. */
  const openAnna = async (t: TestContext, folder: string): Promise<Screen> => {
    const { anna, reach } = journey.demo
    const settings = join(folder, 'config')
    const kept = join(folder, 'share')
    for (const each of [settings, kept]) mkdirSync(join(each, 'profanity'), { recursive: true })
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
        'muc.nick=Anna',
        '',
      ].join('\n'),
    )
    const screen = await Screen.open(folder, ['profanity', '-a', 'anna'], {
      XDG_CONFIG_HOME: settings,
      XDG_DATA_HOME: kept,
    })
    t.after(() => screen.close())
    // The certificate is self-signed: profanity shows it, and asks.
    await screen.shows(/\/tls (allow|trust)/)
    await enter(screen, '/tls allow')
    await screen.shows(/anna@aviso\.test\/desk logged in successfully/)
    return screen
  }

  /** Bert, with another client. */
  const openBert = async (t: TestContext): Promise<ChatClient> => {
    const bert = new ChatClient(journey.demo.reach, journey.demo.bert, 'tls', 'phone')
    t.after(() => bert.end())
    await bert.next('started')
    bert.do('roster')
    await bert.next('roster')
    bert.do('online')
    return bert
  }

  test('connects, asks to be a contact, sends and receives', { skip }, async (t) => {
    const { anna, bert } = journey.demo
    const listener = await openBert(t)
    const screen = await openAnna(t, mkdtempSync(join(journey.folder, 'a')))
    await enter(screen, `/sub request ${bert.address}`)
    await listener.next('subscribe', anna.address)
    listener.do('presence', anna.address, 'subscribed')
    await enter(screen, `/msg ${bert.address} Hallo <Bert>, Grüße`)
    await listener.next('message', anna.address, 'chat', 'Hallo <Bert>, Grüße')
    listener.do('say', anna.address, 'Servus & bis <bald>')
    await screen.shows(/Servus & bis <bald>/)
    await enter(screen, '/quit')
  })

  test(
    'the daily round of rooms: made, configured, invited to, moderated, with history, kick, ban and end',
    { skip },
    async (t) => {
      const { anna, bert, reach } = journey.demo
      const room = `cafe@rooms.${reach.domain}`
      const listener = await openBert(t)
      const screen = await openAnna(t, mkdtempSync(join(journey.folder, 'b')))
      await enter(screen, `/join ${room}`)
      await screen.shows(/locked/i)
      await enter(screen, '/room config')
      await screen.shows(/\[anyone\] Everybody[^]*\/form submit/)
      for (const line of ['/field1 Café', '/field5 on', '/field6 on', '/form submit']) await enter(screen, line)
      await enter(screen, `/win ${room}`)
      await enter(screen, `/invite send ${bert.address} come in`)
      await listener.next('invited', room, anna.address, 'come in')
      for (const line of ['/subject set coffee', 'one', 'two']) await enter(screen, line)
      await screen.shows(/Anna: two/)
      listener.do('room-join', room, 'Bert', '1')
      await listener.next('occupant', `${room}/Bert`, 'available', 'member', 'participant')
      await listener.next('said', `${room}/Anna`, 'two')
      await listener.next('subject', `${room}/Anna`, 'coffee')
      listener.do('room-say', room, 'Grüße 👋')
      await screen.shows(/Bert: Grüße/)

      // Voice is taken and given back, then comes the kick, and the ban.
      await enter(screen, '/role set visitor Bert')
      await listener.next('occupant', `${room}/Bert`, 'available', 'member', 'visitor')
      await enter(screen, '/role set participant Bert')
      await listener.next('occupant', `${room}/Bert`, 'available', 'member', 'participant')
      await enter(screen, '/kick Bert too loud')
      await listener.next('occupant', `${room}/Bert`, 'unavailable', 'member', 'none')
      await screen.shows(/Bert has been kicked[^]*too loud/)
      await enter(screen, `/ban ${bert.address} again`)
      await enter(screen, '/affiliation list outcast')
      await screen.shows(new RegExp(`outcast[^]*${bert.address}`, 'i'))
      listener.do('room-join', room, 'Bert', '1')
      await listener.next('presence-error', `${room}/Bert`, 'forbidden')

      // It stays when nobody is in it, and remembers.
      await enter(screen, '/close')
      await screen.shows(/^ *Profanity/)
      await enter(screen, `/join ${room}`)
      await screen.shows(/You have joined the room as Anna/)
      await screen.shows(/one[^]*two[^]*Grüße/)
      await screen.shows(/coffee/)
      await enter(screen, '/room destroy')
      await screen.shows(/destroyed/i)
      listener.do('room-join', room, 'Bert', '1')
      await listener.next('presence-error', `${room}/Bert`, 'gone')
      await enter(screen, '/quit')
    },
  )
})

async function enter(screen: Screen, line: string): Promise<void> {
  await screen.type(line)
  await screen.press('Enter')
}
