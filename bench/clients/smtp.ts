// RFC 5321: a client that sends as fast as one connection can, with its envelope in one packet (RFC 2920).

import { dial, type Reach, Wire } from './wire.ts'

export class SmtpClient {
  readonly #wire: Wire

  private constructor(wire: Wire) {
    this.#wire = wire
  }

  static async connect(reach: Reach, port: number): Promise<SmtpClient> {
    const client = new SmtpClient(new Wire(await dial(reach, port, false)))
    await client.#reply('220')
    client.#wire.send('EHLO bench.example\r\n')
    await client.#reply('250')
    return client
  }

  /** Resolves when the server has answered 250 for the mail. `message` has CRLF line ends, is dot-stuffed and ends with CRLF. */
  async send(from: string, to: string, message: Buffer): Promise<void> {
    this.#wire.send(`MAIL FROM:<${from}>\r\nRCPT TO:<${to}>\r\nDATA\r\n`)
    await this.#reply('250')
    await this.#reply('250')
    await this.#reply('354')
    this.#wire.socket.cork()
    this.#wire.send(message)
    this.#wire.send('.\r\n')
    this.#wire.socket.uncork()
    await this.#reply('250')
  }

  async quit(): Promise<void> {
    this.#wire.send('QUIT\r\n')
    await this.#reply('221')
    this.#wire.close()
  }

  async #reply(expected: string): Promise<void> {
    for (;;) {
      const line = await this.#wire.line()
      if (line[3] === '-') continue
      if (!line.startsWith(expected)) throw new Error(`SMTP: expected ${expected}, found: ${line}`)
      return
    }
  }
}
