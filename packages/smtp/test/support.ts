// What the conversations of these tests have in common: a policy that remembers, a transcript cut in pieces.

import { duplexPair } from 'node:stream'
import {
  SmtpServer,
  type Connection,
  type Envelope,
  type MessageSource,
  type SessionHandler,
  type SmtpServerOptions,
  type Spool,
  type SpoolFile,
} from '../src/index.ts'
import { HandClock, PeerEnd } from '../src/testing/index.ts'

export interface Delivered {
  readonly envelope: Envelope
  readonly bytes: Buffer
  readonly header: string
}

/** All octets of a message, from wherever they are. */
export async function whole(body: MessageSource, from?: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body.chunks(from)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** A spool in memory that tells how many files are there, and fails when told to. */
export class MemorySpool implements Spool {
  files = 0
  written = 0
  /** Octets after which there is no room any more. */
  room = Infinity

  async create(): Promise<SpoolFile> {
    const pieces: Buffer[] = []
    let open = true
    this.files++
    return {
      write: async (octets) => {
        await new Promise<void>((resolve) => setImmediate(resolve))
        if (this.written + octets.length > this.room) throw new Error('no room')
        this.written += octets.length
        pieces.push(Buffer.from(octets))
      },
      end: async () => {},
      read: async function* (from, to) {
        if (!open) throw new Error('the file is gone')
        const all = Buffer.concat(pieces).subarray(from, to)
        for (let at = 0; at < all.length; at += 7000) yield all.subarray(at, at + 7000)
      },
      discard: async () => {
        if (open) this.files--
        open = false
      },
    }
  }
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
      data: async (envelope, body) => {
        delivered.push({ envelope, bytes: await whole(body), header: Buffer.from(body.header).toString('latin1') })
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
