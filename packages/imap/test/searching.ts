// What tests of searching, sorting and threading share: mail to search, and the answers of a server without their frame.

import type { TestContext } from 'node:test'
import type { ImapServerOptions, ImapServerSession } from '../src/index.ts'
import type { MemoryMail, MemoryMailOptions } from '../src/testing/index.ts'
import { type Wire, type World, world } from './harness.ts'

export interface Mail {
  /** Header lines and the body, of which the body may be left out. */
  readonly header: readonly string[]
  readonly body?: string
  readonly flags?: readonly string[]
  /** Milliseconds since the epoch, and minutes east of UTC. */
  readonly date?: number
  readonly zone?: number
}

/** Appends messages to a mailbox, through the store. */
export async function put(mail: MemoryMail, messages: readonly Mail[], mailbox = 'INBOX'): Promise<void> {
  const account = mail.open()
  await account.append(
    mailbox,
    messages.map(({ header, body = 'body\r\n', flags = [], date, zone }) => ({
      bytes: Buffer.from(`${header.join('\r\n')}\r\n\r\n${body}`),
      flags,
      ...(date === undefined ? {} : { internalDate: date }),
      ...(zone === undefined ? {} : { zone }),
    })),
  )
  account.close()
}

export interface Room {
  readonly mail: MemoryMail
  readonly wire: Wire
  /** The server's side of `wire`. */
  readonly session: ImapServerSession
  readonly log: World['log']
  /** Sends a command and answers what is said, without the tagged line where that is OK. */
  say(command: string): Promise<string>
  /** The same for another client, logged in, with INBOX selected. */
  other(): Promise<(command: string) => Promise<string>>
}

/** A client with INBOX selected. */
export async function room(
  t: TestContext,
  messages: readonly Mail[],
  mailOptions: MemoryMailOptions = {},
  options: Partial<ImapServerOptions> = {},
): Promise<Room> {
  const { mail, wire: connect, sessions, log } = await world(t, mailOptions, options)
  if (messages.length > 0) await put(mail, messages)
  const client = async (): Promise<{ wire: Wire; say: (command: string) => Promise<string> }> => {
    const wire = await connect()
    await wire.login()
    await wire.ask('s SELECT INBOX')
    let tag = 0
    return {
      wire,
      say: async (command) => {
        const said = await wire.ask(`a${++tag} ${command}`)
        return said.replace(/a\d+ OK [^\r\n]*\r\n$/, '').trimEnd()
      },
    }
  }
  const { wire, say } = await client()
  const session = sessions[0]
  if (session === undefined) throw new Error('no session')
  return { mail, wire, session, log, say, other: async () => (await client()).say }
}
