// Rooms across servers, with Debian's Prosody and ejabberd: our people in their rooms, and theirs in ours.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Element, NS } from '@aviso/xmpp'
import type { Peer } from '../../packages/server/test/chat/house.ts'
import { admin, configure, join, say, USER } from '../../packages/server/test/chat/rooms/lobby.ts'
import { meeting, PROGRAMS } from './meeting.ts'
import { eventually } from './programs.ts'

/** Somebody who listens: what came and was not asked for yet waits. */
class Listener {
  readonly peer: Peer
  readonly #waiting: Element[] = []

  constructor(peer: Peer) {
    this.peer = peer
  }

  /** Takes what came, one after the other, until it is what is wanted. */
  async hears(what: string, wanted: (stanza: Element) => boolean): Promise<Element> {
    const seen: string[] = []
    return eventually(
      () => `${what}; came: ${seen.join('\n')}`,
      () => {
        this.#waiting.push(...this.peer.clear())
        for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
          if (wanted(next)) return next
          seen.push(next.toString())
        }
        return undefined
      },
    )
  }

  /** Leaves nothing of what has come. */
  rest(): Element[] {
    return [...this.#waiting.splice(0), ...this.peer.clear()]
  }
}

const codes = (stanza: Element): readonly (string | undefined)[] =>
  stanza
    .child('x', USER)
    ?.childrenNamed('status')
    .map((status) => status.get('code')) ?? []

const item = (stanza: Element): Element | undefined => stanza.child('x', USER)?.child('item')

/** A presence of the occupant `from`, and what it says of him. */
const occupant =
  (from: string, ...wishes: readonly string[]) =>
  (stanza: Element): boolean => {
    if (stanza.name !== 'presence' || stanza.get('from') !== from) return false
    const known = [stanza.get('type') ?? 'there', item(stanza)?.get('affiliation'), item(stanza)?.get('role')]
    return wishes.every((wish) => known.includes(wish) || codes(stanza).includes(wish))
  }

const said =
  (from: string, body: string, type = 'groupchat') =>
  (stanza: Element): boolean =>
    stanza.name === 'message' &&
    stanza.get('from') === from &&
    stanza.get('type') === type &&
    stanza.childText('body') === body

const subject =
  (text: string) =>
  (stanza: Element): boolean =>
    stanza.childText('subject') === text && stanza.child('body') === undefined

/** A whole evening in a room: the host is of its server, the guest of the other one. `bansLast`: false where who is banned may enter again, as with this ejabberd. */
async function evening(host: Peer, guest: Peer, room: string, bansLast = true): Promise<void> {
  const [atHost, atGuest] = [new Listener(host), new Listener(guest)]
  join(host, 'Host', { room })
  await atHost.hears('the room is made', occupant(`${room}/Host`, 'owner', '110', '201'))
  await configure(host, { persistentroom: '1', publicroom: '1', roomname: 'Café' }, room)

  host.send(
    `<message to='${room}'><x xmlns='${USER}'><invite to='${guest.bare}'><reason>cake</reason></invite></x></message>`,
  )
  const invitation = await atGuest.hears('the invitation', (stanza) => {
    const invite = stanza.child('x', USER)?.child('invite')
    // Prosody names the occupant.
    return stanza.get('from') === room && [host.bare, host.full, `${room}/Host`].includes(invite?.get('from') ?? '')
  })
  assert.equal(invitation.child('x', USER)?.child('invite')?.childText('reason'), 'cake')

  join(guest, 'Guest', { room })
  await atGuest.hears('the host is there', occupant(`${room}/Host`, 'there', 'owner', 'moderator'))
  await atGuest.hears('the guest is there', occupant(`${room}/Guest`, 'there', 'participant', '110'))
  await atGuest.hears('there is no subject', subject(''))
  await atHost.hears('the guest has come', occupant(`${room}/Guest`, 'there', 'participant'))

  say(host, 'hello', { room })
  for (const listener of [atHost, atGuest]) await listener.hears('hello', said(`${room}/Host`, 'hello'))
  say(guest, 'hi', { room })
  for (const listener of [atHost, atGuest]) await listener.hears('hi', said(`${room}/Guest`, 'hi'))
  host.send(`<message type='groupchat' to='${room}'><subject>coffee</subject></message>`)
  await atGuest.hears('the subject', subject('coffee'))
  guest.send(`<message type='chat' to='${room}/Host'><body>psst</body></message>`)
  await atHost.hears('a whisper', said(`${room}/Guest`, 'psst', 'chat'))
  const version = await guest.request('get', `<ping xmlns='${NS.ping}'/>`, `${room}/Guest`)
  assert.equal(version.get('from'), `${room}/Guest`)

  await admin(host, `<item jid='${guest.bare}' affiliation='member'/>`, room)
  await atGuest.hears('he is a member', occupant(`${room}/Guest`, 'there', 'member', '110'))
  const info = await guest.request('get', `<query xmlns='${NS.discoInfo}'/>`, room)
  const identity = info.firstElement?.child('identity')
  assert.deepEqual([identity?.get('category'), identity?.get('name')], ['conference', 'Café'])
  const fin = await guest.request('set', `<query xmlns='${NS.mam}'/>`, room)
  assert.ok(fin.child('fin', NS.mam))
  const archived = atGuest
    .rest()
    .map((stanza) => stanza.child('result', NS.mam)?.child('forwarded', NS.forward)?.child('message', NS.client))
    .map((message) => message?.childText('body'))
    .filter((body) => body !== undefined)
  assert.deepEqual(archived, ['hello', 'hi'])

  await admin(host, `<item nick='Guest' role='none'><reason>too loud</reason></item>`, room)
  const kicked = await atGuest.hears('he is kicked', occupant(`${room}/Guest`, 'unavailable', '307'))
  assert.equal(item(kicked)?.childText('reason'), 'too loud')
  await atHost.hears('he is gone', occupant(`${room}/Guest`, 'unavailable', '307'))
  say(host, 'quiet now', { room })
  await atHost.hears('quiet', said(`${room}/Host`, 'quiet now'))

  join(guest, 'Guest', { room, x: `<history maxstanzas='2'/>` })
  const old = await atGuest.hears('what was said meanwhile', said(`${room}/Host`, 'quiet now'))
  assert.ok(old.child('delay', NS.delay))
  await atGuest.hears('the subject again', subject('coffee'))
  await atHost.hears('he is back', occupant(`${room}/Guest`, 'there', 'member'))

  await admin(host, `<item jid='${guest.bare}' affiliation='outcast'/>`, room)
  await atGuest.hears('he is banned', occupant(`${room}/Guest`, 'unavailable', 'outcast', '301'))
  if (bansLast) {
    join(guest, 'Guest', { room })
    const refused = await atGuest.hears('he may not enter', (stanza) => stanza.get('type') === 'error')
    assert.ok(refused.child('error')?.child('forbidden', NS.stanzaErrors))
  }
  await admin(host, `<item jid='${guest.bare}' affiliation='none'/>`, room)
  join(guest, 'Guest', { room })
  await atHost.hears('he may again', occupant(`${room}/Guest`, 'there', 'none'))
  // His client goes without a word to the room.
  await guest.client.close()
  await atHost.hears('he has gone home', occupant(`${room}/Guest`, 'unavailable'))
}

for (const [name, program] of Object.entries(PROGRAMS))
  describe(`rooms across servers, with ${name}`, { skip: program.missing }, () => {
    const meet = (t: Parameters<typeof meeting>[0]): ReturnType<typeof meeting> =>
      meeting(t, program, { house: {}, proof: 'external' }, { rooms: {} })

    test('our user in their room', async (t) => {
      const { anna, bert, theirs } = await meet(t)
      await evening(bert, anna, 'cafe@rooms.theirs.example', program.name !== 'ejabberd').catch((error: unknown) => {
        throw new Error(theirs.log.slice(-20_000), { cause: error })
      })
    })

    test('their user in our room', async (t) => {
      const { anna, bert, theirs } = await meet(t)
      await evening(anna, bert, 'cafe@rooms.ours.example').catch((error: unknown) => {
        throw new Error(theirs.log.slice(-20_000), { cause: error })
      })
    })
  })
