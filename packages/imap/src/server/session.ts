// RFC 9051 §3: one IMAP connection as its commands see it: who logged in, what is selected and enabled, and which news are told when.
// Octets and turns are in `channel.ts`, the way of one command in `runner.ts`.

import type { Identity } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import { BackendError, type MailAccount } from '../backend.ts'
import { humanText } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'
import { type ResponseStream, StreamClosed } from '../wire/response-stream.ts'
import { fetchArrivals } from './arrivals.ts'
import { capabilityList } from './capabilities.ts'
import { Channel, type ChannelOwner } from './channel.ts'
import { Notifications } from './notifications.ts'
import {
  DEFAULT_LIMITS,
  type ImapConnection,
  type ImapLimits,
  type ImapServerOptions,
  type SaslMechanisms,
} from './options.ts'
import { CommandRunner } from './runner.ts'
import { syncView } from './sync.ts'
import type { MailboxView } from './view.ts'

const NO_MECHANISMS: SaslMechanisms = new Map()

/**
 * Serves one connection. `start` greets; `closed` resolves when everything is over; `shutdown` ends politely.
 * Commands run one after the other in the order they came. A throw in one of them is answered `NO [SERVERBUG]` and harms nobody else.
 */
export class ImapServerSession {
  readonly options: ImapServerOptions
  readonly limits: ImapLimits
  readonly out: ResponseStream
  readonly closed: Promise<void>
  /** Extensions switched on by ENABLE, in capitals. */
  readonly enabled = new Set<string>()
  /** What this session is told without asking (RFC 5465). */
  readonly notifications = new Notifications(this)
  readonly #channel: Channel
  readonly #runner: CommandRunner
  #account: MailAccount | undefined
  #identity: Identity | undefined
  #unwatch: (() => void) | undefined
  #view: MailboxView | undefined
  #failedLogins = 0
  #greeted = false
  /** Something happened since news were told last between commands. */
  #untold = false
  /** Called when the store has news and a command (IDLE) waits for them. */
  #onNews: (() => void) | undefined

  constructor(socket: Duplex, options: ImapServerOptions) {
    this.options = options
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#channel = new Channel(this.#owner(), socket, options, this.limits)
    this.#runner = new CommandRunner(this, this.#channel)
    this.out = this.#channel.out
    this.closed = this.#channel.closed
  }

  #owner(): ChannelOwner {
    return {
      authenticated: () => this.authenticated,
      serve: (event) => {
        // What the command leaves untold (an expunge that it cannot tell) is told behind it.
        this.#untold = true
        return this.#runner.serve(event)
      },
      rest: () => this.#tellUnasked(),
      gone: () => {
        this.#view = undefined
        this.#closeAccount()
      },
    }
  }

  // --- What commands see -------------------------------------------------------------------------------------------------------------

  /** What the backend and the mechanisms are told of the connection. */
  get connection(): ImapConnection {
    return { secure: this.#channel.secure, socket: this.#channel.socket, remoteAddress: this.options.remoteAddress }
  }

  /** Who logged in; undefined before. */
  get identity(): Identity | undefined {
    return this.#identity
  }

  /** The mail of who logged in. Only commands of the authenticated states may ask. */
  get account(): MailAccount {
    if (this.#account === undefined) throw bad('Log in first')
    return this.#account
  }

  /** True in the states `authenticated` and `selected` (RFC 9051 §3). */
  get authenticated(): boolean {
    return this.#account !== undefined
  }

  /** The selected mailbox. Only commands of the selected state may ask. */
  get view(): MailboxView {
    if (this.#view === undefined) throw bad('Select a mailbox first')
    return this.#view
  }

  /** True where a mailbox is selected. */
  get selected(): boolean {
    return this.#view !== undefined
  }

  /** Messages of the selected mailbox are gone, and the client has not been told. */
  get expungesWait(): boolean {
    return this.#view !== undefined && this.#view.expunged.size > 0
  }

  /** The view, for a command that changes mail. */
  get writableView(): MailboxView {
    const view = this.view
    if (view.readOnly) throw no('The mailbox is open read-only (EXAMINE): SELECT it to change messages', 'READ-ONLY')
    return view
  }

  /** What the session offers in its state, as CAPABILITY writes it: names with spaces between (RFC 9051 §7.2.2). */
  get capabilities(): string {
    return capabilityList({
      account: this.#account,
      startTls: this.canStartTls,
      login: this.loginAllowed && this.options.login !== undefined,
      mechanisms: this.authenticated ? [] : this.mechanisms.keys(),
      withheld: new Set(this.options.withheldCapabilities),
      limits: this.limits,
      literalMinus: this.options.literalMinus === true,
      compressed: this.compressed,
    })
  }

  /** FETCH responses carry MODSEQ (RFC 7162 §3.1). */
  get condstore(): boolean {
    return this.enabled.has('CONDSTORE')
  }

  /** Expunges are told as VANISHED (RFC 7162 §3.2). */
  get qresync(): boolean {
    return this.enabled.has('QRESYNC')
  }

  /** The client neither hears nor says sequence numbers (RFC 9586). */
  get uidOnly(): boolean {
    return this.enabled.has('UIDONLY')
  }

  /** The client speaks IMAP4rev2 (RFC 9051 §6.3.1). */
  get rev2(): boolean {
    return this.enabled.has('IMAP4REV2')
  }

  /** Strings and mailbox names are UTF-8 both ways (RFC 9755 §3, RFC 9051 §5.1). */
  get utf8(): boolean {
    return this.rev2 || this.enabled.has('UTF8=ACCEPT')
  }

  /** A command showed that the client knows mod-sequences: from now on FETCH responses carry them (RFC 7162 §3.1). */
  enableCondstore(): void {
    if (this.condstore) return
    this.enabled.add('CONDSTORE')
    if (this.#view !== undefined)
      this.out.untagged(`OK [HIGHESTMODSEQ ${Math.max(1, this.#view.told)}] Mod-sequences are on`)
  }

  /** True where STARTTLS is offered. */
  get canStartTls(): boolean {
    return !this.#channel.secure && this.options.startTls !== undefined
  }

  /** False where passwords must not go over this connection (LOGINDISABLED, RFC 9051 §6.2.3). */
  get loginAllowed(): boolean {
    return this.#channel.secure || (this.options.plaintextLogin ?? this.options.startTls === undefined)
  }

  /** The SASL mechanisms that this connection may use. */
  get mechanisms(): SaslMechanisms {
    return this.options.mechanisms?.(this.connection) ?? NO_MECHANISMS
  }

  /** Opens the mail of who has proved to be `identity`. */
  async login(identity: Identity): Promise<void> {
    const account = await this.options.open(identity, this.connection)
    if (this.#channel.gone) {
      account.close()
      throw new StreamClosed()
    }
    this.#account = account
    this.#identity = identity
    this.#unwatch = account.watch((id, annotations) => this.#news(id, annotations))
    // Whoever need not wait with a message still hears why it was refused: it is read over, not kept.
    const skip = Math.max(this.limits.skip, 2 * this.limits.line, account.appendLimit)
    this.#channel.readerLimits = { line: this.limits.line, skip }
    this.options.log?.('login', { authcid: identity.authcid, authzid: identity.authzid })
  }

  /** Counts a failed login; after too many the connection ends. */
  loginFailed(): void {
    if (++this.#failedLogins >= this.limits.failedLogins) this.end('Too many failed logins')
  }

  /** Enters the selected state, or leaves it (`undefined`). */
  select(view: MailboxView | undefined): void {
    this.notifications.selectionChanged(this.#view?.mailbox.id, this.#view?.stale === true)
    this.#view = view
  }

  /** The next line of a continuation (AUTHENTICATE, IDLE). Send the `+` first. Rejects with `StreamClosed` when the peer has gone. */
  readLine(): Promise<Uint8Array> {
    return this.#channel.readLine()
  }

  /** While set, called whenever the store has news of the selected mailbox. */
  set onNews(listener: (() => void) | undefined) {
    this.#onNews = listener
  }

  /** Tells what is new in the mailbox, as far as the client wants to hear it. */
  async sync(expunge: boolean, withUid: boolean): Promise<void> {
    if (this.notifications.selected !== undefined) await this.tellSelected(expunge, withUid)
  }

  /** Tells what is new in the mailbox. A mailbox that is gone ends the selection's connection, since its numbers mean nothing any more. */
  async tellSelected(expunge: boolean, withUid: boolean): Promise<void> {
    const view = this.#view
    if (view === undefined) return
    const { selected } = this.notifications
    const wanted = typeof selected === 'object' ? selected : undefined
    try {
      const added = await syncView(this, view, {
        expunge,
        // RFC 5465 §5.1
        withUid: withUid || wanted !== undefined,
        flags: wanted?.flags ?? true,
      })
      if (added.length > 0) await fetchArrivals(this, view, this.notifications.foreign(added), wanted?.fetch ?? [])
    } catch (error) {
      if (!(error instanceof BackendError) || error.code !== 'NONEXISTENT') throw error
      this.#view = undefined
      this.end('The selected mailbox has been deleted, or is not shared any more')
    }
  }

  /** All news that may be told now: of the selected mailbox, and what NOTIFY asked for. */
  async tellNews(expunge: boolean, withUid: boolean): Promise<void> {
    await this.sync(expunge, withUid)
    if (this.notifications.pending) await this.notifications.tell()
  }

  /** In every long loop: gives the event loop its turn every few milliseconds, and waits while the peer does not read. */
  breathe(): Promise<void> {
    return this.#channel.breathe()
  }

  /** Waits until the command that runs may hold so many octets more, until it is done. */
  reserve(octets: number): Promise<void> {
    return this.#channel.reserve(octets)
  }

  /** True when it is time to `await breathe()`: cheaper to ask than to await for every message. */
  get winded(): boolean {
    return this.#channel.winded
  }

  /** More commands are waiting behind the one that runs. */
  get pipelined(): boolean {
    return this.#channel.pipelined
  }

  /** STARTTLS, after its OK was written. */
  startTls(): Promise<void> {
    return this.#channel.startTls()
  }

  /** True once COMPRESS has begun (RFC 4978). */
  get compressed(): boolean {
    return this.#channel.compressed
  }

  /** COMPRESS, after its OK was written (RFC 4978 §3). */
  compress(): void {
    this.#channel.compress()
  }

  /** UNAUTHENTICATE: all that the login brought is given back; TLS stays (RFC 8437 §3). */
  unauthenticate(): void {
    this.#view = undefined
    this.notifications.none()
    this.enabled.clear()
    this.#identity = undefined
    this.#channel.readerLimits = { line: this.limits.lineBeforeLogin, skip: this.limits.skip }
    this.#closeAccount()
  }

  /** `* BYE text`, then the connection closes. */
  end(text: string): void {
    this.#channel.end(text)
  }

  /** Closes after what was written has left (LOGOUT has said BYE itself). */
  hangUp(): void {
    this.#channel.hangUp()
  }

  // --- Life ------------------------------------------------------------------------------------------------------------------------

  /** Greets and begins to listen. */
  start(): void {
    if (this.#greeted) return
    this.#greeted = true
    const text = this.options.greeting ?? `${this.options.hostname} is ready`
    this.out.untagged(`OK [CAPABILITY ${this.capabilities}] ${humanText(text)}`)
    this.out.flush()
    this.#channel.open()
  }

  /** Ends politely: a command that runs finishes first, then `* BYE`. Resolves when the connection is closed. */
  shutdown(text = 'The server is going down'): Promise<void> {
    return this.#channel.shutdown(text)
  }

  /** Ends at once, whatever runs: for a deadline after `shutdown`. */
  destroy(): void {
    this.#channel.destroy()
  }

  #closeAccount(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
    const account = this.#account
    this.#account = undefined
    try {
      account?.close()
    } catch (error) {
      this.options.log?.('account-close-failed', { error })
    }
  }

  #news(id: string | undefined, annotations: readonly string[] | undefined): void {
    const view = this.#view
    const selected = view !== undefined && annotations === undefined && (id === undefined || id === view.mailbox.id)
    if (selected) view.stale = true
    this.notifications.heard(id, annotations)
    if (!selected && !this.notifications.pending) return
    this.#untold = true
    if (this.#onNews !== undefined) this.#onNews()
    else this.#tellUnasked()
  }

  /** RFC 5465 §3.1: with NOTIFY, news are told while no command runs. They take their turn as a command would. */
  #tellUnasked(): void {
    if (!this.#untold || !this.notifications.active || this.#channel.busy || this.#channel.ending) return
    this.#untold = false
    const { selected } = this.notifications
    // Sequence numbers that a client still uses may not change between commands (RFC 5465 §6.1.2).
    const expunge = typeof selected === 'object' && !selected.delayed
    this.#channel.turn(async () => {
      try {
        await this.tellNews(expunge, true)
      } catch (error) {
        if (error instanceof StreamClosed) throw error
        // Nothing was asked, so nothing is answered: the next news, or the next command, tries again.
        this.options.log?.('defect', { error })
      }
    })
  }
}
