// What a client connection is given.

import type { MechanismName } from '@aviso/sasl'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Clock } from './clock.ts'

/** Milliseconds. */
export interface ClientTimeouts {
  /** Until the connection, and TLS, is there. Default 30 s. */
  readonly connect: number
  /** Without an octet from the server while a command waits for its answer, however long the whole answer takes. Default 2 min. */
  readonly read: number
}

export const DEFAULT_TIMEOUTS: ClientTimeouts = { connect: 30_000, read: 120_000 }

/** What is taken from a server. Beyond `text` and `literal` the connection ends. */
export interface ClientLimits {
  /** Octets of text in one response, literals not counted. Default 16 MiB: a SEARCH may find a million. */
  readonly text: number
  /** Octets of literals in one response, message texts apart. Default 1 MiB. */
  readonly literal: number
  /** Octets of message texts in one response; what is larger is read over and named in `leftOut`. `download` has no such limit. Default 64 MiB. */
  readonly body: number
  /** Octets that wait in memory because a consumer does not take them while others want the connection. Default 64 MiB. */
  readonly waiting: number
  /** Responses that one command may collect: lines of LIST, results of FETCH in a list. Default 1 000 000. */
  readonly responses: number
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  text: 16_777_216,
  literal: 1_048_576,
  body: 67_108_864,
  waiting: 67_108_864,
  responses: 1_000_000,
}

/** Who logs in, and with what. */
export interface ClientCredentials {
  readonly user: string
  readonly password?: string
  /** OAuth 2 access token, for OAUTHBEARER and XOAUTH2. */
  readonly token?: string
  /** Whom to act as, when that is another. */
  readonly authzid?: string
  /** Use only these mechanisms. Default: the strongest that the server offers. `LOGIN` stands for the command too. */
  readonly mechanisms?: readonly MechanismName[]
}

/** Where to connect, how, and as whom. */
export interface ClientOptions {
  readonly host: string
  /** Default 993 with implicit TLS, else 143. */
  readonly port?: number
  /** Default `implicit`. With `starttls` a server without it is refused; `none` stays in clear. */
  readonly tls?: 'implicit' | 'starttls' | 'none'
  /** Certificates and the like; by default the server's certificate must be valid for `host`. */
  readonly tlsOptions?: TlsOptions
  /** Passwords and tokens may go over a connection without TLS. Default false: only SCRAM works there. */
  readonly plaintextPassword?: boolean
  /** Absent: no login (a server that greets with PREAUTH needs none). */
  readonly auth?: ClientCredentials
  /** What is told to the server with ID (RFC 2971); false for nothing. Default: the name of this library. */
  readonly id?: Readonly<Record<string, string>> | false
  /** Extensions to ENABLE (RFC 5161) where they are offered. Default: CONDSTORE, QRESYNC, UTF8=ACCEPT, IMAP4rev2. */
  readonly enable?: readonly string[]
  /** COMPRESS=DEFLATE where it is offered. Default true. */
  readonly compress?: boolean
  readonly timeouts?: Partial<ClientTimeouts>
  readonly limits?: Partial<ClientLimits>
  /** Gives up connecting and logging in, nothing later. */
  readonly signal?: AbortSignal
  readonly clock?: Clock
  /** Makes the connection to `host`, before TLS. Default: TCP. */
  readonly dial?: (host: string, port: number) => Promise<Duplex>
}
