// A connection as the bench's clients use it: lines and octets, awaited only where they are not there yet.

import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { once } from 'node:events'

/** Where the server is, and how to trust it. One secure context serves all connections. */
export interface Reach {
  readonly host: string
  readonly serverName: string
  readonly trust: SecureContext
}

export async function dial(reach: Reach, port: number, tls: boolean): Promise<Socket> {
  const { host, serverName, trust } = reach
  const socket = tls
    ? connectTls({ host, port, servername: serverName, secureContext: trust })
    : connectTcp({ host, port })
  socket.setNoDelay(true)
  await once(socket, tls ? 'secureConnect' : 'connect')
  // Whoever reads notices the end by 'close'.
  socket.on('error', () => {})
  return socket
}

const LF = 10
const EMPTY = Buffer.alloc(0)

export class Wire {
  readonly socket: Socket
  #unread: Buffer = EMPTY
  #wake: (() => void) | undefined
  #over = false
  /** Octets that nobody wants to see. */
  #skip = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      const rest = this.#skip === 0 ? chunk : chunk.subarray(this.#skip)
      this.#skip -= chunk.length - rest.length
      this.#unread = this.#unread.length === 0 ? rest : Buffer.concat([this.#unread, rest])
      this.#rouse()
    })
    socket.on('close', () => {
      this.#over = true
      this.#rouse()
    })
  }

  send(text: string | Uint8Array): void {
    this.socket.write(text)
  }

  /** A line that is here already, without its CRLF. */
  lineHere(): string | undefined {
    const end = this.#unread.indexOf(LF)
    if (end < 0) return undefined
    const line = this.#unread.toString('latin1', 0, end > 0 && this.#unread[end - 1] === 13 ? end - 1 : end)
    this.#unread = this.#unread.subarray(end + 1)
    return line
  }

  async line(): Promise<string> {
    for (;;) {
      const line = this.lineHere()
      if (line !== undefined) return line
      await this.#more()
    }
  }

  /** The next `count` octets. */
  async octets(count: number): Promise<Buffer> {
    while (this.#unread.length < count) await this.#more()
    const octets = this.#unread.subarray(0, count)
    this.#unread = this.#unread.subarray(count)
    return octets
  }

  /** Reads over the next `count` octets, and keeps none of them: many at once would be copied again with each piece that comes. */
  async skip(count: number): Promise<void> {
    const here = Math.min(count, this.#unread.length)
    this.#unread = this.#unread.subarray(here)
    this.#skip = count - here
    while (this.#skip > 0) await this.#more()
  }

  /** The server, or the network, has ended the connection. */
  get over(): boolean {
    return this.#over
  }

  close(): void {
    this.socket.destroy()
  }

  #rouse(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  #more(): Promise<void> {
    if (this.#over) return Promise.reject(new Error('the server closed the connection'))
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
