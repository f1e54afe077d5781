// What a server of SMTP, Submission or LMTP is made of, and what it asks of the policy behind it.

import type { Duplex } from 'node:stream'
import type { Identity, ServerMechanism } from '@aviso/sasl'
import type { MessageBody } from '../body/message.ts'
import type { Spool } from '../body/spool.ts'
import type { Clock } from '../clock.ts'
import type { Extensions, MailParameters, RecipientParameters } from '../parameters.ts'
import type { Mailbox } from '../path.ts'
import type { SmtpReply } from '../reply.ts'

/** `smtp`: for everyone (RFC 5321). `submission`: AUTH comes before MAIL (RFC 6409). `lmtp`: a reply per recipient (RFC 2033). */
export type ServerKind = 'smtp' | 'submission' | 'lmtp'

/** Where a connection came from. */
export interface Peer {
  readonly address?: string | undefined
  readonly port?: number | undefined
  /** Its name in DNS, where a trusted proxy has looked it up (XCLIENT). */
  readonly name?: string | undefined
}

/** What a trusted filter or relay tells of the first client (Postfix's XFORWARD), for the log. All is optional: it may be unknown. */
export interface Forwarded {
  readonly name?: string | undefined
  readonly address?: string | undefined
  readonly port?: number | undefined
  readonly protocol?: string | undefined
  readonly hello?: string | undefined
  /** The queue id over there. */
  readonly id?: string | undefined
  readonly source?: 'LOCAL' | 'REMOTE' | undefined
}

/** Commands of Postfix for neighbours that are trusted. */
export interface Trust {
  /** The neighbour is a proxy: with XCLIENT it says whose connection this really is, and who has logged in. */
  readonly xclient?: boolean
  /** The neighbour is a relay or filter: with XFORWARD it tells whom it has the message from. */
  readonly xforward?: boolean
}

/** One connection, as handlers see it. */
export interface SmtpSession {
  readonly kind: ServerKind
  /** Where it came from; what XCLIENT said, when it did. */
  readonly peer: Peer
  /** What XFORWARD said for the next transaction, or the one under way. */
  readonly forwarded: Forwarded | undefined
  /** The stream in use now: after STARTTLS the one that `startTls` returned. For looking at, not for reading or writing. */
  readonly socket: Duplex
  /** Under TLS, from the start or by STARTTLS. */
  readonly secure: boolean
  /** The name in HELO, EHLO or LHLO; undefined before. Forgotten at STARTTLS. */
  readonly hello: string | undefined
  /** EHLO or LHLO was said, not HELO. */
  readonly extended: boolean
  /** Who logged in. */
  readonly identity: Identity | undefined
  /** The mechanism of that login; `XCLIENT` when a trusted proxy has vouched for it. */
  readonly mechanism: string | undefined
  /** Fires when the connection is gone: whatever is still being looked up for it can stop. */
  readonly signal: AbortSignal
}

/** One transaction: from MAIL to the end of its data. */
export interface Envelope {
  /** Null for `<>`: a notification, never to be answered by another. */
  readonly reversePath: Mailbox | null
  readonly parameters: MailParameters
  /** The accepted ones, in the order of their RCPT. The same address may stand here twice. */
  readonly recipients: readonly Recipient[]
}

export interface Recipient {
  readonly path: Mailbox
  readonly parameters: RecipientParameters
}

type Awaitable<T> = T | Promise<T>

/**
 * The policy of one session. Every method may take its time; commands are handled one after the other. A thrown SmtpError is the reply; anything
 * else thrown is answered with 451 4.3.0 and reported to `onError`. Returning nothing means the usual positive reply.
 */
export interface SessionHandler {
  /** Before the greeting. A throw refuses the connection: its reply is the greeting, then the connection is closed. */
  connect?(): Awaitable<void>
  /** HELO, EHLO or LHLO; `session.hello` is set. */
  hello?(): Awaitable<void>
  /** MAIL, with its path and parameters; there are no recipients yet. */
  mail(envelope: Envelope): Awaitable<SmtpReply | void>
  /** RCPT. When accepted, `recipient` joins the envelope. */
  rcpt(recipient: Recipient, envelope: Envelope): Awaitable<SmtpReply | void>
  /**
   * The message has come whole. The reply is the promise of RFC 5321 §4.2.5: do not return before it is safe. In LMTP an array gives each
   * recipient its own (in the envelope's order), one reply serves them all. The transaction is over with this call, whatever comes of it, and
   * so is the body once the call has returned: it is read before, or what is needed of it is kept elsewhere.
   */
  data(envelope: Envelope, body: MessageBody): Awaitable<SmtpReply | readonly SmtpReply[] | void>
  /** An accepted MAIL ends without `data`: RSET, a new EHLO, a message that was refused by its form, a lost connection. */
  reset?(envelope: Envelope): Awaitable<void>
  /** The session is over, or XCLIENT has made it another's, who gets a new handler. Called once, after everything else. */
  close?(): Awaitable<void>
}

/** A SASL mechanism that a session offers; `create` is called for each exchange. */
export interface MechanismOffer {
  readonly name: string
  create(): ServerMechanism
}

/** Bounds on everything that a peer sends. */
export interface SmtpLimits {
  /** Octets of a command line, CRLF included. */
  readonly commandLine: number
  /** Octets of an AUTH command and of the lines of its exchange (RFC 4954 §4). */
  readonly authLine: number
  /** Octets of a message; announced as SIZE. */
  readonly messageSize: number
  /** Octets of a message's header section. */
  readonly headerSize: number
  /** Octets of a message up to which it waits in memory; a larger one goes into the spool, if there is one. */
  readonly messageInMemory: number
  /** Octets of one line in a message. RFC 5322 allows 998, the world sends more. */
  readonly textLine: number
  /** Octets of messages that all sessions together hold while they arrive and are handled. */
  readonly bytesInFlight: number
  /** Accepted recipients of one transaction; announced as RCPTMAX. */
  readonly recipients: number
  /** Recipients refused by the handler in one session: who guesses addresses is sent away. */
  readonly refusedRecipients: number
  /** Transactions of one session; announced as MAILMAX. */
  readonly transactions: number
  /** Commands that are no commands, or come at the wrong time, in one session. */
  readonly errors: number
  /** Commands that carry no mail (NOOP, RSET, EHLO, VRFY ...), counted from one message to the next. */
  readonly idleCommands: number
  /** Failed logins of one session. */
  readonly authFailures: number
  /** Milliseconds for one command line to arrive, and between two pieces of a message (RFC 5321 §4.5.3.2.7: five minutes). */
  readonly idle: number
  /** Milliseconds for a whole message to arrive. */
  readonly messageDuration: number
}

/** Octets and milliseconds: safe for a server that anybody may connect to. */
export const defaultLimits: SmtpLimits = {
  commandLine: 2048,
  authLine: 12_288,
  messageSize: 50 * 1024 * 1024,
  headerSize: 1024 * 1024,
  messageInMemory: 256 * 1024,
  textLine: 65_536,
  bytesInFlight: 512 * 1024 * 1024,
  recipients: 1000,
  refusedRecipients: 100,
  transactions: 1000,
  errors: 10,
  idleCommands: 1000,
  authFailures: 5,
  idle: 300_000,
  messageDuration: 3_600_000,
}

/** What went wrong inside a handler, for log and metrics. `command` is the verb, or `CONNECT` and `CLOSE`. */
export type ErrorListener = (error: unknown, session: SmtpSession, command: string) => void

/** What client and server say to each other, for whoever looks for a fault. */
export type LineListener = (by: 'client' | 'server', line: string, session: SmtpSession) => void

export interface SmtpServerOptions {
  readonly kind: ServerKind
  /** Our name, in greeting and EHLO: an A-label domain name. */
  readonly hostname: string
  /** Makes the policy of each new session. */
  readonly handler: (session: SmtpSession) => SessionHandler
  readonly limits?: Partial<SmtpLimits>
  /** Switches extensions on and off. On by default are those that ask nothing of the handler that it could forget: see `defaultExtensions`. */
  readonly extensions?: Partial<Omit<Extensions, 'auth'>>
  /** Takes messages that are too large for memory. Without it all are held in memory. */
  readonly spool?: Spool
  /** What a session's peer is trusted with; asked once for each connection. Default: nothing. */
  readonly trust?: (peer: Peer) => Trust
  /** Lets STARTTLS be offered: takes the plain stream, does the handshake, returns the stream above it. */
  readonly startTls?: (socket: Duplex, session: SmtpSession) => Promise<Duplex>
  /** The mechanisms offered now. Not asked on a connection without TLS, unless `insecureAuth`. */
  readonly mechanisms?: (session: SmtpSession) => readonly MechanismOffer[]
  /** Lets AUTH be offered without TLS. */
  readonly insecureAuth?: boolean
  /** MAIL needs a login. Default: in `submission` yes, else no. */
  readonly requireAuth?: boolean
  /** CR or LF alone in a message: `reject` (default) refuses it, `normalise` makes it CRLF. The end of DATA is strict either way. */
  readonly bareLineEndings?: 'reject' | 'normalise'
  readonly onError?: ErrorListener
  /** Hears what is said: commands and replies, without line ends. Not messages, and not what stands behind the mechanism of AUTH. */
  readonly onLine?: LineListener
  readonly clock?: Clock
  /** The time of day, for HOLDFOR and HOLDUNTIL. Default: the wall's. */
  readonly date?: () => Date
}

/** What is offered when nothing is said. Who switches on more must keep what it promises: the parameters reach the handler, and nothing else happens. */
export const defaultExtensions: Omit<Extensions, 'auth'> = {
  smtpUtf8: true,
  dsn: true,
  chunking: true,
  binaryMime: true,
  requireTls: true,
  deliverBy: false,
  priority: false,
  futureRelease: 0,
}
