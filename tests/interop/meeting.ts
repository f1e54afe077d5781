// Our server and one that is none of ours, each with somebody in it.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { clientMechanism } from '@aviso/sasl'
import { Client, type Element } from '@aviso/xmpp'
import { certify } from '../../packages/server/test/fixtures/certificates.ts'
import { Peer, short } from '../../packages/server/test/chat/house.ts'
import { AUTHORITY, certified, Town, type HouseWish } from '../../packages/server/test/chat/s2s/town.ts'
import { needsEjabberd, startEjabberd } from './ejabberd.ts'
import type { ForeignServer, ForeignWish } from './foreign-server.ts'
import { eventually } from './programs.ts'
import { needsProsody, startProsody } from './prosody.ts'

export interface Program {
  readonly missing: string | false
  /** As it calls itself. */
  readonly name: string
  /** XEP-0288. */
  readonly bidi: boolean
  start(wish: ForeignWish, t: TestContext): Promise<ForeignServer>
}

export const PROGRAMS: Readonly<Record<string, Program>> = {
  Prosody: { missing: needsProsody(), name: 'Prosody', bidi: true, start: startProsody },
  ejabberd: { missing: needsEjabberd(), name: 'ejabberd', bidi: false, start: startEjabberd },
}

export interface Way {
  readonly house: NonNullable<HouseWish['s2s']>
  readonly proof: 'external' | 'dialback'
}

/** Anna is at ours, Bert at theirs, and nobody has said anything yet. Both servers have rooms at `rooms.` before their domain. */
export async function meeting(
  t: TestContext,
  program: Program,
  { house, proof }: Way,
  features: NonNullable<HouseWish['features']> = { vcard: {}, version: {} },
) {
  const town = new Town(t)
  const certificate = (domain: string) => {
    const names = [domain, `rooms.${domain}`]
    return proof === 'dialback' ? certify({ names }) : certified(...names)
  }
  const ours = await town.open('ours.example', { certificate: certificate('ours.example'), s2s: house, features })
  const own = certificate('theirs.example')
  const wish: ForeignWish = {
    domain: 'theirs.example',
    certificate: own.chain,
    key: own.keyPem,
    ca: AUTHORITY.certificate.toString(),
    users: ['bert'],
    routes: { 'ours.example': ours.servers, 'rooms.ours.example': ours.servers },
    strict: proof === 'external',
  }
  const theirs = await program.start(wish, t)
  t.after(() => theirs.stop())
  for (const domain of ['theirs.example', 'rooms.theirs.example']) town.announce(domain, theirs.servers)
  const anna = await ours.arrive('anna')
  const bert = await visit(theirs.clients, 'bert@theirs.example')
  return { ours, theirs, anna, bert }
}

/** Logs in at the other server. */
export async function visit(port: number, address: string): Promise<Peer> {
  const early: Element[] = []
  const receiver = { take: (stanza: Element): void => void early.push(stanza) }
  const client = await Client.connect({
    domain: 'theirs.example',
    resource: 'r',
    connect: async () => connect(port, '127.0.0.1'),
    sasl: (names) =>
      clientMechanism(names, { authcid: 'bert', password: 'pencil', secure: false, mechanisms: ['SCRAM-SHA-1'] }),
    onStanza: (stanza) => receiver.take(stanza),
  })
  assert.equal(client.jid.bareString, address)
  const peer = new Peer(client)
  receiver.take = (stanza) => peer.take(stanza)
  for (const stanza of early) peer.take(stanza)
  await peer.roster()
  peer.send('<presence/>')
  await peer.request('get', `<ping xmlns='urn:xmpp:ping'/>`, 'theirs.example')
  peer.clear()
  return peer
}

/** Takes stanzas until all these have come, in whatever order. */
export async function see(peer: Peer, ...wanted: readonly string[]): Promise<void> {
  const missing = new Set(wanted)
  const seen: string[] = []
  await eventually(
    () => `${[...missing].join(', ')}; came: ${seen.join(', ')}`,
    () => {
      for (const stanza of peer.clear()) {
        seen.push(short(stanza))
        missing.delete(short(stanza))
      }
      return missing.size === 0 ? true : undefined
    },
  )
}
