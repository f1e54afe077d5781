// RFC 5321 §4.1.1.1: the answer to EHLO and LHLO, one line for each extension that this session may use now.

import type { Extensions } from '../parameters.ts'
import type { SmtpReply } from '../reply.ts'
import type { SmtpLimits, Trust } from './contracts.ts'
import { XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES } from './trusted.ts'

export interface Offer {
  readonly hostname: string
  readonly limits: SmtpLimits
  readonly extensions: Extensions
  readonly startTls: boolean
  /** Names of the mechanisms that can be used now. */
  readonly mechanisms: readonly string[]
  readonly trust: Trust
  /** The time of day. */
  readonly now: Date
}

export function helloReply({ hostname, limits, extensions, startTls, mechanisms, trust, now }: Offer): SmtpReply {
  const lines = [hostname, 'PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES']
  if (extensions.chunking) lines.push('CHUNKING')
  if (extensions.binaryMime) lines.push('BINARYMIME')
  if (startTls) lines.push('STARTTLS')
  if (mechanisms.length > 0) lines.push(`AUTH ${mechanisms.join(' ')}`)
  if (extensions.smtpUtf8) lines.push('SMTPUTF8')
  if (extensions.dsn) lines.push('DSN')
  if (extensions.requireTls) lines.push('REQUIRETLS')
  const { deliverBy, priority, futureRelease } = extensions
  if (deliverBy !== false) lines.push(deliverBy === true ? 'DELIVERBY' : `DELIVERBY ${deliverBy}`)
  if (priority !== false) lines.push(priority === true ? 'MT-PRIORITY' : `MT-PRIORITY ${priority}`)
  if (futureRelease > 0) {
    const latest = new Date(now.getTime() + futureRelease * 1000).toISOString()
    lines.push(`FUTURERELEASE ${futureRelease} ${latest.replace(/\.\d+/, '')}`)
  }
  if (trust.xclient === true) lines.push(`XCLIENT ${XCLIENT_ATTRIBUTES.join(' ')}`)
  if (trust.xforward === true) lines.push(`XFORWARD ${XFORWARD_ATTRIBUTES.join(' ')}`)
  lines.push(`SIZE ${limits.messageSize}`, `LIMITS RCPTMAX=${limits.recipients} MAILMAX=${limits.transactions}`, 'HELP')
  // RFC 2034 §4: no enhanced codes in this reply.
  return { code: 250, enhanced: undefined, lines }
}
