// RFC 4422: what a mechanism is, seen from the protocol that carries it.

import type { TokenMechanismName } from './mechanisms/hashed-token.ts'

/** SASL failures by their XMPP names (RFC 6120 §6.5); SMTP and IMAP map them to their own codes. */
export type FailureCondition =
  | 'aborted'
  | 'account-disabled'
  | 'credentials-expired'
  | 'invalid-authzid'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'mechanism-too-weak'
  | 'not-authorized'
  | 'temporary-auth-failure'

/** Who has proven what: `authcid` is whose credentials they were, `authzid` whom to act as; undefined means: the same. */
export interface Identity {
  readonly authcid: string
  readonly authzid: string | undefined
}

export interface Challenge {
  readonly kind: 'challenge'
  readonly data: Uint8Array
}

/**
 * The exchange is over and the client is who it says. A protocol whose success cannot carry `data` (SMTP, IMAP) sends it as one more challenge, takes
 * an empty response (anything else aborts), and only then reports success (RFC 4422 §3.6).
 */
export interface Success {
  readonly kind: 'success'
  readonly data?: Uint8Array
  readonly identity: Identity
}

export interface Failure {
  readonly kind: 'failure'
  readonly condition: FailureCondition
  /** For people, fit to be sent to the client. */
  readonly text: string
  /** Who tried, as far as the client has said: for counters and the audit log. Not verified. */
  readonly authcid?: string
  /** What was thrown when the condition is temporary-auth-failure: for the log, never for the client. */
  readonly cause?: unknown
}

export type ServerStep = Challenge | Success | Failure

/** One attempt of one client. Calls come one after the other; after success or failure the object is spent. No method throws or rejects. */
export interface ServerMechanism {
  readonly name: MechanismName | TokenMechanismName
  /** Begins. `initial` is the initial response: undefined when there was none, empty when an empty one was sent (`=` on the wire). */
  start(initial: Uint8Array | undefined): Promise<ServerStep>
  /** Goes on with the response to the last challenge. */
  next(response: Uint8Array): Promise<ServerStep>
  /** The client has cancelled (`*`, `<abort/>`). */
  abort(): Failure
}

/** The client's half. Methods reject with `SaslFailure` when the server breaks the rules or cannot prove itself. */
export interface ClientMechanism {
  readonly name: MechanismName | TokenMechanismName
  /** The initial response; undefined when the server speaks first. */
  start(): Promise<Uint8Array | undefined>
  /** The response to a challenge. */
  next(challenge: Uint8Array): Promise<Uint8Array>
  /** The server reports success, with its additional data if there was some. Rejects if it has not proven what the mechanism makes it prove. */
  success(data?: Uint8Array): Promise<void>
}

/** Hashes of SCRAM, as in the names of mechanisms. */
export type ScramHash = 'SHA-1' | 'SHA-256' | 'SHA-512'

/** The mechanisms of this library, by their registered names (RFC 4422 §3.1), the strongest first. */
export const MECHANISMS = [
  'SCRAM-SHA-512-PLUS',
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-512',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1',
  'EXTERNAL',
  'OAUTHBEARER',
  'XOAUTH2',
  'PLAIN',
  'LOGIN',
  'ANONYMOUS',
] as const

/** The mechanisms of this package, the strongest first. */
export type MechanismName = (typeof MECHANISMS)[number]

/** What a server keeps of a password for SCRAM (RFC 5802 §3). */
export interface ScramKeys {
  readonly salt: Uint8Array
  readonly iterations: number
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
  /** Refuse with this although the password is right: only who knows the password learns that the account is disabled. */
  readonly refused?: RefusalCondition
}

/** Why right credentials may still be refused, or that they were wrong. */
export type RefusalCondition =
  'not-authorized' | 'account-disabled' | 'credentials-expired' | 'mechanism-too-weak' | 'temporary-auth-failure'

export type PasswordVerdict = 'accepted' | RefusalCondition

/** Where the server's knowledge of its users comes from. A rejection means that it is not reachable now: the client is told to try later. */
export interface CredentialSource {
  /** SCRAM keys of a user; undefined when there is no such user or no keys of that hash: the client cannot tell this from a wrong password. */
  scram(authcid: string, hash: ScramHash): Promise<ScramKeys | undefined>
  /** Checks a password that has been through `preparePassword`. For unknown users it should take as long as for known ones. */
  password(authcid: string, password: string): Promise<PasswordVerdict>
}

/** Thrown inside an exchange to end it. */
export class SaslFailure extends Error {
  readonly condition: FailureCondition

  constructor(condition: FailureCondition, text: string, options?: ErrorOptions) {
    super(text, options)
    this.name = 'SaslFailure'
    this.condition = condition
  }
}
