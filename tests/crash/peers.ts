// Clients of a server under test, and the mail that they send.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { ImapClient } from '@aviso/imap'
import { clientMechanism } from '@aviso/sasl'
import { SmtpClient } from '@aviso/smtp'
import { Client, type Element } from '@aviso/xmpp'
import { DOMAIN, PASSWORD, type Ports } from './server.ts'

/** A number in [0, 1) after the other, the same again for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const pick = <T>(random: () => number, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
export const between = (random: () => number, least: number, most: number): number =>
  least + Math.floor(random() * (most - least + 1))

export const digest = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex')

/** A mail of about `size` octets that nothing can compress; its name is its subject. */
export function mailOf(name: string, size: number, from: string, to: readonly string[]): Buffer {
  const head = [
    `From: <${from}>`,
    `To: ${to.map((address) => `<${address}>`).join(', ')}`,
    `Subject: ${name}`,
    `Message-ID: <${name}@crash.example>`,
    'Date: Sun, 22 Nov 2026 12:00:00 +0000',
    'MIME-Version: 1.0',
    'Content-Type: text/plain',
    '',
    '',
  ].join('\r\n')
  const text = randomBytes(Math.max(1, Math.ceil(((size - head.length) * 3) / 4))).toString('base64')
  const lines: string[] = []
  for (let at = 0; at < text.length; at += 76) lines.push(text.slice(at, at + 76))
  return Buffer.from(`${head}${lines.join('\r\n')}\r\n`, 'latin1')
}

/** The subject of a mail, or what stands in its place. */
export const subjectOf = (octets: Buffer): string => /^Subject: (.*)\r$/m.exec(octets.toString('latin1'))?.[1] ?? '?'

/** Connected, and harmless when the other side goes. */
export async function dial(port: number, localAddress?: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', ...(localAddress === undefined ? {} : { localAddress }) })
  await once(socket, 'connect')
  socket.on('error', () => {})
  socket.setNoDelay(true)
  return socket
}

export const openSmtp = async (port: number, chunking = true): Promise<SmtpClient> => {
  const socket = await dial(port)
  return SmtpClient.open({ connect: () => socket, name: 'peer.example', chunking })
}

/** Logged in for submission. */
export async function openSubmission(ports: Ports, address: string): Promise<SmtpClient> {
  const client = await openSmtp(ports.submission)
  const mechanism = clientMechanism(client.extensions.get('AUTH') ?? [], {
    authcid: address,
    password: PASSWORD,
    secure: true,
    mechanisms: ['PLAIN'],
  })
  if (mechanism === undefined) throw new Error('submission offers no PLAIN')
  await client.authenticate(mechanism)
  return client
}

export async function openImap(ports: Ports, address: string): Promise<ImapClient> {
  const client = new ImapClient(await dial(ports.imap))
  await client.greeting
  await client.login(address, PASSWORD)
  return client
}

export async function openXmpp(
  ports: Ports,
  address: string,
  resource: string,
  onStanza: (stanza: Element) => void,
): Promise<Client> {
  const socket = await dial(ports.xmpp)
  return Client.connect({
    domain: DOMAIN,
    resource,
    connect: async () => socket,
    secure: true,
    sasl: (offer) =>
      clientMechanism(offer, {
        authcid: address.slice(0, address.indexOf('@')),
        password: PASSWORD,
        secure: true,
        mechanisms: ['SCRAM-SHA-256', 'SCRAM-SHA-1'],
      }),
    onStanza,
  })
}

/** As `dial`, with TLS from the start; whose certificate that is does not matter here. */
export async function dialTls(port: number): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  socket.on('error', () => {})
  return socket
}

/** A conversation by hand: octets out, and whatever comes back as Latin-1 text. */
export class Talk {
  readonly socket: Socket
  /** What came since the last `say`. */
  heard = ''
  over = false
  #wake: () => void = () => {}

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (octets: Buffer) => {
      this.heard += octets.toString('latin1')
      this.#wake()
    })
    const over = (): void => {
      this.over = true
      this.#wake()
    }
    socket.on('end', over).on('close', over).on('error', over)
  }

  static open = async (port: number, localAddress?: string): Promise<Talk> => new Talk(await dial(port, localAddress))
  static openTls = async (port: number): Promise<Talk> => new Talk(await dialTls(port))

  /** Sends and waits for the answer that is expected; the end of the connection ends the wait too. */
  async say(octets: string | Uint8Array, answer: RegExp): Promise<string> {
    this.heard = ''
    this.socket.write(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets)
    return this.hear(answer)
  }

  async hear(answer: RegExp, ms = 15_000): Promise<string> {
    await this.#until(ms, () => answer.test(this.heard) || this.over)
    if (!answer.test(this.heard))
      throw new Error(`expected ${String(answer)}, heard ${JSON.stringify(this.heard.slice(-2000))}`)
    return this.heard
  }

  /** Resolves when the server has ended the connection. */
  async ended(ms = 15_000): Promise<void> {
    await this.#until(ms, () => this.over)
    if (!this.over)
      throw new Error(`the server did not end the connection; heard ${JSON.stringify(this.heard.slice(-500))}`)
  }

  close(): void {
    this.socket.destroy()
  }

  async #until(ms: number, done: () => boolean): Promise<void> {
    const end = Date.now() + ms
    while (!done() && Date.now() < end)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, end - Date.now()))
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
  }
}
