// RFC 9051 §3: one IMAP connection, seen from the server. Its state, its turn-taking, and how it ends. What commands mean is in `commands/`.

import type { Identity } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import { BackendError, type MailAccount } from '../backend.ts'
import { CommandReader, type ReaderEvent, type Refusal } from '../wire/command-reader.ts'
import { humanText } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'
import { Parser } from '../wire/parser.ts'
import { ResponseStream, StreamClosed } from '../wire/response-stream.ts'
import { capabilityList } from './capabilities.ts'
import type { Command, Completion } from './command.ts'
import { findCommand, judgeLiteral, refusalOf } from './dispatch.ts'
import { LiteralShare } from './literal-budget.ts'
import { compressed } from './compression.ts'
import { Notifications } from './notifications.ts'
import {
  type Alarm,
  DEFAULT_LIMITS,
  defaultAlarm,
  type ImapConnection,
  type ImapLimits,
  type ImapServerOptions,
  type SaslMechanisms,
} from './options.ts'
import { fetchMessages } from '../commands/fetch.ts'
import { syncView } from './sync.ts'
import type { MailboxView } from './view.ts'

/** Milliseconds of work before the event loop gets its turn. */
const SLICE = 4
/** Commands that expunge: they are answered with EXPUNGE responses. */
const EXPUNGING: ReadonlySet<string> = new Set(['EXPUNGE', 'UID EXPUNGE', 'MOVE', 'UID MOVE'])
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
  #resolveClosed: () => void = () => undefined
  #socket: Duplex
  #secure: boolean
  #reader: CommandReader
  #alarm: Alarm
  #account: MailAccount | undefined
  #identity: Identity | undefined
  #unwatch: (() => void) | undefined
  #view: MailboxView | undefined
  #busy = false
  #ending = false
  #gone = false
  #inputEnded = false
  #badCommands = 0
  #failedLogins = 0
  #greeted = false
  /** A TLS handshake is under way: nothing can be said, and a peer that does not go on is cut off. */
  #upgrading = false
  /** Octets that came since the alarm was wound up. */
  #heard = 0
  /** Memory held for the literals of the command that is being read or runs. */
  #literals: LiteralShare
  #compressed = false
  #sliceStart = 0
  /** Something happened since news were told last between commands. */
  #untold = false
  #waitingLine: { resolve: (line: Uint8Array) => void; reject: (error: Error) => void } | undefined
  #shutdownText: string | undefined
  /** Called when the store has news and a command (IDLE) waits for them. */
  #onNews: (() => void) | undefined

  constructor(socket: Duplex, options: ImapServerOptions) {
    this.options = options
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#socket = socket
    this.#secure = options.secure ?? false
    this.out = new ResponseStream(socket)
    this.#reader = new CommandReader({ line: this.limits.lineBeforeLogin, skip: this.limits.skip })
    this.#literals = options.literalBudget?.share() ?? new LiteralShare(undefined)
    this.#alarm = (options.alarm ?? defaultAlarm)(() => this.#timeout())
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve))
  }

  // --- What commands see -------------------------------------------------------------------------------------------------------------

  get connection(): ImapConnection {
    return { secure: this.#secure, socket: this.#socket, remoteAddress: this.options.remoteAddress }
  }

  get identity(): Identity | undefined {
    return this.#identity
  }

  /** The mail of who logged in. Only commands of the authenticated states may ask. */
  get account(): MailAccount {
    if (this.#account === undefined) throw bad('Log in first')
    return this.#account
  }

  get authenticated(): boolean {
    return this.#account !== undefined
  }

  /** The selected mailbox. Only commands of the selected state may ask. */
  get view(): MailboxView {
    if (this.#view === undefined) throw bad('Select a mailbox first')
    return this.#view
  }

  get selected(): boolean {
    return this.#view !== undefined
  }

  /** The view, for a command that changes mail. */
  get writableView(): MailboxView {
    const view = this.view
    if (view.readOnly) throw no('The mailbox is open read-only (EXAMINE): SELECT it to change messages', 'READ-ONLY')
    return view
  }

  get capabilities(): string {
    return capabilityList({
      account: this.#account,
      startTls: this.canStartTls,
      login: this.loginAllowed && this.options.login !== undefined,
      mechanisms: this.mechanisms.keys(),
      withheld: new Set(this.options.withheldCapabilities),
      limits: this.limits,
      literalMinus: this.options.literalMinus === true,
      compressed: this.#compressed,
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
    if (this.#view !== undefined) this.out.untagged(`OK [HIGHESTMODSEQ ${this.#view.modseq}] Mod-sequences are on`)
  }

  get canStartTls(): boolean {
    return !this.#secure && this.options.startTls !== undefined
  }

  get loginAllowed(): boolean {
    return this.#secure || (this.options.plaintextLogin ?? this.options.startTls === undefined)
  }

  get mechanisms(): SaslMechanisms {
    return this.options.mechanisms?.(this.connection) ?? NO_MECHANISMS
  }

  /** Opens the mail of who has proved to be `identity`. */
  async login(identity: Identity): Promise<void> {
    const account = await this.options.open(identity, this.connection)
    if (this.#gone) {
      account.close()
      throw new StreamClosed()
    }
    this.#account = account
    this.#identity = identity
    this.#unwatch = account.watch((id, annotations) => this.#news(id, annotations))
    // Whoever need not wait with a message still hears why it was refused: it is read over, not kept.
    const skip = Math.max(this.limits.skip, 2 * this.limits.line, account.appendLimit)
    this.#reader.limits = { line: this.limits.line, skip }
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

  /** The next line of a continuation (AUTHENTICATE, IDLE). Send the `+` first. */
  async readLine(): Promise<Uint8Array> {
    this.out.flush()
    this.#reader.lineMode = true
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        this.#waitingLine = { resolve, reject }
        this.#pull()
      })
    } finally {
      this.#waitingLine = undefined
      this.#reader.lineMode = false
    }
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
      if (wanted === undefined || added.length === 0) return
      const foreign = this.notifications.foreign(added)
      if (wanted.fetch.length > 0 && foreign.length > 0) await fetchMessages(this, foreign, wanted.fetch)
    } catch (error) {
      if (!(error instanceof BackendError) || error.code !== 'NONEXISTENT') throw error
      this.#view = undefined
      this.end('The selected mailbox has been deleted')
    }
  }

  /** All news that may be told now: of the selected mailbox, and what NOTIFY asked for. */
  async tellNews(expunge: boolean, withUid: boolean): Promise<void> {
    await this.sync(expunge, withUid)
    if (this.notifications.pending) await this.notifications.tell()
  }

  /** In every long loop: gives the event loop its turn every few milliseconds, and waits while the peer does not read. */
  async breathe(): Promise<void> {
    await this.out.room()
    const now = this.#now()
    if (now - this.#sliceStart < SLICE) return
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (this.#gone) throw new StreamClosed()
    this.#sliceStart = this.#now()
  }

  /** True when it is time to `await breathe()`: cheaper to ask than to await for every message. */
  get winded(): boolean {
    return this.#socket.writableNeedDrain || this.#now() - this.#sliceStart >= SLICE
  }

  /** More commands are waiting behind the one that runs. */
  get pipelined(): boolean {
    return this.#reader.buffered > 0
  }

  /** STARTTLS, after its OK was written. */
  async startTls(): Promise<void> {
    const upgrade = this.options.startTls
    // What stands behind STARTTLS in the clear must never be taken for something said under TLS (CVE-2011-0411).
    if (upgrade === undefined || this.pipelined || this.#socket.readableLength > 0) {
      this.end('Nothing may follow STARTTLS before TLS is on')
      return
    }
    this.out.flush()
    // What comes now is TLS: it waits for whoever reads it.
    this.#socket.pause()
    this.#detach()
    const plain = this.#socket
    // From here on the plain socket's end is seen through the TLS one; unheard, its error would end the process.
    plain.on('error', () => undefined)
    this.#upgrading = true
    try {
      const socket = await upgrade(plain)
      if (this.#gone) {
        socket.on('error', () => undefined)
        socket.destroy()
        return
      }
      this.#socket = socket
    } catch (error) {
      this.options.log?.('starttls-failed', { error })
      this.#destroy()
      return
    } finally {
      this.#upgrading = false
    }
    this.#secure = true
    this.out.replaceSocket(this.#socket)
    this.#attach()
  }

  get compressed(): boolean {
    return this.#compressed
  }

  /** COMPRESS, after its OK was written (RFC 4978 §3). */
  compress(): void {
    if (this.pipelined || this.#socket.readableLength > 0) {
      this.end('Nothing may follow COMPRESS before its answer')
      return
    }
    this.out.flush()
    this.#detach()
    this.#socket = compressed(this.#socket, this.options.alarm ?? defaultAlarm)
    this.#compressed = true
    this.out.replaceSocket(this.#socket)
    this.#attach()
  }

  /** UNAUTHENTICATE: all that the login brought is given back; TLS stays (RFC 8437 §3). */
  unauthenticate(): void {
    this.#view = undefined
    this.enabled.clear()
    this.#identity = undefined
    this.#reader.limits = { line: this.limits.lineBeforeLogin, skip: this.limits.skip }
    this.#closeAccount()
  }

  /** `* BYE text`, then the connection closes. */
  end(text: string): void {
    if (this.#ending) return
    this.#ending = true
    this.out.untagged(`BYE ${humanText(text)}`)
    this.#finish()
  }

  /** Closes after what was written has left (LOGOUT has said BYE itself). */
  hangUp(): void {
    this.#ending = true
    this.#finish()
  }

  // --- Life ------------------------------------------------------------------------------------------------------------------------

  /** Greets and begins to listen. */
  start(): void {
    if (this.#greeted) return
    this.#greeted = true
    const text = this.options.greeting ?? `${this.options.hostname} is ready`
    this.out.untagged(`OK [CAPABILITY ${this.capabilities}] ${humanText(text)}`)
    this.out.flush()
    this.#alarm.reset(this.limits.loginTimeout)
    this.#attach()
  }

  /** Ends politely: a command that runs finishes first, then `* BYE`. Resolves when the connection is closed. */
  shutdown(text = 'The server is going down'): Promise<void> {
    this.#shutdownText = text
    // IDLE is no work to wait for.
    if (!this.#busy || this.#waitingLine !== undefined) this.end(text)
    return this.closed
  }

  /** Ends at once, whatever runs: for a deadline after `shutdown`. */
  destroy(): void {
    this.#destroy()
  }

  #now(): number {
    return this.options.now?.() ?? performance.now()
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#ending) return
    this.#heard += chunk.length
    this.#reader.push(chunk)
    this.#pull()
  }
  readonly #onEnd = (): void => {
    this.#inputEnded = true
    // What was answered still has to leave.
    if (!this.#ending && (!this.#busy || this.#waitingLine !== undefined)) this.hangUp()
  }
  readonly #onError = (): void => this.#destroy()
  readonly #onClose = (): void => this.#destroy()

  #attach(): void {
    // Responses leave in whole turns already: waiting for more (Nagle) would only cost time.
    if ('setNoDelay' in this.#socket && typeof this.#socket.setNoDelay === 'function') this.#socket.setNoDelay(true)
    this.#socket.on('data', this.#onData)
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('error', this.#onError)
    this.#socket.on('close', this.#onClose)
    this.#socket.resume()
  }

  #detach(): void {
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.off('error', this.#onError)
    this.#socket.off('close', this.#onClose)
  }

  #timeout(): void {
    if (this.#gone) return
    const working = this.#busy && !this.#upgrading && this.#waitingLine === undefined && !this.out.stalled
    // A long literal on a slow line is no silence, as long as it keeps nobody else waiting; before login, only whole commands count.
    const pace = this.#literals.held > 0 ? this.limits.literalPace : 1
    if (!this.#ending && (working || (this.authenticated && this.#heard >= pace))) {
      this.#windUp()
      return
    }
    if (this.out.stalled || this.#ending || this.#upgrading) this.#destroy()
    else this.end('Nothing was heard for too long: logged out')
  }

  #windUp(): void {
    this.#heard = 0
    const { literalTimeout, idleTimeout, loginTimeout } = this.limits
    this.#alarm.reset(!this.authenticated ? loginTimeout : this.#literals.held > 0 ? literalTimeout : idleTimeout)
  }

  /** Stops reading and closes once everything written has left; a peer that does not take it is cut off. */
  #finish(): void {
    this.#waitingLine?.reject(new StreamClosed())
    this.out.flush()
    // Input is still read and dropped: closing over unread octets would reset the connection and lose the BYE.
    this.#socket.resume()
    this.#socket.end(() => setImmediate(() => this.#destroy()))
    this.#alarm.reset(5000)
  }

  #destroy(): void {
    if (this.#gone) return
    this.#gone = true
    this.#ending = true
    this.#alarm.stop()
    this.#literals.close()
    this.#view = undefined
    this.out.close()
    this.#detach()
    this.#socket.on('error', () => undefined)
    this.#socket.destroy()
    this.#waitingLine?.reject(new StreamClosed())
    this.#closeAccount()
    this.#resolveClosed()
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
    if (!this.#untold || !this.notifications.active || this.#busy || this.#ending || this.#gone) return
    this.#untold = false
    const { selected } = this.notifications
    // Sequence numbers that a client still uses may not change between commands (RFC 5465 §6.1.2).
    const expunge = typeof selected === 'object' && !selected.delayed
    this.#turn(async () => {
      try {
        await this.tellNews(expunge, true)
      } catch (error) {
        if (error instanceof StreamClosed) throw error
        // Nothing was asked, so nothing is answered: the next news, or the next command, tries again.
        this.options.log?.('defect', { error })
      }
    })
  }

  /** Nothing else is begun before `work` is done. */
  #turn(work: () => Promise<void>): void {
    this.#busy = true
    this.#sliceStart = this.#now()
    work()
      .catch((error: unknown) => {
        if (!(error instanceof StreamClosed)) this.#defect(error)
      })
      .finally(() => {
        this.#busy = false
        if (this.#shutdownText !== undefined) this.end(this.#shutdownText)
        if (!this.#ending) this.#windUp()
        this.#pull()
      })
  }

  // --- Turn-taking -----------------------------------------------------------------------------------------------------------------

  /** Takes what the reader has, as long as nothing runs. */
  #pull(): void {
    while (!this.#ending) {
      if (this.#busy && this.#waitingLine === undefined) {
        if (this.#reader.buffered > 0) this.#socket.pause()
        return
      }
      const event = this.#reader.next()
      if (event === undefined) {
        this.out.flush()
        if (this.#inputEnded) this.hangUp()
        else if (this.#socket.isPaused()) this.#socket.resume()
        this.#tellUnasked()
        return
      }
      this.#take(event)
    }
  }

  #take(event: ReaderEvent): void {
    if (this.#waitingLine !== undefined) {
      const waiting = this.#waitingLine
      this.#waitingLine = undefined
      if (event.kind === 'line') waiting.resolve(event.octets)
      else if (event.kind === 'refused') waiting.reject(bad('The line is too long'))
      else this.end('The line is too long')
      return
    }
    if (event.kind === 'fatal') {
      this.end(`[TOOBIG] ${event.message}`)
      return
    }
    this.#windUp()
    // What the command left untold (an expunge that it could not tell) is told behind it.
    this.#untold = true
    this.#turn(() => this.#handle(event))
  }

  #defect(error: unknown): void {
    this.options.log?.('defect', { error })
    this.end('An internal error ended this session; it has been logged')
  }

  async #handle(event: ReaderEvent): Promise<void> {
    switch (event.kind) {
      case 'command':
        return this.#command(event.segments)
      case 'literal':
        return this.#literal(event)
      case 'refused':
        this.#literals.release()
        return this.#answer(new Parser([event.start]).tag(), undefined, event.refusal)
      default:
    }
  }

  async #literal(event: Extract<ReaderEvent, { kind: 'literal' }>): Promise<void> {
    try {
      await judgeLiteral(this, event)
    } catch (error) {
      const refusal = refusalOf(this, error)
      if (!event.synchronising && event.size > this.#reader.limits.skip) {
        this.out.untagged(`BYE [TOOBIG] ${humanText(refusal.message)}`)
        this.hangUp()
        return
      }
      this.#reader.refuse(refusal)
      return
    }
    // Until there is room, nothing more is read from this client.
    await this.#literals.take(event.size)
    if (this.#ending) return
    this.#reader.accept()
    if (event.synchronising) {
      this.out.text('+ Ready for the literal\r\n')
      this.out.flush()
    }
  }

  async #command(segments: Extract<ReaderEvent, { kind: 'command' }>['segments']): Promise<void> {
    const parser = new Parser(segments, this.utf8)
    const tag = parser.tag()
    let command: Command | undefined
    let outcome: Completion | Refusal
    try {
      if (tag === undefined) throw bad('A command begins with a tag of letters and digits, and a space')
      command = findCommand(this, parser)
      const run = command.prepare(parser)
      const done = (await run(this, tag)) ?? {}
      await this.#tellNews(command)
      outcome = done
    } catch (error) {
      if (error instanceof StreamClosed) throw error
      outcome = refusalOf(this, error)
      if (command !== undefined && !this.#ending) await this.#tellNews(command, 'no-expunge')
    }
    this.#literals.release()
    this.#answer(tag, command?.name, outcome)
    if ('after' in outcome) await outcome.after?.()
  }

  async #tellNews(command: Command, news = command.news): Promise<void> {
    if (news === 'none') return
    try {
      const expunge = news === 'all' || (news === 'uid' && !this.pipelined)
      // What a client expunges itself is the answer to its command, whatever news it wants.
      if (EXPUNGING.has(command.name)) await this.tellSelected(expunge, command.withUid)
      else await this.sync(expunge, command.withUid)
      if (this.notifications.pending && news !== 'no-expunge') await this.notifications.tell()
    } catch (error) {
      if (error instanceof StreamClosed) throw error
      // The command itself is done, and its answer must not depend on this. The news are asked for again with the next one.
      this.options.log?.('defect', { error })
    }
  }

  #answer(tag: string | undefined, name: string | undefined, outcome: Completion | Refusal): void {
    if (this.#ending && !('after' in outcome)) return
    const status = outcome.status ?? 'OK'
    const text = 'message' in outcome ? outcome.message : (outcome.text ?? `${name ?? 'Command'} completed`)
    // A tag that is no tag is not said back.
    this.out.text(
      `${tag ?? '*'} ${status} ${outcome.code === undefined ? '' : `[${outcome.code}] `}${humanText(text)}\r\n`,
    )
    this.options.count?.(name ?? 'unknown', status)
    if (status !== 'BAD') return
    this.#badCommands++
    // The first thing heard is no IMAP: another protocol's client, made to talk to us (cross-protocol attacks).
    if (
      !this.authenticated &&
      this.#badCommands === 1 &&
      name === undefined &&
      tag !== undefined &&
      /^(GET|POST|PUT|HEAD|OPTIONS|CONNECT|EHLO|HELO)$/i.test(tag)
    ) {
      this.end('This is an IMAP server')
    } else if (this.#badCommands >= this.limits.badCommands) {
      this.end('Too many bad commands')
    }
  }
}
