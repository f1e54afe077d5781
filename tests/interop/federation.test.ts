// Federation with Debian's Prosody and ejabberd, both ways, over TLS: by certificates and by dialback.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Peer } from '../../packages/server/test/chat/house.ts'
import { answerTo, presenceWanting, publish, toldBy } from '../../packages/server/test/chat/pubsub/clients.ts'
import { meeting, PROGRAMS, see, visit, type Way } from './meeting.ts'
import { eventually } from './programs.ts'
import { needsProsody } from './prosody.ts'

const WAYS: Readonly<Record<string, Way>> = {
  'by certificates': { house: {}, proof: 'external' },
  'by certificates, one connection for each way': { house: { bidi: false }, proof: 'external' },
  // Nobody vouches for its certificate, or ours.
  'by dialback': { house: { bidi: false, 'require-certificate': false }, proof: 'dialback' },
  'by dialback, one connection for both ways': { house: { 'require-certificate': false }, proof: 'dialback' },
}

/** Waits until a client is told of a node; meanwhile it says what it wants to hear of, to whoever asks. */
async function hear(peer: Peer, node: string, wanted: string): Promise<void> {
  const told: string[] = []
  await eventually(
    () => `${wanted}; told: ${told.join(', ')}`,
    () => {
      for (const stanza of peer.clear()) {
        if (stanza.name === 'iq' && stanza.get('type') === 'get')
          peer.send(answerTo(stanza, [node]).toString('jabber:client'))
        told.push(...toldBy(stanza))
      }
      return told.includes(wanted) ? true : undefined
    },
  )
}

const DISCO = `<query xmlns='http://jabber.org/protocol/disco#info'/>`
const VERSION = `<query xmlns='jabber:iq:version'/>`
const card = (name: string): string => `<vCard xmlns='vcard-temp'><FN>${name}</FN></vCard>`

/** Each asks the other's server what it is, and for the other's card. */
async function inquire(anna: Peer, bert: Peer, name: string): Promise<void> {
  await anna.request('set', card('Anna'))
  await bert.request('set', card('Bert'))
  for (const [peer, server, product, contact, full] of [
    [anna, 'theirs.example', name, 'bert@theirs.example', 'Bert'],
    [bert, 'ours.example', 'Aviso', 'anna@ours.example', 'Anna'],
  ] as const) {
    const info = await peer.request('get', DISCO, server)
    assert.equal(info.elements[0]?.child('identity')?.get('name'), product)
    const version = await peer.request('get', VERSION, server)
    assert.equal(version.elements[0]?.childText('name'), product)
    const found = await peer.request('get', `<vCard xmlns='vcard-temp'/>`, contact)
    assert.equal(found.elements[0]?.childText('FN'), full)
  }
}

for (const [server, program] of Object.entries(PROGRAMS))
  describe(`federation with ${server}`, { skip: program.missing }, () => {
    for (const [name, way] of Object.entries(WAYS)) {
      if (way.house.bidi !== false && !program.bidi) continue

      test(`begun by us, ${name}`, async (t) => {
        const { ours, anna, bert, theirs } = await meeting(t, program, way)
        const body = (peer: Peer, text: string): Promise<void> =>
          see(peer, `message chat ${peer === anna ? 'bert@theirs.example/r' : 'anna@ours.example/r'} '${text}'`)
        anna.send(`<message to='bert@theirs.example' type='chat'><body>hello</body></message>`)
        await body(bert, 'hello').catch((error: unknown) => {
          throw new Error(theirs.log, { cause: error })
        })
        bert.send(`<message to='anna@ours.example' type='chat'><body>good day</body></message>`)
        await body(anna, 'good day').catch((error: unknown) => {
          throw new Error(theirs.log, { cause: error })
        })
        assert.equal(ours.said('stream to another server')[0]?.['proof'], way.proof)
        if (way.house.bidi === false) assert.equal(ours.said('stream from another server')[0]?.['proof'], way.proof)
        else assert.equal(ours.said('stream to another server')[0]?.['bidi'], true)
        await inquire(anna, bert, program.name)
      })

      test(`begun by ${server}, ${name}`, async (t) => {
        const { ours, anna, bert, theirs } = await meeting(t, program, way)
        bert.send(`<presence to='anna@ours.example' type='subscribe'/>`)
        await see(anna, 'presence subscribe bert@theirs.example').catch((error: unknown) => {
          throw new Error(theirs.log, { cause: error })
        })
        assert.equal(ours.said('stream from another server')[0]?.['proof'], way.proof)
        anna.send(`<presence to='bert@theirs.example' type='subscribed'/>`)
        await see(bert, 'presence subscribed anna@ours.example', 'presence anna@ours.example/r')
        anna.send(`<presence to='bert@theirs.example' type='subscribe'/>`)
        await see(bert, 'presence subscribe anna@ours.example')
        bert.send(`<presence to='anna@ours.example' type='subscribed'/>`)
        await see(anna, 'presence subscribed bert@theirs.example', 'presence bert@theirs.example/r')
        // He goes, and comes again: our presence is there, by a probe.
        await bert.client.close()
        await see(anna, 'presence unavailable bert@theirs.example/r')
        const again = await visit(theirs.clients, 'bert@theirs.example')
        await see(anna, 'presence bert@theirs.example/r')
        again.send(`<presence to='anna@ours.example/r' type='probe'/>`)
        anna.send(`<presence type='unavailable'/>`)
        await see(again, 'presence unavailable anna@ours.example/r')
      })
    }

    test('a stranger there: his link waits until he is written to, and a rule sends back what it does not like', async (t) => {
      const rules = {
        rules: [
          {
            name: 'pills',
            if: { direction: ['in'], from: ['theirs.example'], contains: ['pills'] },
            do: { bounce: { condition: 'not-acceptable', text: 'no pills' } },
          },
        ],
      }
      const features = { rules, strangers: { notice: '0s' }, offline: {} }
      const { ours, anna, bert } = await meeting(t, program, { house: {}, proof: 'external' }, features)
      const says = (body: string): void =>
        bert.send(`<message to='anna@ours.example' type='chat'><body>${body}</body></message>`)
      says('see https://example.com/')
      says('cheap pills')
      await see(bert, 'message error anna@ours.example not-acceptable')
      says('hello')
      await see(anna, `message chat bert@theirs.example/r 'hello'`)
      assert.equal(ours.said('a stranger was not let through')[0]?.['why'], 'links')
      anna.send(`<message to='bert@theirs.example' type='chat'><body>who is it?</body></message>`)
      await see(anna, `message chat bert@theirs.example/r 'see https://example.com/'`)
      await see(bert, `message chat anna@ours.example/r 'who is it?'`)
    })
  })

describe('personal events with Prosody', { skip: needsProsody() }, () => {
  test('of contacts, both ways: as they happen, and the last one at presence', async (t) => {
    const program = PROGRAMS['Prosody']
    assert.ok(program !== undefined)
    const { anna, bert, theirs } = await meeting(t, program, { house: {}, proof: 'external' }, { pep: {} })
    const TUNE = 'urn:example:tune'
    bert.send(`<presence to='anna@ours.example' type='subscribe'/>`)
    await see(anna, 'presence subscribe bert@theirs.example')
    for (const type of ['subscribed', 'subscribe']) anna.send(`<presence to='bert@theirs.example' type='${type}'/>`)
    await see(bert, 'presence subscribe anna@ours.example')
    bert.send(`<presence to='anna@ours.example' type='subscribed'/>`)
    await see(anna, 'presence subscribed bert@theirs.example')

    await publish(anna, TUNE, 'now', 'Help')
    bert.send(presenceWanting([TUNE]))
    await hear(bert, TUNE, `anna@ours.example ${TUNE} now=Help`)
    await publish(anna, TUNE, 'now', 'Yesterday')
    await hear(bert, TUNE, `anna@ours.example ${TUNE} now=Yesterday`)
    await publish(bert, TUNE, 'now', 'Michelle')
    anna.send(presenceWanting([TUNE]))
    const by = (song: string): string => `bert@theirs.example ${TUNE} now=${song} by bert@theirs.example`
    await hear(anna, TUNE, by('Michelle')).catch((error: unknown) => {
      throw new Error(theirs.log, { cause: error })
    })
    await publish(bert, TUNE, 'now', 'Girl')
    await hear(anna, TUNE, by('Girl'))
  })
})
