// RFC 9051: a client that sends commands and counts what comes back, without understanding it.

import type { Logins } from './logins.ts'
import { dial, type Reach, Wire } from './wire.ts'

/** Sees every untagged line: its text up to the first literal, and the octets of all its literals. */
export type Untagged = (line: string, literalOctets: number) => void

const LITERAL = /\{(\d+)\}$/

export class ImapClient {
  readonly #wire: Wire
  #tag = 0

  private constructor(wire: Wire) {
    this.#wire = wire
  }

  /** Connects over TLS and logs in. */
  static async connect(reach: Reach, port: number, logins: Logins, user: string): Promise<ImapClient> {
    const client = new ImapClient(new Wire(await dial(reach, port, true)))
    const greeting = await client.#wire.line()
    if (!greeting.startsWith('* OK')) throw new Error(`IMAP: expected a greeting, found: ${greeting}`)
    await client.#authenticate(logins, user)
    return client
  }

  /** Runs a command; rejects unless it is answered OK. */
  async command(text: string | Uint8Array, untagged?: Untagged): Promise<void> {
    await this.commands([text], untagged)
  }

  /** Sends commands in one go and waits until the last one is answered; rejects unless all are answered OK. */
  async commands(texts: readonly (string | Uint8Array)[], untagged?: Untagged): Promise<void> {
    this.#wire.socket.cork()
    for (const text of texts) {
      this.#wire.send(`b${++this.#tag} `)
      this.#wire.send(text)
      this.#wire.send('\r\n')
    }
    this.#wire.socket.uncork()
    for (let waiting = texts.length; waiting > 0;) {
      let line = this.#wire.lineHere() ?? (await this.#wire.line())
      if (line.startsWith('b')) {
        if (!/^b\d+ OK/.test(line)) throw new Error(`IMAP: ${line}`)
        waiting--
        continue
      }
      const first = line
      let octets = 0
      for (let literal = LITERAL.exec(line); literal !== null; literal = LITERAL.exec(line)) {
        const count = Number(literal[1])
        await this.#wire.skip(count)
        octets += count
        line = await this.#wire.line()
      }
      untagged?.(first, octets)
    }
  }

  /** How many messages a mailbox has. */
  async count(mailbox: string): Promise<number> {
    let count = NaN
    await this.command(`STATUS ${mailbox} (MESSAGES)`, (line) => {
      const found = /\bMESSAGES (\d+)/.exec(line)
      if (found !== null) count = Number(found[1])
    })
    return count
  }

  /** Begins to wait for news (RFC 2177). Nothing else can be asked then. */
  async idle(): Promise<void> {
    this.#wire.send(`b${++this.#tag} IDLE\r\n`)
    for (;;) if ((await this.#wire.line()).startsWith('+')) return
  }

  get over(): boolean {
    return this.#wire.over
  }

  close(): void {
    this.#wire.close()
  }

  async #authenticate(logins: Logins, user: string): Promise<void> {
    const mechanism = logins.begin(['SCRAM-SHA-256'], user)
    const initial = await mechanism.start()
    const tag = `b${++this.#tag}`
    this.#wire.send(`${tag} AUTHENTICATE ${mechanism.name} ${base64(initial ?? new Uint8Array())}\r\n`)
    let verified = false
    for (;;) {
      const line = await this.#wire.line()
      if (line.startsWith('+')) {
        const challenge = Buffer.from(line.slice(1).trim(), 'base64')
        // The server's signature comes as a challenge that is answered with nothing (RFC 5802 §3, RFC 4422 §3.6).
        verified = challenge.toString('latin1').startsWith('v=')
        if (verified) await mechanism.success(challenge)
        this.#wire.send(`${verified ? '' : base64(await mechanism.next(challenge))}\r\n`)
      } else if (line.startsWith(tag)) {
        if (!line.startsWith(`${tag} OK`) || !verified) throw new Error(`IMAP: ${line}`)
        return
      }
    }
  }
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')
