// From whatever went wrong to a reply.

import { BackendError } from '@aviso/imap'
import { SmtpError } from '@aviso/smtp'
import { StoreError } from '../../store/contracts.ts'

/** What the client is told: a refusal as it is, a full disk or a message too big as such, everything else as "later". */
export function asSmtpError(error: unknown): SmtpError {
  if (error instanceof SmtpError) return error
  // The mail store speaks IMAP; what it met is the cause.
  const met = error instanceof BackendError && error.cause instanceof StoreError ? error.cause : error
  if (met instanceof StoreError && met.code === 'disk-full')
    return new SmtpError(452, '4.3.1', 'No room left on the server, please try again later', { cause: error })
  if (met instanceof BackendError && met.code === 'TOOBIG')
    return new SmtpError(552, '5.3.4', 'The mail is too big for this mailbox', { cause: error })
  // RFC 3463 §3.3: room may be made while the sender's server tries again.
  if (error instanceof BackendError && error.code === 'OVERQUOTA')
    return new SmtpError(452, '4.2.2', 'The mailbox is full, please try again later', { cause: error })
  return new SmtpError(451, '4.3.0', 'The mail cannot be stored now, please try again later', { cause: error })
}
