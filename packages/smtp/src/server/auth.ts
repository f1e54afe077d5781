// RFC 4954: the AUTH exchange, from its command line to its outcome.

import type { FailureCondition, Identity, ServerMechanism } from '@aviso/sasl'
import { SmtpError } from '../reply.ts'
import { TOO_LONG, type Wire } from '../wire.ts'

/**
 * Runs one exchange. `initial` is the initial response as the client coded it (undefined: none, `=`: empty). Returns who logged in.
 * Throws SmtpError when the exchange fails or is cancelled, WireError when the connection does.
 */
export async function authenticate(
  wire: Wire,
  mechanism: ServerMechanism,
  initial: string | undefined,
  maxLine: number,
): Promise<Identity> {
  let step = await mechanism.start(initial === undefined || initial === '=' ? empty(initial) : decodeBase64(initial))
  for (;;) {
    if (step.kind === 'failure') throw failure(step.condition, step.text)
    if (step.kind === 'success' && step.data === undefined) return step.identity
    const response = await challenge(wire, mechanism, step.data ?? new Uint8Array(), maxLine)
    if (step.kind === 'success') {
      // RFC 4954 §4: SMTP cannot carry data with its success, so it goes as a last challenge, to which the client answers nothing.
      if (response.length > 0) throw new SmtpError(501, '5.5.2', 'The last response must be empty')
      return step.identity
    }
    step = await mechanism.next(response)
  }
}

/** RFC 4954 §4: `=` is an initial response of no octets, nothing is none. */
function empty(initial: '=' | undefined): Uint8Array | undefined {
  return initial === undefined ? undefined : new Uint8Array()
}

async function challenge(
  wire: Wire,
  mechanism: ServerMechanism,
  data: Uint8Array,
  maxLine: number,
): Promise<Uint8Array> {
  wire.write(`334 ${Buffer.from(data).toString('base64')}\r\n`)
  const line = await wire.readLine(maxLine)
  if (line === TOO_LONG) throw new SmtpError(500, '5.5.6', 'Authentication exchange line is too long')
  const text = line.toString('latin1')
  if (text === '*') {
    mechanism.abort()
    throw new SmtpError(501, '5.7.0', 'Authentication cancelled')
  }
  return decodeBase64(text)
}

function decodeBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new SmtpError(501, '5.5.2', 'This is no base64')
  }
  return Buffer.from(text, 'base64')
}

/** A SASL condition in SMTP's codes (RFC 4954 §6, RFC 5248). */
function failure(condition: FailureCondition, text: string): SmtpError {
  switch (condition) {
    case 'temporary-auth-failure':
      return new SmtpError(454, '4.7.0', text)
    case 'malformed-request':
      return new SmtpError(501, '5.5.2', text)
    case 'aborted':
      return new SmtpError(501, '5.7.0', text)
    case 'account-disabled':
      return new SmtpError(535, '5.7.13', text)
    case 'mechanism-too-weak':
      return new SmtpError(534, '5.7.9', text)
    case 'invalid-mechanism':
      return new SmtpError(504, '5.5.4', text)
    case 'not-authorized':
    case 'invalid-authzid':
    case 'credentials-expired':
      return new SmtpError(535, '5.7.8', text)
  }
}
