// RFC 9051 §2.2, §5.5: commands out, responses in, several commands under way at once.
//
// The wire only: which responses belong to which command, when a literal may go, how fast to read, and when to give up. What the commands
// mean is the session's.

import type { Duplex } from 'node:stream'
import type { Clock, ClockTimer } from './clock.ts'
import { ImapClientError, refused } from './errors.ts'
import type { ClientLimits, ClientTimeouts } from './options.ts'
import type { LiteralSink, Request } from './request.ts'
import { parseResponse } from './response/parse.ts'
import type { Quirk } from './response/quirks.ts'
import { ResponseReader, type Segments } from './response/reader.ts'
import type { StatusResponse, UntaggedResponse } from './response/types.ts'
import { checkParts, type NonSynchronising, sendCommand } from './sending.ts'
import { Transport } from './transport.ts'

export interface ConnectionObserver {
  /** Every untagged response, after the command that took it, if one did. */
  response(response: UntaggedResponse, taken: boolean): void
  /** The answer to any command, before the command itself hears of it. */
  tagged(response: StatusResponse): void
  quirk(quirk: Quirk): void
  closed(error: ImapClientError): void
}

export interface ConnectionOptions {
  readonly clock: Clock
  readonly timeouts: ClientTimeouts
  readonly limits: ClientLimits
}

interface Active {
  readonly request: Request
  readonly tag: string
  readonly resolve: (response: StatusResponse) => void
  readonly reject: (error: unknown) => void
  state: 'queued' | 'sending' | 'sent'
}

/** The literal that a response announces is the text of a message. */
const BODY = /(?:(?:BODY|BINARY)\[[^\]]*\](?:<\d+>)?|RFC822(?:\.TEXT|\.HEADER)?) $/i
/** Octets before a literal that its item fits into; a list of header names may be long. */
const TAIL = 4096

export class ClientConnection {
  readonly #options: ConnectionOptions
  readonly #observer: ConnectionObserver
  readonly #transport: Transport
  readonly #reader: ResponseReader
  #queue: Active[] = []
  #running: Active[] = []
  #pumping = false
  #halted = false
  #sink: LiteralSink | undefined
  #awaiting: { readonly active: Active; readonly resolve: (go: boolean) => void } | undefined
  #greeting: { resolve: (greeting: StatusResponse) => void; reject: (error: ImapClientError) => void } | undefined
  #body = 0
  #literal = 0
  #tags = 0
  #timer: ClockTimer | undefined
  #holders = new Set<Request>()
  #paused = false
  #bye: StatusResponse | undefined
  #error: ImapClientError | undefined
  /** The first response of the server. */
  readonly greeting: Promise<StatusResponse>
  /** Names come in UTF-8. */
  utf8 = false
  /** Which literals go out without waiting for the server (RFC 7888). */
  nonSynchronising: NonSynchronising = 'none'

  constructor(socket: Duplex, options: ConnectionOptions, observer: ConnectionObserver) {
    this.#options = options
    this.#observer = observer
    this.#reader = new ResponseReader(options.limits.text)
    this.greeting = new Promise((resolve, reject) => (this.#greeting = { resolve, reject }))
    this.greeting.catch(() => undefined)
    this.#transport = new Transport(socket, {
      octets: (chunk) => this.#push(chunk),
      closed: (error) => this.fail(this.#lost(error)),
    })
    this.watch()
  }

  get socket(): Duplex {
    return this.#transport.socket
  }

  /** Why the connection is over; undefined while it is not. */
  get error(): ImapClientError | undefined {
    return this.#error
  }

  get compressed(): boolean {
    return this.#transport.compressed
  }

  /**
   * Runs a command; resolves with the tagged OK. Rejects with `ImapClientError` for NO and BAD and when the connection fails, and with the reason of
   * `signal`. A command that is given up before it was sent never is; later, its answer is read over; in between, with a literal half sent, the connection ends.
   */
  run(request: Request, signal?: AbortSignal): Promise<StatusResponse> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason)
      if (this.#error !== undefined) return reject(this.#error)
      checkParts(request.parts)
      const abort = (): void => this.#abort(active, signal?.reason)
      const done = (): void => signal?.removeEventListener('abort', abort)
      const active: Active = {
        request,
        tag: `A${++this.#tags}`,
        resolve: (response) => (done(), resolve(response)),
        reject: (error) => (done(), reject(error)),
        state: 'queued',
      }
      signal?.addEventListener('abort', abort)
      this.#queue.push(active)
      this.#running.find((one) => one.request.alone === true)?.request.interrupt?.()
      this.#flow()
      void this.#pump()
    })
  }

  #abort(active: Active, reason: unknown): void {
    active.reject(reason)
    this.release(active.request)
    if (active.state === 'queued') {
      this.#queue = this.#queue.filter((one) => one !== active)
      this.#flow()
    }
    // A command cannot be taken back in the middle: what follows would be read as the rest of its literal.
    if (active.state === 'sending')
      this.fail(new ImapClientError('CLOSED', `${active.request.name} was given up half sent`))
  }

  /** Octets as they are: parts of the conversation inside a command. */
  write(octets: Uint8Array | string): void {
    this.#transport.write(octets)
  }

  /** True while other commands wait for one that runs alone. */
  get waiting(): boolean {
    return this.#queue.length > 0
  }

  // --- Out -------------------------------------------------------------------------------------------------------------------------

  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    for (let next = this.#sendable(); next !== undefined; next = this.#sendable()) {
      this.#queue.shift()
      this.#running.push(next)
      next.state = 'sending'
      this.watch()
      await this.#send(next)
      if (next.state === 'sending') next.state = 'sent'
    }
    this.#pumping = false
  }

  #sendable(): Active | undefined {
    const next = this.#queue[0]
    if (next === undefined || this.#error !== undefined || this.#halted) return undefined
    if (next.request.alone === true ? this.#running.length > 0 : this.#running.some(({ request }) => request.alone)) {
      return undefined
    }
    return next
  }

  async #send(active: Active): Promise<void> {
    try {
      await sendCommand(active.tag, active.request.parts, this.nonSynchronising, {
        write: (octets) => this.#transport.write(octets),
        drained: async () => {
          await this.#transport.drained()
          this.#timer?.refresh()
          if (this.#error !== undefined) throw this.#error
        },
        ready: () => new Promise((resolve) => (this.#awaiting = { active, resolve })),
      })
    } catch (cause) {
      active.reject(cause)
      const half = new ImapClientError('CLOSED', `${active.request.name} could not be sent whole`, { cause })
      if (this.#running.includes(active)) this.fail(half)
    }
  }

  // --- In --------------------------------------------------------------------------------------------------------------------------

  #push(chunk: Buffer): void {
    this.#timer?.refresh()
    this.#reader.push(chunk)
    this.#read()
  }

  #read(): void {
    while (!this.#halted && this.#error === undefined) {
      const event = this.#reader.next()
      if (event === undefined) return
      switch (event.kind) {
        case 'literal':
          this.#judge(event.segments, event.size)
          break
        case 'octets':
          if (event.octets.length > 0) this.#sink?.push(event.octets)
          else this.#sink?.end()
          break
        case 'fatal':
          this.fail(new ImapClientError('LIMIT', event.message))
          break
        case 'response':
          this.#literal = this.#body = 0
          this.#sink = undefined
          for (const quirk of event.quirks) this.#observer.quirk(quirk)
          this.#take(event.segments)
      }
    }
  }

  #judge(segments: Segments, size: number): void {
    for (const { request } of this.#running) {
      this.#sink = request.sink?.(segments, size)
      if (this.#sink !== undefined) return this.#reader.stream()
    }
    const before = segments.at(-1)
    const { body, literal } = this.#options.limits
    if (typeof before === 'string' && BODY.test(before.slice(-TAIL))) {
      if (this.#body + size > body) return this.#reader.leaveOut()
      this.#body += size
      return this.#reader.keep()
    }
    this.#literal += size
    if (this.#literal <= literal) return this.#reader.keep()
    this.fail(new ImapClientError('LIMIT', `A string of the server is longer than ${literal} octets`))
  }

  #take(segments: Segments): void {
    const response = parseResponse(segments, { utf8: this.utf8, note: (quirk) => this.#observer.quirk(quirk) })
    if (response.kind === 'continue') return this.#continue(response.text)
    if (response.kind === 'status' && response.tag !== undefined) return this.#finish(response)
    if (response.kind === 'status') {
      if (response.status === 'BYE') this.#bye = response
      if (this.#greeting !== undefined) {
        if (response.status === 'BYE') return this.fail(this.#lost(undefined))
        this.#greeting.resolve(response)
        this.#greeting = undefined
        this.watch()
      }
    }
    const taker = this.#running.find(({ request, tag }) => request.accept?.(response, tag) === true)
    this.#observer.response(response, taker !== undefined)
  }

  #continue(text: string): void {
    const awaiting = this.#awaiting
    this.#awaiting = undefined
    const talking = this.#running.find(({ request }) => request.continued !== undefined)
    if (awaiting !== undefined) awaiting.resolve(true)
    else if (talking !== undefined) talking.request.continued?.(text)
    else this.#observer.quirk('unasked-continuation')
  }

  #finish(response: StatusResponse): void {
    const active = this.#running.find(({ tag }) => tag === response.tag)
    if (active === undefined) return this.#observer.quirk('stray-tag')
    this.#running = this.#running.filter((one) => one !== active)
    if (this.#awaiting?.active === active) {
      this.#awaiting.resolve(false)
      this.#awaiting = undefined
    }
    this.#observer.tagged(response)
    active.request.ended?.(response)
    this.release(active.request)
    if (response.status === 'OK') active.resolve(response)
    else active.reject(refused(active.request.name, response))
    this.watch()
    void this.#pump()
  }

  // --- Pace ------------------------------------------------------------------------------------------------------------------------

  /**
   * The consumer of this command has enough for now: nothing more is read, unless another command waits for its answer. So a consumer that asks
   * something in the middle of a result gets its answer, and what it left lying waits in memory.
   */
  hold(request: Request): void {
    if (!this.#running.some((one) => one.request === request)) return
    this.#holders.add(request)
    this.#flow()
  }

  release(request: Request): void {
    this.#holders.delete(request)
    this.#flow()
  }

  #flow(): void {
    const paused =
      this.#holders.size > 0 &&
      this.#queue.length === 0 &&
      this.#running.every(({ request }) => this.#holders.has(request))
    if (paused === this.#paused || this.#halted) return
    this.#paused = paused
    if (paused) this.#transport.pause()
    else this.#transport.resume()
    this.watch()
  }

  /** Begins, or ends, to count the time in which nothing comes. */
  watch(): void {
    const asked = this.#greeting !== undefined || this.#running.some(({ request }) => request.patient !== true)
    if (!asked || this.#paused || this.#error !== undefined) {
      this.#timer?.cancel()
      this.#timer = undefined
      return
    }
    const { clock, timeouts } = this.#options
    if (this.#timer !== undefined) return this.#timer.refresh()
    this.#timer = clock.after(timeouts.read, () => {
      this.fail(new ImapClientError('TIMEOUT', `The server has said nothing for ${timeouts.read} ms`))
    })
  }

  // --- Layers ----------------------------------------------------------------------------------------------------------------------

  /** Asks for STARTTLS and goes over to what `secure` makes of the socket. */
  async startTls(secure: (socket: Duplex) => Promise<Duplex>): Promise<void> {
    await this.run({
      name: 'STARTTLS',
      parts: ['STARTTLS'],
      alone: true,
      ended: ({ status }) => {
        if (status !== 'OK') return
        this.#halted = true
        this.#transport.pause()
      },
    })
    // CVE-2021-38371 and its kin: what stands behind the answer came without TLS, from whomever, and must not be heard after it.
    if (this.#reader.buffered > 0 || this.socket.readableLength > 0) {
      this.fail(
        new ImapClientError('PROTOCOL', 'Octets came between the answer to STARTTLS and TLS: someone is in between'),
      )
    }
    if (this.#error !== undefined) throw this.#error
    try {
      await this.#transport.replace(secure)
    } catch (cause) {
      this.fail(new ImapClientError('CLOSED', `TLS could not be established: ${String(cause)}`, { cause }))
      throw this.#error
    }
    this.#halted = false
    this.#transport.resume()
    this.#read()
    void this.#pump()
  }

  /** RFC 4978. */
  async compress(): Promise<void> {
    await this.run({
      name: 'COMPRESS',
      parts: ['COMPRESS DEFLATE'],
      alone: true,
      ended: ({ status }) => {
        if (status === 'OK') this.#transport.compress(this.#reader.takeBuffered())
      },
    })
  }

  // --- End -------------------------------------------------------------------------------------------------------------------------

  #lost(cause: Error | undefined): ImapClientError {
    if (this.#bye !== undefined) {
      return new ImapClientError('BYE', `The server has closed: ${this.#bye.text}`, { response: this.#bye })
    }
    return new ImapClientError('CLOSED', cause === undefined ? 'The server has closed the connection' : cause.message, {
      cause,
    })
  }

  /** Ends the connection and with it all commands. */
  fail(error: ImapClientError): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.watch()
    this.#greeting?.reject(error)
    this.#greeting = undefined
    this.#awaiting?.resolve(false)
    const commands = [...this.#running, ...this.#queue]
    this.#running = []
    this.#queue = []
    for (const { reject } of commands) reject(error)
    this.#transport.destroy()
    this.#observer.closed(error)
  }
}
