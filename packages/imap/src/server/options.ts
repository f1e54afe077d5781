// What a server session is given: policy from outside, limits, and the way to the mail.

import type { Identity, ServerMechanism } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import type { MailAccount } from '../backend.ts'
import { GRAMMAR_LIMITS, type GrammarLimits } from '../wire/grammar-limits.ts'
import type { LiteralBudget } from './literal-budget.ts'

/** Mechanism name in capitals → a new exchange. Only what may be offered on this connection. */
export type SaslMechanisms = ReadonlyMap<string, () => ServerMechanism>

/** What policy may know of a connection. */
export interface ImapConnection {
  /** TLS is on. */
  readonly secure: boolean
  readonly socket: Duplex
  readonly remoteAddress: string | undefined
}

/** What one client may take of the server. Beyond a limit a command is refused, or the connection ends. */
export interface ImapLimits extends GrammarLimits {
  /** Octets of a command's text before and after login. Defaults 8 KiB, 64 KiB. */
  readonly lineBeforeLogin: number
  readonly line: number
  /** Octets of all literals of one command, APPEND's message apart. Defaults 4 KiB before login, 256 KiB after. */
  readonly literalBeforeLogin: number
  readonly literal: number
  /** Octets of all messages of one APPEND where they are several (RFC 3502); never less than the largest message the account takes. Default 64 MiB. */
  readonly multiAppend: number
  /**
   * Milliseconds within which `literalPace` octets must come of a literal that is counted against `literalBudget`: whoever takes room from others must
   * go on. Defaults 2 min, 32 KiB.
   */
  readonly literalTimeout: number
  readonly literalPace: number
  /** RFC 9738 MESSAGELIMIT: messages that one command works on, or looks at when it searches (SORT, THREAD and ESEARCH of more are refused); should be 1000 at least (§3). Default: no limit, none announced. */
  readonly messageLimit: number | undefined
  /** RFC 9738 SAVELIMIT: messages that one COPY or APPEND saves, where there is no `messageLimit`, which holds for these too. Default: no limit. */
  readonly saveLimit: number | undefined
  /** Messages of one APPEND (RFC 3502), where neither of these says less, and pieces of one message (RFC 4469). Default 1000 each. */
  readonly appendMessages: number
  readonly appendPieces: number
  /** Searches of a session whose results are kept up to date (RFC 5267 UPDATE). Default 16. */
  readonly searchContexts: number
  /** Mailboxes that an account may have for NOTIFY to watch over them (RFC 5465 §5.8). Default 5000. */
  readonly watched: number
  /** Octets of a refused command that are read over before the connection is given up. Default 1 MiB. */
  readonly skip: number
  /** Commands answered BAD before the connection is closed. Default 20. */
  readonly badCommands: number
  /** Failed logins before the connection is closed. Default 5. */
  readonly failedLogins: number
  /** Milliseconds without a command before login (default 60 s) and after (default 30 min, RFC 9051 §5.4). */
  readonly loginTimeout: number
  readonly idleTimeout: number
}

/** The limits where none are given. */
export const DEFAULT_LIMITS: ImapLimits = {
  ...GRAMMAR_LIMITS,
  lineBeforeLogin: 8192,
  line: 65536,
  literalBeforeLogin: 4096,
  literal: 262_144,
  multiAppend: 67_108_864,
  literalTimeout: 120_000,
  literalPace: 32_768,
  messageLimit: undefined,
  saveLimit: undefined,
  appendMessages: 1000,
  appendPieces: 1000,
  searchContexts: 16,
  watched: 5000,
  skip: 1_048_576,
  badCommands: 20,
  failedLogins: 5,
  loginTimeout: 60_000,
  idleTimeout: 30 * 60_000,
}

/** A timer that can be wound up again. */
export interface Alarm {
  reset(milliseconds: number): void
  stop(): void
}

/** What a server session is given: policy, limits, the way to the mail, and where the outside world comes from (time, log). */
export interface ImapServerOptions {
  /** Name of this server, for the greeting. */
  readonly hostname: string
  /** Text of the greeting behind the capabilities. */
  readonly greeting?: string
  /** Answer to ID (RFC 2971). */
  readonly id?: Readonly<Record<string, string>>
  readonly limits?: Partial<ImapLimits>
  /** Capabilities not to announce (in capitals). Their commands still work. */
  readonly withheldCapabilities?: readonly string[]
  /** Announce LITERAL- in place of LITERAL+ (RFC 7888 §5): clients wait before they send a literal of more than 4096 octets. */
  readonly literalMinus?: boolean
  /**
   * Refuse messages with 8-bit characters in their header from clients that have not enabled UTF8=ACCEPT or IMAP4rev2, as RFC 9755 §4 wants it. Default: they are
   * kept as they are, since programs that move mail from one server to another have old mail of that kind, and no way to enable anything for it.
   */
  readonly refuse8BitHeaders?: boolean
  /** Memory for long literals, shared by all connections that are given the same. Default: each connection has its own limits only. */
  readonly literalBudget?: LiteralBudget
  /** True while the server has more to do than it can: background work of clients that say that it is such is then refused (see ID). Default: never. */
  readonly busy?: () => boolean
  /** The connection has TLS from the start. */
  readonly secure?: boolean
  /** Makes TLS of a plain socket; STARTTLS is offered when this is given and the connection is not secure. */
  readonly startTls?: (socket: Duplex) => Promise<Duplex>
  /** LOGIN without TLS: default only where STARTTLS is not offered. (What AUTHENTICATE offers without TLS, `mechanisms` decides.) */
  readonly plaintextLogin?: boolean
  readonly remoteAddress?: string
  /** SASL mechanisms for this connection as it is now: asked again after STARTTLS. */
  readonly mechanisms?: (connection: ImapConnection) => SaslMechanisms
  /** LOGIN. Undefined: wrong user or password. May throw `BackendError` (UNAVAILABLE, EXPIRED, PRIVACYREQUIRED ...). Absent: LOGIN is disabled. */
  readonly login?: (user: string, password: string, connection: ImapConnection) => Promise<Identity | undefined>
  /** The mail of who logged in. May throw `BackendError`. */
  readonly open: (identity: Identity, connection: ImapConnection) => Promise<MailAccount>
  readonly log?: (event: string, fields: Readonly<Record<string, unknown>>) => void
  /** Called for every finished command. */
  readonly count?: (command: string, outcome: 'OK' | 'NO' | 'BAD') => void
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly date?: () => number
  /** Milliseconds, monotone. Default `performance.now`. */
  readonly now?: () => number
  /** Default: an unreferenced `setTimeout`. */
  readonly alarm?: (ring: () => void) => Alarm
}

export function defaultAlarm(ring: () => void): Alarm {
  let timer: NodeJS.Timeout | undefined
  return {
    reset(milliseconds) {
      clearTimeout(timer)
      timer = setTimeout(ring, milliseconds)
      timer.unref()
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}
