// What all sessions of one server share: its options with the defaults filled in, and its memory.

import { MemoryBudget } from '../body/collector.ts'
import type { Spool } from '../body/spool.ts'
import { systemClock, type Clock } from '../clock.ts'
import type { Extensions } from '../parameters.ts'
import {
  defaultExtensions,
  defaultLimits,
  type Peer,
  type SmtpLimits,
  type SmtpServerOptions,
  type SmtpSession,
  type Trust,
} from './contracts.ts'

export class Service {
  readonly options: SmtpServerOptions
  readonly limits: SmtpLimits
  readonly extensions: Omit<Extensions, 'auth'>
  /** What a session has, in the clear and within TLS. */
  readonly offered: Extensions
  readonly offeredSecure: Extensions
  readonly budget: MemoryBudget
  readonly clock: Clock
  readonly spool: Spool | undefined
  readonly date: () => Date
  readonly requireAuth: boolean
  readonly bareLineEndings: 'reject' | 'normalise'

  constructor(options: SmtpServerOptions) {
    this.options = options
    this.limits = { ...defaultLimits, ...options.limits }
    const on = { ...defaultExtensions, ...options.extensions }
    this.extensions = {
      ...on,
      // RFC 3030 §3: there is no BINARYMIME without CHUNKING.
      binaryMime: on.binaryMime && on.chunking,
      // RFC 4865 §4: only who submits a message may have it held.
      futureRelease: options.kind === 'submission' ? on.futureRelease : 0,
    }
    this.offeredSecure = { ...this.extensions, auth: options.mechanisms !== undefined }
    this.offered = { ...this.offeredSecure, requireTls: false }
    this.budget = new MemoryBudget(this.limits.bytesInFlight)
    this.clock = options.clock ?? systemClock
    this.spool = options.spool
    this.date = options.date ?? (() => new Date())
    this.requireAuth = options.requireAuth ?? options.kind === 'submission'
    this.bareLineEndings = options.bareLineEndings ?? 'reject'
  }

  /** Fails closed: who cannot be judged is not trusted. */
  trustOf(peer: Peer): Trust {
    try {
      return this.options.trust?.(peer) ?? {}
    } catch {
      return {}
    }
  }

  /** Tells whoever listens what is said. */
  heard(by: 'client' | 'server', line: string, session: SmtpSession): void {
    try {
      this.options.onLine?.(by, line, session)
    } catch (error) {
      this.report(error, session, 'LINE')
    }
  }

  report(error: unknown, session: SmtpSession, command: string): void {
    try {
      this.options.onError?.(error, session, command)
    } catch {
      // A listener that throws must not end the session that it was told about.
    }
  }
}
