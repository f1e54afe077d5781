// What a store refused, as an administrator is told it.

import { BackendError } from '@aviso/imap'
import { MailAdminError, type MailAdminErrorCode } from '../administration.ts'

export const isMissing = (error: unknown): boolean =>
  error instanceof BackendError && (error.code === 'NONEXISTENT' || error.code === 'TRYCREATE')

/** True for what is wrong with a message, not with the mailbox or the disk. */
export const isOfOne = (error: unknown): boolean =>
  error instanceof BackendError && ['TOOBIG', 'CANNOT', 'LIMIT'].includes(error.code ?? '')

const CODES: Readonly<Record<string, MailAdminErrorCode>> = {
  NONEXISTENT: 'not-found',
  TRYCREATE: 'not-found',
  EXPUNGEISSUED: 'not-found',
  ALREADYEXISTS: 'exists',
  CANNOT: 'invalid',
  USEATTR: 'invalid',
  TOOBIG: 'invalid',
  NOPERM: 'invalid',
  LIMIT: 'limit',
  OVERQUOTA: 'limit',
  UNAVAILABLE: 'unavailable',
  INUSE: 'unavailable',
}

/** What a store refused, as an administrator is told it. Defects pass through unchanged. */
export function asMailAdminError(error: unknown): unknown {
  if (!(error instanceof BackendError)) return error
  const code = CODES[error.code ?? '']
  if (code === undefined) return error
  const { message, cause } = error
  const why = code === 'unavailable' && cause instanceof Error ? `${message}: ${cause.message}` : message
  // A name in capitals, such as INBOX, stays one.
  const plain = why.replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase())
  return new MailAdminError(code, plain, { cause: error })
}

export const tooBig = (limit: number): MailAdminError =>
  new MailAdminError('invalid', `a message may have ${limit} octets at most (the setting mail.max-message-size)`)
