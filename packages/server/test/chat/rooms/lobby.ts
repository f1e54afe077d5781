// What tests of rooms do all the time: entering, making a room, and saying shortly what came.

import type { TestContext } from 'node:test'
import { type Element, StanzaError } from '@aviso/xmpp'
import { House, type Peer } from '../house.ts'

export const SERVICE = 'rooms.example.org'
export const ROOM = `cafe@${SERVICE}`
export const MUC = 'http://jabber.org/protocol/muc'
export const USER = `${MUC}#user`

/** A house with two more guests, closed when the test is over. */
export async function open(t: TestContext, options: Parameters<typeof House.open>[0] = {}): Promise<House> {
  const house = await House.open(options)
  t.after(() => house.close())
  house.accounts.add('dora@example.org', 'emil@example.org')
  return house
}

/** Enters a room; what comes of it stays unread. */
export const join = (peer: Peer, nick: string, { room = ROOM, x = '', rest = '' } = {}): void =>
  peer.send(`<presence to='${room}/${nick}'><x xmlns='${MUC}'>${x}</x>${rest}</presence>`)

/** Enters, and reads what comes of it. */
export async function enter(peer: Peer, nick: string, options?: Parameters<typeof join>[2]): Promise<string[]> {
  join(peer, nick, options)
  return told(peer)
}

export const submitted = (
  fields: Readonly<Record<string, string | readonly string[]>>,
  formType = `${MUC}#roomconfig`,
): string =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${formType}</value></field>${Object.entries(
    fields,
  )
    .map(([name, value]) => {
      const values = typeof value === 'string' ? [value] : value
      const short = /^[a-z]+$/.test(name) && formType === `${MUC}#roomconfig`
      return `<field var='${short ? `muc#roomconfig_${name}` : name}'>${values.map((each) => `<value>${each}</value>`).join('')}</field>`
    })
    .join('')}</x>`

/** Fills in the form of a room. */
export const configure = (peer: Peer, fields: Parameters<typeof submitted>[0] = {}, room = ROOM): Promise<Element> =>
  peer.request('set', `<query xmlns='${MUC}#owner'>${submitted(fields)}</query>`, room)

/** Makes a room with these settings; what comes of it is read. */
export async function make(
  peer: Peer,
  nick: string,
  fields: Parameters<typeof submitted>[0] = {},
  room = ROOM,
): Promise<void> {
  await enter(peer, nick, { room })
  await configure(peer, fields, room)
  await told(peer)
}

export const admin = (peer: Peer, item: string, room = ROOM): Promise<Element> =>
  peer.request('set', `<query xmlns='${MUC}#admin'>${item}</query>`, room)

export const say = (peer: Peer, body: string, { room = ROOM, rest = '' } = {}): void =>
  peer.send(`<message type='groupchat' to='${room}'><body>${body}</body>${rest}</message>`)

/** All that has come to a client, shortly, once the server has handled what was sent before. */
export async function told(peer: Peer): Promise<string[]> {
  await peer.sync()
  return peer.clear().map(brief)
}

/** The rooms' clients on loopback, in the order of their names. */
export async function guests(house: House, ...names: string[]): Promise<Peer[]> {
  const peers: Peer[] = []
  for (const name of names) peers.push(await house.arrive(name.includes('@') ? name : `${name}@example.org`, 'r'))
  return peers
}

/** A house, and guests of it that are online, by the names of their accounts at example.org. */
export async function gather<Name extends string>(
  t: TestContext,
  names: readonly Name[],
  options?: Parameters<typeof House.open>[0],
): Promise<{ readonly house: House } & Readonly<Record<Name, Peer>>> {
  const house = await open(t, options)
  const peers = await guests(house, ...names)
  const byName = Object.fromEntries(names.map((name, index) => [name, peers[index]])) as Record<Name, Peer>
  return { house, ...byName }
}

/** Whom a list of the room's has (§8.4 to §10.8). */
export async function listed(peer: Peer, what: string): Promise<(string | undefined)[]> {
  const answer = await peer.request('get', `<query xmlns='${MUC}#admin'><item ${what}/></query>`, ROOM)
  return answer.firstElement?.childrenNamed('item').map((item) => item.get('jid')) ?? []
}

/** How a request ends: `ok`, or the condition of its error. */
export const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: unknown) => {
      if (error instanceof StanzaError) return error.condition
      throw error
    },
  )

/** A stanza of a room in a few words. */
export function brief(stanza: Element): string {
  const from = (stanza.get('from') ?? '').replace(`@${SERVICE}`, '')
  const words: string[] = [stanza.name === 'presence' ? 'p' : stanza.name === 'message' ? 'm' : stanza.name]
  const type = stanza.get('type')
  if (type !== undefined && type !== 'groupchat') words.push(type)
  words.push(from)
  const x = stanza.child('x', USER)
  for (const item of x?.childrenNamed('item') ?? []) {
    const ranks = [item.get('affiliation'), item.get('role')].filter((word) => word !== undefined)
    if (ranks.length > 0) words.push(ranks.join('/'))
    const jid = item.get('jid')
    if (jid !== undefined) words.push(`=${jid}`)
    const nick = item.get('nick')
    if (nick !== undefined) words.push(`>${nick}`)
    const actor = item.child('actor')?.get('nick')
    if (actor !== undefined) words.push(`by ${actor}`)
    const reason = item.childText('reason')
    if (reason !== undefined) words.push(`(${reason})`)
  }
  const codes = x?.childrenNamed('status').map((status) => status.get('code')) ?? []
  if (codes.length > 0) words.push(codes.join('+'))
  const status = stanza.childText('status')
  if (status !== undefined) words.push(`"${status}"`)
  const subject = stanza.childText('subject')
  if (subject !== undefined) words.push(`subject '${subject}'`)
  const body = stanza.childText('body')
  if (body !== undefined) words.push(`'${body}'`)
  if (stanza.child('delay', 'urn:xmpp:delay') !== undefined) words.push('old')
  const condition = stanza.child('error')?.firstElement?.name
  if (condition !== undefined) words.push(condition)
  return words.join(' ')
}
