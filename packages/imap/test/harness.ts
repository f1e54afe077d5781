// A server on a real socket with mail in memory, and ways to talk to it.

import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { ImapClient, ImapServerSession, type ImapServerOptions } from '../src/index.ts'
import { MemoryMail, type MemoryMailOptions } from '../src/testing/index.ts'

export interface World {
  readonly mail: MemoryMail
  readonly port: number
  readonly sessions: ImapServerSession[]
  readonly log: { event: string; fields: Readonly<Record<string, unknown>> }[]
  /** A client that has heard the greeting. */
  client(): Promise<ImapClient>
  /** A client logged in as anna. */
  user(): Promise<ImapClient>
  /** A bare connection. */
  wire(): Promise<Wire>
  connect(): Promise<Socket>
}

export async function world(
  t: TestContext,
  mailOptions: MemoryMailOptions = {},
  options: Partial<ImapServerOptions> = {},
): Promise<World> {
  const mail = new MemoryMail({ name: 'anna', now: () => Date.UTC(2026, 1, 3, 10, 0, 0), ...mailOptions })
  const sessions: ImapServerSession[] = []
  const log: World['log'] = []
  const server = createServer((socket) => {
    const session = new ImapServerSession(socket, {
      hostname: 'mail.example.org',
      login: async (user, password) =>
        user === 'anna' && password === 'secret' ? { authcid: user, authzid: user } : undefined,
      open: async () => mail.open(),
      log: (event, fields) => log.push({ event, fields }),
      ...options,
    })
    sessions.push(session)
    session.start()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const sockets: Socket[] = []
  const open = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket))
      socket.on('error', reject)
      sockets.push(socket)
    })
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await Promise.all(sessions.map((session) => session.closed))
    server.close()
  })
  const client = async (): Promise<ImapClient> => {
    const one = new ImapClient(await open())
    await one.greeting
    return one
  }
  return {
    mail,
    port,
    sessions,
    log,
    client,
    connect: open,
    user: async () => {
      const one = await client()
      await one.login('anna', 'secret')
      return one
    },
    wire: async () => new Wire(await open()),
  }
}

/** Text in, text out. */
export class Wire {
  readonly socket: Socket
  #text = ''
  #closed = false
  #check: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1')
      this.#check?.()
    })
    const end = (): void => {
      this.#closed = true
      this.#check?.()
    }
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', end)
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, 'latin1'))
  }

  /** Everything heard up to the line that begins with `start`, and forgets it. */
  async until(start: string): Promise<string> {
    for (;;) {
      const at = this.#text.startsWith(start) ? 0 : this.#text.indexOf(`\n${start}`) + 1
      const end = at > 0 || this.#text.startsWith(start) ? this.#text.indexOf('\r\n', at) : -1
      if (end >= 0) {
        const heard = this.#text.slice(0, end + 2)
        this.#text = this.#text.slice(end + 2)
        return heard
      }
      if (this.#closed) throw new Error(`closed before ${JSON.stringify(start)}; heard ${JSON.stringify(this.#text)}`)
      await this.#more()
    }
  }

  /** Everything up to the end of the connection. */
  async rest(): Promise<string> {
    while (!this.#closed) await this.#more()
    return this.#text
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#check = resolve))
  }

  /** Sends a command and answers what is said up to its tagged response. */
  async ask(command: string): Promise<string> {
    const tag = command.split(' ')[0] ?? ''
    this.send(`${command}\r\n`)
    return this.until(`${tag} `)
  }

  async login(): Promise<void> {
    await this.until('* OK')
    await this.ask('l LOGIN anna secret')
  }
}

export const MESSAGE = Buffer.from(
  'From: Anna <anna@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: Hello there\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\n' +
    'Message-ID: <1@example.org>\r\n\r\nGood morning\r\n',
)

/** Appends `count` messages with subjects 1, 2, ... to a mailbox, through the store. */
export async function fill(
  mail: MemoryMail,
  count: number,
  mailbox = 'INBOX',
  flags: readonly string[] = [],
): Promise<void> {
  const account = mail.open()
  const bytes = (i: number): Buffer => Buffer.from(`Subject: ${i}\r\nFrom: a@b.example\r\n\r\nbody ${i}\r\n`)
  await account.append(
    mailbox,
    Array.from({ length: count }, (_, i) => ({ bytes: bytes(i + 1), flags })),
  )
  account.close()
}
