// The server's choice of mechanisms for one session, and their making.

import { randomBytes } from 'node:crypto'
import type { Authorize } from './authorization.ts'
import type { ChannelBinding } from './channel-binding.ts'
import type { Announcement } from './announcement.ts'
import {
  type CredentialSource,
  MECHANISMS,
  type MechanismName,
  type ScramHash,
  type ServerMechanism,
} from './contract.ts'
import { anonymousServer, type GuestIdentity } from './mechanisms/anonymous.ts'
import { externalServer, type ExternalIdentity } from './mechanisms/external.ts'
import { loginServer } from './mechanisms/login.ts'
import { oauthServer, type VerifyToken } from './mechanisms/oauth.ts'
import { plainServer } from './mechanisms/plain.ts'
import { DEFAULT_ITERATIONS } from './mechanisms/scram-keys.ts'
import { scramServer } from './mechanisms/scram-server.ts'

/** What decides which mechanisms a session may use. */
export interface OfferConditions {
  /** The connection is encrypted, or local. */
  readonly secure: boolean
  /** Channel bindings that can be had in this session. */
  readonly channelBinding?: ChannelBinding | undefined
  /** The peer has proven an identity outside (a client certificate that was verified). */
  readonly external?: boolean
}

/**
 * The configured mechanisms that fit a session, in the order given: passwords, tokens and certificates only over a secure connection, -PLUS only with
 * a channel to bind to, EXTERNAL only with an outer proof.
 */
export function offered(mechanisms: readonly MechanismName[], conditions: OfferConditions): MechanismName[] {
  const { secure, channelBinding, external = false } = conditions
  return mechanisms.filter((name) => {
    if (name.endsWith('-PLUS')) return secure && channelBinding !== undefined && channelBinding.types.length > 0
    if (name.startsWith('SCRAM-') || name === 'ANONYMOUS') return true
    return secure && (name !== 'EXTERNAL' || external)
  })
}

export interface ServerOptions {
  /** What this client was offered; nothing else is started. See `offered`. */
  readonly offered: readonly MechanismName[]
  readonly credentials: CredentialSource
  /** At least 16 random octets that the server keeps for good: unknown users get their salts from it. */
  readonly secret: Uint8Array
  /** Without it nobody can act as another. */
  readonly authorize?: Authorize
  readonly channelBinding?: ChannelBinding | undefined
  /** What the client was shown, for SCRAM to sign (XEP-0474). Without it nothing is said of it. */
  readonly announced?: Announcement | undefined
  /** For EXTERNAL. */
  readonly external?: ExternalIdentity
  /** For OAUTHBEARER and XOAUTH2. */
  readonly verifyToken?: VerifyToken
  /** For ANONYMOUS. */
  readonly guest?: GuestIdentity
  /** SCRAM iterations shown for unknown users: the number that new passwords get. Default 10 000. */
  readonly iterations?: number
  /** Printable ASCII without commas, never the same again. Default: 18 random octets in base64. */
  readonly nonce?: () => string
}

/** Upper-case name of a mechanism that this package has; undefined for others. */
export function mechanismName(text: string): MechanismName | undefined {
  const upper = text.length > 20 ? '' : text.toUpperCase()
  return MECHANISMS.find((name) => name === upper)
}

/** Begins an exchange; undefined when the mechanism (any case) was not offered or what it needs was not handed in: invalid-mechanism. */
export function serverMechanism(name: string, options: ServerOptions): ServerMechanism | undefined {
  const known = mechanismName(name)
  if (known === undefined || !options.offered.includes(known)) return undefined
  const { credentials, authorize } = options
  switch (known) {
    case 'PLAIN':
      return plainServer(credentials, authorize)
    case 'LOGIN':
      return loginServer(credentials)
    case 'EXTERNAL':
      return options.external && externalServer(options.external)
    case 'OAUTHBEARER':
    case 'XOAUTH2':
      return options.verifyToken && oauthServer(known, options.verifyToken, authorize)
    case 'ANONYMOUS':
      return options.guest && anonymousServer(options.guest)
    default:
      return scramServer(known, scramHash(known), {
        credentials,
        authorize,
        nonce: options.nonce ?? randomNonce,
        secret: options.secret,
        iterations: options.iterations ?? DEFAULT_ITERATIONS,
        channelBinding: options.channelBinding,
        announced: options.announced,
        plusOffered: options.offered.some((other) => other.endsWith('-PLUS')),
      })
  }
}

export function scramHash(name: Extract<MechanismName, `SCRAM-${string}`>): ScramHash {
  if (name.startsWith('SCRAM-SHA-512')) return 'SHA-512'
  return name.startsWith('SCRAM-SHA-256') ? 'SHA-256' : 'SHA-1'
}

export function randomNonce(): string {
  return randomBytes(18).toString('base64')
}
