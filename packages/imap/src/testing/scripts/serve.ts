// A mail store behind the library's server, for scripts.

import { connect, createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { MailAccount } from '../../backend.ts'
import { ImapServerSession } from '../../server/session.ts'
import type { ScriptedServer } from './declare.ts'
import type { ScriptServer } from './run.ts'

/** A server that listens somewhere, without TLS. */
export const serverAt = (host: string, port: number, user: string, password: string): ScriptServer => ({
  user,
  password,
  async connect() {
    const socket = connect(port, host)
    await once(socket, 'connect')
    return socket
  },
})

/** What the server offers. */
export interface ServeOptions {
  /** Called when all sessions have ended. */
  readonly close?: () => Promise<void> | void
  /** What the story wants of the server, beside its store. */
  readonly settings?: ReadonlyMap<string, string>
  /** The store's clock, milliseconds since the epoch. Default `Date.now`. */
  readonly date?: () => number
}

/** Serves one account on a port of loopback. `open` opens it as one more session does. */
export async function serveAccount(
  open: () => Promise<MailAccount>,
  options: ServeOptions = {},
): Promise<ScriptedServer> {
  const [user, password] = ['anna', 'secret'] as const
  const sessions: ImapServerSession[] = []
  const { settings = new Map<string, string>() } = options
  const [watched, messageLimit] = [settings.get('watched'), settings.get('message-limit')]
  const server = createServer((socket) => {
    const session = new ImapServerSession(socket, {
      hostname: 'mail.example.org',
      login: async (name, given) =>
        name === user && given === password ? { authcid: name, authzid: name } : undefined,
      open,
      literalMinus: settings.has('literal-minus'),
      limits: {
        ...(watched === undefined ? {} : { watched: Number(watched) }),
        ...(messageLimit === undefined ? {} : { messageLimit: Number(messageLimit) }),
      },
      ...(options.date ? { date: options.date } : {}),
    })
    sessions.push(session)
    void session.start()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ...serverAt('127.0.0.1', port, user, password),
    async close() {
      server.close()
      await Promise.all(sessions.map((session) => session.closed))
      await options.close?.()
    },
  }
}
