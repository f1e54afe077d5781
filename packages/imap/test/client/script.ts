// A server that is played by the test, line by line, and a clock that is turned by hand.

import assert from 'node:assert/strict'
import { type Duplex, duplexPair } from 'node:stream'
import type { TestContext } from 'node:test'
import { type ClientClock, type ClientOptions, connectImap, type ImapClientSession } from '../../src/index.ts'

export class ScriptedServer {
  readonly socket: Duplex
  #text = ''
  #ended = false
  #wake: (() => void) | undefined

  constructor(socket: Duplex) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      this.#wake?.()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', end)
  }

  send(...lines: readonly string[]): void {
    this.socket.write(Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'latin1'))
  }

  /** The next line of the client. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        return line
      }
      if (this.#ended) throw new Error(`the client has closed; heard ${JSON.stringify(this.#text)}`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async octets(count: number): Promise<string> {
    while (this.#text.length < count) {
      if (this.#ended) throw new Error('the client has closed')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    const octets = this.#text.slice(0, count)
    this.#text = this.#text.slice(count)
    return octets
  }

  /** Waits for this command and answers its tag. */
  async command(text: string | RegExp): Promise<string> {
    const line = await this.line()
    const space = line.indexOf(' ')
    if (typeof text === 'string') assert.equal(line.slice(space + 1), text)
    else assert.match(line.slice(space + 1), text)
    return line.slice(0, space)
  }

  /** Waits for this command, says these untagged lines and OK. */
  async answer(text: string | RegExp, lines: readonly string[] = [], end = 'OK Done'): Promise<void> {
    const tag = await this.command(text)
    this.send(...lines, `${tag} ${end}`)
  }

  /** Resolves when the client has gone. */
  async gone(): Promise<void> {
    while (!this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** What the client has said and nobody has read yet, once it had every chance to. */
  async silence(): Promise<string> {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
    return this.#text
  }
}

/** Both ends of a connection; the client's options for it. */
export function pair(t: TestContext): { server: ScriptedServer; options: ClientOptions } {
  const [ours, theirs] = duplexPair()
  const server = new ScriptedServer(theirs)
  t.after(() => {
    ours.destroy()
    theirs.destroy()
  })
  return {
    server,
    options: { host: 'mail.example.org', tls: 'none', id: false, enable: [], compress: false, dial: async () => ours },
  }
}

/** A session that is logged in with a server that offers these capabilities. */
export async function scripted(
  t: TestContext,
  capabilities = '',
  more: Partial<ClientOptions> = {},
): Promise<{ server: ScriptedServer; session: ImapClientSession }> {
  const { server, options } = pair(t)
  server.send(`* PREAUTH [CAPABILITY IMAP4rev1 ${capabilities}] Hello`)
  const session = await connectImap({ ...options, ...more })
  t.after(() => session.close())
  return { server, session }
}

/** Waits for SELECT and describes a mailbox of `exists` messages. */
export async function selecting(server: ScriptedServer, exists: number, lines: readonly string[] = []): Promise<void> {
  await server.answer(/^(?:SELECT|EXAMINE) /, [
    '* FLAGS (\\Seen \\Deleted)',
    `* ${exists} EXISTS`,
    '* OK [PERMANENTFLAGS (\\Seen \\Deleted \\*)] Limited',
    '* OK [UIDVALIDITY 7] UIDs valid',
    '* OK [UIDNEXT 100] Predicted next UID',
    ...lines,
  ])
}

/** Time stands still until it is told otherwise. */
export class HandClock implements ClientClock {
  #now = 0
  #timers = new Set<{ at: number; readonly action: () => void }>()

  after(milliseconds: number, action: () => void): { refresh(): void; cancel(): void } {
    const timer = { at: this.#now + milliseconds, action }
    this.#timers.add(timer)
    return {
      refresh: () => {
        timer.at = this.#now + milliseconds
        this.#timers.add(timer)
      },
      cancel: () => void this.#timers.delete(timer),
    }
  }

  /** Milliseconds until each timer goes off. */
  get pending(): number[] {
    return [...this.#timers].map(({ at }) => at - this.#now).sort((a, b) => a - b)
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds
    for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue
      timer.action()
    }
  }
}
