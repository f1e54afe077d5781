// Two people with slixmpp in a room: made, configured, invited to, moderated, with history and archive, and destroyed.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { demoJourney } from './demo-journey.ts'

describe('rooms', () => {
  const clients: ChatClient[] = []
  after(() => Promise.all(clients.map((client) => client.end())))
  const journey = demoJourney()

  const login = async (who: 'anna' | 'bert'): Promise<ChatClient> => {
    const { reach } = journey.demo
    const client = new ChatClient(reach, journey.demo[who], 'starttls', 'desk')
    clients.push(client)
    await client.next('started')
    client.do('online')
    return client
  }

  test('from its making to its end', { skip: needsSlixmpp() }, async () => {
    const { demo } = journey
    const service = `rooms.${demo.reach.domain}`
    const room = `cafe@${service}`
    const anna = await login('anna')
    const bert = await login('bert')

    anna.do('room-join', room, 'Anna', '10')
    await anna.next('occupant', `${room}/Anna`, 'available', 'owner', 'moderator')
    await anna.next('subject', room, '')
    const wishes = ['roomname', 'Café', 'publicroom', '1', 'persistentroom', '1', 'membersonly', '1']
    anna.do('room-configure', room, ...wishes.map((wish, at) => (at % 2 === 0 ? `muc#roomconfig_${wish}` : wish)))
    await anna.next('configured')
    bert.do('rooms', service)
    assert.deepEqual((await bert.next('rooms'))[1], [room])

    // Only for members: who is invited is one.
    bert.do('room-join', room, 'Bert', '10')
    await bert.next('presence-error', `${room}/Bert`, 'registration-required')
    // This client takes no invitation to a room that it has tried to enter.
    bert.do('room-leave', room, 'Bert')
    anna.do('room-invite', room, demo.bert.address, 'come in')
    await bert.next('invited', room, demo.anna.address, 'come in')
    anna.do('room-subject', room, 'coffee')
    await anna.next('subject', `${room}/Anna`, 'coffee')
    for (const body of ['one', 'two', 'three']) anna.do('room-say', room, body)
    await anna.next('said', `${room}/Anna`, 'three')
    bert.do('room-join', room, 'Bert', '2')
    await bert.next('occupant', `${room}/Anna`, 'available', 'owner', 'moderator')
    await bert.next('subject', `${room}/Anna`, 'coffee')
    await bert.next('said', `${room}/Anna`, 'two')
    await bert.next('said', `${room}/Anna`, 'three')
    assert.ok(!bert.rest.some(([name]) => name === 'said'), 'no more than was asked for')
    await anna.next('occupant', `${room}/Bert`, 'available', 'member', 'participant')
    bert.do('room-say', room, 'Grüße 👋 <all>')
    await anna.next('said', `${room}/Bert`, 'Grüße 👋 <all>')
    await bert.next('said', `${room}/Bert`, 'Grüße 👋 <all>')
    bert.do('room-archive', room, '10')
    assert.deepEqual((await bert.next('archive'))[1], [
      ['Anna', 'one'],
      ['Anna', 'two'],
      ['Anna', 'three'],
      ['Bert', 'Grüße 👋 <all>'],
    ])

    // Voice is taken, and with a kick and a ban the rest.
    anna.do('room-role', room, 'Bert', 'visitor', '')
    await bert.next('occupant', `${room}/Bert`, 'available', 'member', 'visitor')
    bert.do('room-say', room, 'unheard')
    await bert.next('room-error', room, 'forbidden')
    anna.do('room-role', room, 'Bert', 'none', 'too loud')
    const kicked = await bert.next('occupant', `${room}/Bert`, 'unavailable', 'member', 'none')
    assert.deepEqual(kicked[5], [110, 307])
    anna.do('room-affiliation', room, demo.bert.address, 'outcast')
    await anna.next('affiliation')
    anna.do('room-list', room, 'outcast')
    assert.deepEqual((await anna.next('list'))[1], [demo.bert.address])
    bert.do('room-join', room, 'Bert', '5')
    await bert.next('presence-error', `${room}/Bert`, 'forbidden')

    anna.do('room-leave', room, 'Anna')
    anna.do('room-join', room, 'Anna', '1')
    await anna.next('said', `${room}/Bert`, 'Grüße 👋 <all>')
    await anna.next('subject', `${room}/Anna`, 'coffee')
    anna.do('room-destroy', room)
    await anna.next('destroyed')
    bert.do('rooms', service)
    assert.deepEqual((await bert.next('rooms'))[1], [])
    assert.deepEqual(
      anna.rest.filter(([name]) => name === 'defect' || name === 'iq-error'),
      [],
    )
  })
})
