// A slixmpp client in a process of its own, told what to do and telling what happens (clients/chat.py).

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { eventually, needs } from './programs.ts'
import type { DemoAccount, Reach } from './server.ts'

// Debian's own Python: its packages are not another's.
export const PYTHON = '/usr/bin/python3'
const SCRIPT = fileURLToPath(new URL('clients/chat.py', import.meta.url))

/** For `skip:`; `more`: what some of its plug-ins need besides. */
export const needsSlixmpp = (...more: readonly string[]): string | false =>
  needs(PYTHON) ||
  (['slixmpp', ...more]
    .filter((module) => spawnSync(PYTHON, ['-c', `import ${module}`]).status !== 0)
    .map((module) => `needs python3-${module}`)[0] ??
    false)

export type ChatEvent = readonly [name: string, ...rest: readonly unknown[]]

export class ChatClient {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #ended: Promise<unknown>
  readonly #events: ChatEvent[] = []
  readonly #seen: ChatEvent[] = []
  #errors = ''

  constructor(
    reach: Reach,
    account: DemoAccount,
    how: 'starttls' | 'tls',
    resource: string,
    ...more: readonly string[]
  ) {
    const port = how === 'tls' ? reach.ports.xmpps : reach.ports.xmpp
    // By number: where `localhost` is ::1 first, this slixmpp goes on to the usual port instead of to 127.0.0.1.
    const args = [`${account.address}/${resource}`, account.password, '127.0.0.1', String(port), how, reach.ca, ...more]
    this.#process = spawn(PYTHON, [SCRIPT, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#ended = new Promise((resolve) => this.#process.once('close', resolve))
    this.#process.stdin.on('error', () => {})
    this.#process.stderr.on('data', (bytes: Buffer) => (this.#errors += bytes.toString()))
    createInterface({ input: this.#process.stdout }).on('line', (line) =>
      this.#events.push(JSON.parse(line) as ChatEvent),
    )
  }

  do(...command: readonly string[]): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`)
  }

  /** The next event of this name whose values begin with `start` (undefined: any value), taken out of the queue. Rejects with all that happened instead. */
  next(name: string, ...start: readonly (string | null | undefined)[]): Promise<ChatEvent> {
    const wanted = [name, ...start]
    return eventually(
      () =>
        `${JSON.stringify(wanted)}; waiting: ${JSON.stringify(this.#events)}; before: ${JSON.stringify(this.#seen.slice(-12))}; errors: ${this.#errors}`,
      () => {
        const index = this.#events.findIndex((event) =>
          wanted.every((value, at) => value === undefined || event[at] === value),
        )
        const [event] = index < 0 ? [] : this.#events.splice(index, 1)
        if (event !== undefined) this.#seen.push(event)
        return event
      },
      10_000,
    )
  }

  /** What happened and was not asked for with `next`. */
  get rest(): readonly ChatEvent[] {
    return this.#events
  }

  /** Ends the client's process. */
  async end(): Promise<void> {
    if (this.#process.exitCode === null) this.do('quit')
    const force = setTimeout(() => this.#process.kill('SIGKILL'), 2000)
    await this.#ended
    clearTimeout(force)
  }
}
