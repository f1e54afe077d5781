// A server's stream with a peer, and what tests of it say and hear.

import assert from 'node:assert/strict'
import type { Failure, ServerMechanism, ServerStep } from '@aviso/sasl'
import {
  Jid,
  NS,
  ServerStream,
  StreamError,
  type CloseReason,
  type Element,
  type ServerStreamHandlers,
  type ServerStreamOptions,
} from '../src/index.ts'
import { HandTimers, RawPeer, memorySockets } from '../src/testing/index.ts'

/** PLAIN with the password "secret", and a mechanism of two rounds. */
class TestMechanism implements ServerMechanism {
  readonly name: ServerMechanism['name']

  constructor(name: ServerMechanism['name']) {
    this.name = name
  }

  async start(initial: Uint8Array | undefined): Promise<ServerStep> {
    return initial === undefined ? { kind: 'challenge', data: new Uint8Array() } : this.next(initial)
  }

  async next(response: Uint8Array): Promise<ServerStep> {
    const text = Buffer.from(response).toString()
    if (this.name === 'SCRAM-SHA-1' && text === 'first') return { kind: 'challenge', data: Buffer.from('go on') }
    if (this.name === 'SCRAM-SHA-1' && text === '') {
      return { kind: 'success', data: new Uint8Array(), identity: { authcid: 'anna@a.example', authzid: undefined } }
    }
    const [, user, password] = text.split('\0')
    if (password !== 'secret') return { kind: 'failure', condition: 'not-authorized', text: 'wrong' }
    return { kind: 'success', identity: { authcid: `${user}@a.example`, authzid: undefined } }
  }

  abort(): Failure {
    return { kind: 'failure', condition: 'aborted', text: '' }
  }
}

/** A stream of ours and the peer at its other end. */
export interface House {
  readonly peer: RawPeer
  readonly stream: ServerStream
  readonly timers: HandTimers
  readonly stanzas: Element[]
  readonly closed: CloseReason[]
}

export function house(options: Partial<ServerStreamOptions> = {}, handlers: Partial<ServerStreamHandlers> = {}): House {
  const [ours, theirs] = memorySockets()
  const timers = new HandTimers()
  const stanzas: Element[] = []
  const closed: CloseReason[] = []
  const stream = new ServerStream(
    {
      socket: options.socket ?? ours,
      secure: true,
      defaultHost: 'a.example',
      streamId: counter(),
      timers,
      ...options,
    },
    {
      isServed: (host) => host === 'a.example',
      mechanisms: () => ['SCRAM-SHA-1', 'PLAIN'],
      begin: (name) => (name === 'PLAIN' || name === 'SCRAM-SHA-1' ? new TestMechanism(name) : undefined),
      bind: (resource, bound) => Jid.parse(`${bound.identity?.authcid}/${resource ?? 'made'}`),
      stanza: (stanza) => void stanzas.push(stanza),
      closed: (reason) => closed.push(reason),
      ...handlers,
    },
  )
  return { peer: new RawPeer(theirs), stream, timers, stanzas, closed }
}

function counter(): () => string {
  let last = 0
  return () => `s${++last}`
}

export const PLAIN_ANNA = `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from('\0anna\0secret').toString('base64')}</auth>`

export async function opened(peer: RawPeer, attributes?: string): Promise<Element> {
  peer.open(attributes)
  await peer.header()
  return peer.element()
}

export async function loggedIn(peer: RawPeer): Promise<void> {
  await opened(peer)
  peer.send(PLAIN_ANNA)
  assert.equal((await peer.element()).name, 'success')
  await opened(peer)
  peer.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>desk</resource></bind></iq>`)
  assert.equal((await peer.element()).get('type'), 'result')
}

/** The stream error that comes next, with the end of stream and connection behind it. */
export async function streamError(peer: RawPeer): Promise<StreamError> {
  const error = StreamError.from(await peer.element())
  assert.equal((await peer.next()).kind, 'end')
  assert.equal((await peer.next()).kind, 'disconnected')
  return error
}

export function condition(reason: CloseReason | undefined): string | undefined {
  return reason?.error instanceof StreamError ? reason.error.condition : undefined
}
