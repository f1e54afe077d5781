// What all parts of a client session share: the connection, what the server offers and has enabled, the selected mailbox, and who listens.

import type { Duplex } from 'node:stream'
import { astring, quote } from '../wire/encode.ts'
import { encodeMutf7 } from '../wire/mailbox-name.ts'
import { Capabilities } from './capabilities.ts'
import type { Clock } from './clock.ts'
import { ClientConnection, type ConnectionObserver } from './connection.ts'
import { ImapClientError } from './errors.ts'
import type { ClientEvent } from './events.ts'
import type { ClientLimits, ClientTimeouts } from './options.ts'
import { fetched } from './operations/fetch.ts'
import type { CommandPart, Request } from './request.ts'
import type { Quirk } from './response/quirks.ts'
import type { FetchResponse, ResponseCode, StatusResponse, UntaggedResponse } from './response/types.ts'
import type { MailboxState } from './mailbox-state.ts'

export interface CoreOptions {
  readonly clock: Clock
  readonly timeouts: ClientTimeouts
  readonly limits: ClientLimits
}

/** What servers tell of messages without NOTIFY. */
const UNASKED = new Set(['UID', 'FLAGS', 'MODSEQ'])

export class SessionCore implements ConnectionObserver {
  readonly connection: ClientConnection
  readonly clock: Clock
  readonly limits: ClientLimits
  /** By `ENABLE`, in capitals. */
  readonly enabled = new Set<string>()
  selected: MailboxState | undefined
  /** NOTIFY was asked to tell more of new messages than that they are there. */
  notified = false
  /** The server's answer to ID. */
  serverId: ReadonlyMap<string, string | undefined> = new Map()
  #capabilities = new Capabilities([])
  #known = false
  #listeners = new Set<(event: ClientEvent) => void>()
  #quirks = new Set<Quirk>()
  /** Names that are not spelt as we would spell them → as the server does. */
  #spellings = new Map<string, string>()

  constructor(socket: Duplex, options: CoreOptions) {
    this.clock = options.clock
    this.limits = options.limits
    this.connection = new ClientConnection(socket, options, this)
  }

  get capabilities(): Capabilities {
    return this.#capabilities
  }

  /** False where capabilities have to be asked for. */
  get capabilitiesKnown(): boolean {
    return this.#known
  }

  get quirks(): ReadonlySet<Quirk> {
    return this.#quirks
  }

  forgetCapabilities(): void {
    this.#known = false
  }

  has(name: string): boolean {
    return this.#capabilities.has(name)
  }

  /** Throws when the server does not offer an extension. */
  need(name: string, what: string): void {
    if (!this.has(name))
      throw new ImapClientError('UNSUPPORTED', `The server cannot ${what}: it does not offer ${name}`)
  }

  /** Calls `listener` for everything that happens without being asked for, until the returned function is called. */
  listen(listener: (event: ClientEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  emit(event: ClientEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  /** As `ClientConnection.run`; a request that is one line of text may be given as that. */
  run(request: Request | string, signal?: AbortSignal): Promise<StatusResponse> {
    const whole = typeof request === 'string' ? { name: request.split(' ', 1)[0] ?? '', parts: [request] } : request
    return this.connection.run(whole, signal)
  }

  /** Runs a command and gathers what `pick` makes of its responses; those it makes nothing of are not for this command. */
  async collect<T>(
    request: Pick<Request, 'name' | 'parts' | 'ended'>,
    pick: (response: UntaggedResponse, tag: string) => T | undefined,
    signal?: AbortSignal,
  ): Promise<{ results: T[]; end: StatusResponse }> {
    const results: T[] = []
    let full = false
    const accept = (response: UntaggedResponse, tag: string): boolean => {
      const one = pick(response, tag)
      if (one === undefined) return false
      full ||= results.length >= this.limits.responses
      if (!full) results.push(one)
      return true
    }
    const end = await this.run({ ...request, accept }, signal)
    if (full) throw new ImapClientError('LIMIT', `${request.name} has more than ${this.limits.responses} results`)
    return { results, end }
  }

  // --- Words -----------------------------------------------------------------------------------------------------------------------

  /** A mailbox name as it goes to the server. */
  mailbox(name: string): CommandPart {
    const spelt = this.#spellings.get(name)
    if (spelt !== undefined)
      return /^[\x20-\x7e]*$/.test(spelt) ? quote(spelt) : { octets: Buffer.from(spelt, 'latin1') }
    return this.connection.utf8 ? this.string(name) : astring(encodeMutf7(name))
  }

  /** A pattern of LIST. */
  pattern(pattern: string): string {
    return quote(this.connection.utf8 ? pattern : encodeMutf7(pattern))
  }

  /** Any text as `string`: quoted where that is possible, else a literal. Throws for NUL, which no string holds. */
  string(text: string): CommandPart {
    if (text.includes('\0')) throw new ImapClientError('UNSUPPORTED', 'A string cannot hold NUL')
    const plain = this.connection.utf8 ? /^[^\r\n]*$/ : /^[\x01-\x09\x0b\x0c\x0e-\x7f]*$/
    return plain.test(text) && text.length < 1000 ? quote(text) : { octets: Buffer.from(text, 'utf8') }
  }

  // --- What comes ------------------------------------------------------------------------------------------------------------------

  response(response: UntaggedResponse, taken: boolean): void {
    switch (response.kind) {
      case 'status':
        this.#code(response.code)
        this.#status(response, taken)
        break
      case 'capability':
        this.#learn(response.capabilities)
        break
      case 'list': {
        if (response.encoded !== encodeMutf7(response.name)) this.#remember(response.name, response.encoded)
        const { name, oldName, attributes } = response
        if (!taken) this.emit({ kind: 'mailbox', name, oldName, attributes })
        break
      }
      case 'metadata':
        if (!taken) this.emit({ kind: 'metadata', name: response.name, entries: response.changed })
        break
      case 'enabled':
        for (const name of response.capabilities) this.enabled.add(name.toUpperCase())
        this.connection.utf8 = this.enabled.has('UTF8=ACCEPT') || this.enabled.has('IMAP4REV2')
        if (this.enabled.has('IMAP4REV2')) this.#learn(this.#capabilities.names)
        break
      case 'mailbox-status':
        if (!taken) this.emit({ kind: 'mailbox-status', name: response.name, numbers: response.numbers })
        break
      default:
        this.selected?.take(response, taken)
        if (response.kind === 'fetch' && !taken && this.notified) this.#message(response)
    }
  }

  /** More than flags was told unasked: NOTIFY was asked to. */
  #message(response: FetchResponse): void {
    const { uid, items } = response.message
    if (uid === undefined || [...items].every((item) => UNASKED.has(item))) return
    this.emit({ kind: 'message', message: fetched(uid, response) })
  }

  tagged(response: StatusResponse): void {
    this.#code(response.code)
  }

  #status({ status, code, text }: StatusResponse, taken: boolean): void {
    // RFC 9051 §7.1: an alert must be shown to the user.
    if (code?.name === 'ALERT') this.emit({ kind: 'alert', text })
    else if (code?.name === 'NOTIFICATIONOVERFLOW') this.emit({ kind: 'notify-overflow' })
    else if (status === 'BYE') this.emit({ kind: 'bye', text })
    else if (!taken && status !== 'OK') this.emit({ kind: 'notice', status, text })
  }

  #code(code: ResponseCode | undefined): void {
    if (code?.kind === 'capability') this.#learn(code.capabilities)
    if (code?.kind === 'number' && code.name === 'HIGHESTMODSEQ') this.selected?.confirm(code.number)
  }

  #learn(names: Iterable<string>): void {
    this.#known = true
    this.#capabilities = new Capabilities(names, this.enabled.has('IMAP4REV2'))
    this.connection.nonSynchronising = this.has('LITERAL+') ? 'all' : this.has('LITERAL-') ? 'short' : 'none'
    this.emit({ kind: 'capabilities' })
  }

  #remember(name: string, encoded: string): void {
    if (this.connection.utf8 || /^inbox$/i.test(name)) return
    if (this.#spellings.size >= this.limits.responses) this.#spellings.clear()
    this.#spellings.set(name, encoded)
  }

  quirk(quirk: Quirk): void {
    if (this.#quirks.has(quirk)) return
    this.#quirks.add(quirk)
    this.emit({ kind: 'quirk', quirk })
  }

  closed(error: ImapClientError): void {
    this.emit({ kind: 'closed', error })
    this.selected = undefined
    this.#listeners.clear()
  }
}
