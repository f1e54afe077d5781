// A connection to a program that checks mail: octets in order, each step within its time.

import { connect, isIPv6, type Socket } from 'node:net'
import * as v from 'valibot'
import type { Clock, Timer } from '../../kernel/clock.ts'

/** Where a program listens. */
export type ProgramAddress = { readonly path: string } | { readonly host: string; readonly port: number }

/** Reads `unix:/path`, `host:port` or `[::1]:port`; undefined for anything else. */
export function parseProgramAddress(text: string): ProgramAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice(5)
    return path.startsWith('/') && Buffer.byteLength(path) <= 107 ? { path } : undefined
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const [, six, name, digits] = match
  const port = Number(digits)
  if (port === 0 || port > 65535 || (six !== undefined && !isIPv6(six))) return undefined
  return { host: six ?? name ?? '', port }
}

/** The setting of such an address. */
export const programAddress = (what: string) =>
  v.pipe(
    v.string(),
    v.check((text) => parseProgramAddress(text) !== undefined, 'expected unix:/path, host:port or [address]:port'),
    v.description(what),
  )

/** The program cannot be reached, ends the connection, or takes too long. */
export class WireError extends Error {}

/** One connection. Steps run one after the other: whoever uses it awaits each. A step that fails or takes too long closes it. */
export class Wire {
  readonly #socket: Socket
  readonly #clock: Clock
  /** Milliseconds for each step. */
  timeout: number
  #buffered: Buffer[] = []
  #length = 0
  #failure: WireError | undefined
  /** Called when something came, or when the connection broke. */
  #wake: (() => void) | undefined

  private constructor(socket: Socket, clock: Clock, timeout: number) {
    this.#socket = socket
    this.#clock = clock
    this.timeout = timeout
    socket.on('data', (bytes: Buffer) => {
      this.#buffered.push(bytes)
      this.#length += bytes.byteLength
      // Nobody reads just now: the program has to wait.
      if (this.#length > HIGH_WATER) socket.pause()
      this.#wake?.()
    })
    socket.on('error', (error) => this.#fail(`the connection broke: ${error.message}`))
    socket.on('close', () => this.#fail('the connection was closed'))
    socket.on('drain', () => this.#wake?.())
    socket.on('connect', () => this.#wake?.())
  }

  /** Connects within `timeout` milliseconds, which is also the time for each later step. Rejects with WireError. */
  static async connect(address: ProgramAddress, clock: Clock, timeout: number): Promise<Wire> {
    const wire = new Wire(connect(address), clock, timeout)
    await wire.#until(() => !wire.#socket.connecting, 'it could not be reached')
    return wire
  }

  /** Resolves when the octets are on their way. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (!this.#socket.write(bytes)) await this.#until(() => !this.#socket.writableNeedDrain, 'it does not read')
  }

  /** The next `count` octets. */
  async read(count: number): Promise<Buffer> {
    await this.#until(() => this.#length >= count, 'it does not answer')
    return this.#take(count)
  }

  /** What comes before the next octet `end`, which is taken too. Rejects when there are more than `most` octets before it. */
  async readUntil(end: number, most: number): Promise<Buffer> {
    let at = -1
    await this.#until(() => {
      this.#buffered = [Buffer.concat(this.#buffered)]
      at = this.#buffered[0]?.indexOf(end) ?? -1
      if (at > most || (at < 0 && this.#length > most)) this.#fail('it answers too much')
      return at >= 0 && at <= most
    }, 'it does not answer')
    return this.#take(at + 1).subarray(0, at)
  }

  /** Sends what is still to be sent, and closes. */
  end(bytes?: Uint8Array): void {
    if (this.#failure !== undefined) return this.destroy()
    if (bytes !== undefined) this.#socket.write(bytes)
    this.#socket.end()
    const timer = this.#clock.timeout(CLOSING, () => this.destroy())
    this.#socket.once('close', () => timer.cancel())
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #take(count: number): Buffer {
    const all =
      this.#buffered.length === 1 && this.#buffered[0] !== undefined ? this.#buffered[0] : Buffer.concat(this.#buffered)
    const rest = all.subarray(count)
    this.#buffered = rest.byteLength === 0 ? [] : [rest]
    this.#length = rest.byteLength
    if (this.#length <= HIGH_WATER) this.#socket.resume()
    return all.subarray(0, count)
  }

  #fail(what: string): void {
    this.#failure ??= new WireError(what)
    this.#socket.destroy()
    this.#wake?.()
  }

  #until(ready: () => boolean, late: string): Promise<void> {
    if (ready()) return Promise.resolve()
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const done = (): void => {
        if (this.#failure === undefined && !ready()) return
        timer.cancel()
        this.#wake = undefined
        // Looking may have failed it.
        if (this.#failure === undefined) resolve()
        else reject(this.#failure)
      }
      const timer: Timer = this.#clock.timeout(this.timeout, () =>
        this.#fail(`${late} within ${this.timeout / 1000} s`),
      )
      this.#wake = done
    })
  }
}

/** Milliseconds that the program has to close its side. */
const CLOSING = 5000
/** Octets that wait to be read before the program is held up. More than any one answer. */
const HIGH_WATER = 2 * 1024 * 1024
