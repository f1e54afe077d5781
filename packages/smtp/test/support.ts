// What the conversations of these tests have in common: a policy that remembers, a transcript cut in pieces.

import { duplexPair } from 'node:stream'
import {
  SmtpServer,
  type Connection,
  type Envelope,
  type SessionHandler,
  type SmtpServerOptions,
} from '../src/index.ts'
import { HandClock, PeerEnd } from '../src/testing/index.ts'

export interface Delivered {
  readonly envelope: Envelope
  readonly bytes: Buffer
}

/** A server whose policy takes everything and remembers it, unless told otherwise. */
export function recordingServer(
  options: Partial<SmtpServerOptions> & { readonly policy?: Partial<SessionHandler> } = {},
): {
  server: SmtpServer
  delivered: Delivered[]
  events: string[]
  errors: unknown[]
  connect(connection?: Connection): PeerEnd
} {
  const delivered: Delivered[] = []
  const events: string[] = []
  const errors: unknown[] = []
  const { policy, ...rest } = options
  const server = new SmtpServer({
    kind: 'smtp',
    hostname: 'mx.example.org',
    clock: new HandClock(),
    onError: (error) => errors.push(error),
    ...rest,
    handler: (session) => ({
      mail: () => {},
      rcpt: () => {},
      data: (envelope, body) => {
        delivered.push({ envelope, bytes: Buffer.from(body.bytes) })
      },
      reset: () => void events.push('reset'),
      close: () => void events.push('close'),
      ...policy,
      ...rest.handler?.(session),
    }),
  })
  return {
    server,
    delivered,
    events,
    errors,
    connect(connection) {
      const [ours, theirs] = duplexPair()
      server.accept(ours, connection)
      return new PeerEnd(theirs)
    },
  }
}

/** Sends a whole transcript in pieces and returns all that the server said until it closed. */
export async function transcript(peer: PeerEnd, octets: Buffer, cuts: readonly number[]): Promise<string> {
  let from = 0
  for (const cut of [...cuts, octets.length]) {
    if (cut > from && !peer.ended) {
      peer.stream.write(octets.subarray(from, cut))
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    from = cut
  }
  return peer.end()
}
