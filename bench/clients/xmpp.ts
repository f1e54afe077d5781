// RFC 6120: a chat session that is fast because it looks for a few words instead of parsing XML.

import type { Duplex } from 'node:stream'
import type { Logins } from './logins.ts'
import { openWebSocket } from './websocket.ts'
import { dial, type Reach } from './wire.ts'

/** What carries a stream, and how it is opened (RFC 6120 §4.7, RFC 7395 §3.4). */
interface Carrier {
  readonly socket: Duplex
  readonly opening: (domain: string) => string
  /** What stands in the element of a stanza that stands alone. */
  readonly namespace: string
}

export class XmppClient {
  readonly socket: Duplex
  readonly #carrier: Carrier
  jid = ''
  /** What the server offered after the login. */
  features = ''
  /** All that has come while logging in and was not looked at yet. */
  #received = ''
  #wake: (() => void) | undefined
  #over = false
  #online: ((text: string) => void) | undefined

  private constructor(carrier: Carrier) {
    const { socket } = carrier
    this.#carrier = carrier
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      const text = chunk.toString('latin1')
      if (this.#online !== undefined) return this.#online(text)
      this.#received += text
      this.#rouse()
    })
    socket.on('close', () => {
      this.#over = true
      this.#rouse()
    })
  }

  /** Connects with TLS from the start (XEP-0368), logs in and binds a resource of the server's choice. No presence is sent. */
  static async connect(reach: Reach, port: number, domain: string, logins: Logins, user: string): Promise<XmppClient> {
    const socket = await dial(reach, port, true)
    const opening = (to: string): string =>
      `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`
    return XmppClient.#login({ socket, opening, namespace: '' }, domain, logins, user)
  }

  /** The same over a WebSocket. */
  static async overWeb(reach: Reach, port: number, domain: string, logins: Logins, user: string): Promise<XmppClient> {
    const socket = await openWebSocket(reach, port, '/xmpp-websocket', 'xmpp')
    const opening = (to: string): string =>
      `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${to}' version='1.0'/>`
    return XmppClient.#login({ socket, opening, namespace: " xmlns='jabber:client'" }, domain, logins, user)
  }

  static async #login(carrier: Carrier, domain: string, logins: Logins, user: string): Promise<XmppClient> {
    const client = new XmppClient(carrier)
    await client.#open(domain)
    const mechanism = logins.begin(['SCRAM-SHA-1'], user)
    const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
    const initial = base64((await mechanism.start()) ?? new Uint8Array())
    client.send(`<auth xmlns='${sasl}' mechanism='${mechanism.name}'>${initial}</auth>`)
    const challenge = await client.#until(/<challenge[^>]*>([^<]*)<\/challenge>/)
    client.send(
      `<response xmlns='${sasl}'>${base64(await mechanism.next(Buffer.from(challenge, 'base64')))}</response>`,
    )
    await mechanism.success(Buffer.from(await client.#until(/<success[^>]*>([^<]*)<\/success>/), 'base64'))
    await client.#open(domain)
    client.send(`<iq${carrier.namespace} type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`)
    client.jid = await client.#until(/<jid>([^<]*)<\/jid>/)
    return client
  }

  send(text: string): void {
    this.socket.write(text)
  }

  /** Hands everything that comes from now on to `take`. */
  listen(take: (text: string) => void): void {
    this.#online = take
    const rest = this.#received
    this.#received = ''
    if (rest !== '') take(rest)
  }

  /** What a stanza that is sent has to name. */
  get namespace(): string {
    return this.#carrier.namespace
  }

  /** The server, or the network, has ended the session. */
  get over(): boolean {
    return this.#over
  }

  close(): void {
    this.socket.destroy()
  }

  async #open(domain: string): Promise<void> {
    this.#received = ''
    this.send(this.#carrier.opening(domain))
    this.features = await this.#until(/<stream:features[^>]*>(.*?)<\/stream:features>/s)
  }

  /** What the pattern's first group matches, once it does; everything up to its end has been read then. */
  async #until(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#received)
      if (match !== null) {
        this.#received = this.#received.slice(match.index + match[0].length)
        return match[1] ?? ''
      }
      if (/<failure|<stream:error/.test(this.#received) || this.#over)
        throw new Error(`XMPP: ${this.#received || 'closed'}`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #rouse(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')
