// What all sessions of one server share: its options with the defaults filled in, and its memory.

import { MemoryBudget } from '../body/collector.ts'
import { systemClock, type Clock } from '../clock.ts'
import type { Extensions } from '../parameters.ts'
import { defaultLimits, type SmtpLimits, type SmtpServerOptions, type SmtpSession } from './contracts.ts'

export class Service {
  readonly options: SmtpServerOptions
  readonly limits: SmtpLimits
  readonly extensions: Omit<Extensions, 'auth'>
  readonly budget: MemoryBudget
  readonly clock: Clock
  readonly requireAuth: boolean
  readonly bareLineEndings: 'reject' | 'normalise'

  constructor(options: SmtpServerOptions) {
    this.options = options
    this.limits = { ...defaultLimits, ...options.limits }
    const on = { smtpUtf8: true, dsn: true, chunking: true, binaryMime: true, requireTls: true, ...options.extensions }
    // RFC 3030 §3: there is no BINARYMIME without CHUNKING.
    this.extensions = { ...on, binaryMime: on.binaryMime && on.chunking }
    this.budget = new MemoryBudget(this.limits.bytesInFlight)
    this.clock = options.clock ?? systemClock
    this.requireAuth = options.requireAuth ?? options.kind === 'submission'
    this.bareLineEndings = options.bareLineEndings ?? 'reject'
  }

  report(error: unknown, session: SmtpSession, command: string): void {
    try {
      this.options.onError?.(error, session, command)
    } catch {
      // A listener that throws must not end the session that it was told about.
    }
  }
}
