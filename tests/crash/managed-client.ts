// A chat client with stream management (XEP-0198) that keeps its stream over connections, and counts.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { DEFAULT_PARSER_LIMITS, el, type Element, NS, StreamParser, streamHeader } from '@aviso/xmpp'
import { dial } from './peers.ts'
import { DOMAIN, PASSWORD, type Ports } from './server.ts'

const SM = NS.streamManagement

/** What became of the attempt to go on. */
export type Outcome = 'new' | 'resumed' | 'failed'

export class ManagedClient {
  readonly address: string
  /** Bodies of the messages that came, in order. */
  readonly received: string[] = []
  /** Names of messages that the server has taken upon itself. */
  readonly acknowledged = new Set<string>()
  /** Answers that nobody should have got. */
  readonly complaints: string[] = []
  #socket: Socket | undefined
  #parser: StreamParser | undefined
  /** To go on by; ''. */
  #id = ''
  #counting = false
  #handled = 0
  #sent: { readonly name: string; readonly xml: string }[] = []
  #confirmed = 0
  #onElement: ((element: Element) => boolean) | undefined
  #onProgress: () => void = () => {}

  constructor(address: string) {
    this.address = address
  }

  get connected(): boolean {
    return this.#socket?.destroyed === false
  }

  /** Logs in, goes on where it was if the server lets it, and is available. Rejects when the connection breaks. */
  async connect(ports: Ports): Promise<Outcome> {
    const socket = await dial(ports.xmpp)
    this.#socket = socket
    this.#counting = false
    socket.on('data', (octets: Buffer) => this.#parser?.write(octets))
    socket.on('close', () => this.#onProgress())
    await this.#restart()
    const local = this.address.slice(0, this.address.indexOf('@'))
    const initial = Buffer.from(`\0${local}\0${PASSWORD}`).toString('base64')
    await this.#ask(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${initial}</auth>`, 'success')
    await this.#restart()
    let outcome: Outcome = 'new'
    if (this.#id !== '') {
      const answer = await this.#ask(
        `<resume xmlns='${SM}' previd='${this.#id}' h='${this.#handled}'/>`,
        'resumed',
        'failed',
      )
      if (answer.name === 'resumed') {
        this.#acknowledge(answer)
        const again = this.#sent
        this.#write(again.map(({ xml }) => xml).join(''))
        this.#request()
        return 'resumed'
      }
      // After a crash nothing is known of the stream: what was not acknowledged may be there or not.
      if (answer.get('h') !== undefined) this.complaints.push(`${this.address}: ${answer.toString()}`)
      outcome = 'failed'
    }
    await this.#ask(`<iq type='set' id='bind'><bind xmlns='${NS.bind}'><resource>managed</resource></bind></iq>`, 'iq')
    this.#sent = []
    this.#confirmed = 0
    const enabled = await this.#ask(`<enable xmlns='${SM}' resume='true'/>`, 'enabled')
    this.#id = enabled.get('id') ?? ''
    this.#send('', '<presence/>')
    this.#request()
    return outcome
  }

  /** Sends messages, and asks for the acknowledgement. */
  send(messages: readonly { readonly name: string; readonly to: string }[], type: 'chat' | 'groupchat' = 'chat'): void {
    for (const { name, to } of messages)
      this.#send(name, el('message', { type, to, id: name }, el('body', {}, name)).toString(NS.client))
    this.#request()
  }

  /** Sends presence to somebody, such as a room to be entered. */
  direct(to: string, content: Element): void {
    this.#send('', el('presence', { to }, content).toString(NS.client))
    this.#request()
  }

  /** Resolves when everything that was sent is acknowledged, or the connection is over. */
  async settled(): Promise<void> {
    while (this.connected && this.#sent.length > 0) await new Promise<void>((resolve) => (this.#onProgress = resolve))
  }

  /** Breaks the connection without a word. */
  async drop(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined || socket.destroyed) return
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
  }

  #send(name: string, xml: string): void {
    this.#sent.push({ name, xml })
    this.#write(xml)
  }

  #request(): void {
    this.#write(`<r xmlns='${SM}'/>`)
  }

  #write(xml: string): void {
    this.#socket?.write(xml)
  }

  /** Opens the stream (anew), and waits for what it offers. */
  async #restart(): Promise<void> {
    this.#parser = new StreamParser(
      {
        streamStart: () => {},
        element: (element) => this.#take(element),
        streamEnd: () => this.#socket?.end(),
        error: (error) => {
          this.complaints.push(`${this.address}: ${error.message}`)
          this.#socket?.destroy()
        },
      },
      DEFAULT_PARSER_LIMITS,
    )
    await this.#ask(streamHeader({ namespace: NS.client, to: DOMAIN }), 'features')
  }

  /** Resolves with the first element of one of these names. */
  #ask(xml: string, ...names: readonly string[]): Promise<Element> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error(`${this.address}: the connection is over`))
      this.#socket?.once('close', gone)
      this.#onElement = (element) => {
        if (!names.includes(element.name)) return false
        this.#onElement = undefined
        this.#socket?.off('close', gone)
        // What counts begins behind these.
        if (element.name === 'enabled') this.#handled = 0
        if (element.name === 'enabled' || element.name === 'resumed') this.#counting = true
        resolve(element)
        return true
      }
      this.#write(xml)
    })
  }

  #take(element: Element): void {
    if (this.#onElement?.(element) === true) return
    switch (element.name) {
      case 'r':
        return this.#write(`<a xmlns='${SM}' h='${this.#handled}'/>`)
      case 'a':
        return this.#acknowledge(element)
      case 'message':
      case 'presence':
      case 'iq': {
        if (this.#counting) this.#handled++
        const body = element.childText('body')
        if (element.get('type') === 'error') this.complaints.push(`${this.address}: ${element.toString()}`)
        else if (element.name === 'message' && body !== undefined) this.received.push(body)
        return this.#onProgress()
      }
      default:
    }
  }

  #acknowledge(element: Element): void {
    const h = Number(element.get('h'))
    for (; this.#confirmed < h; this.#confirmed++) {
      const name = this.#sent.shift()?.name
      if (name === undefined) this.complaints.push(`${this.address}: ${h} acknowledged, ${this.#confirmed} sent`)
      else if (name !== '') this.acknowledged.add(name)
    }
    this.#onProgress()
  }
}
