// From whatever went wrong to a reply.

import { SmtpError } from '@aviso/smtp'
import { StoreError } from '../../store/contracts.ts'

/** What the client is told: a refusal as it is, a full disk as such, everything else as "later". */
export function asSmtpError(error: unknown): SmtpError {
  if (error instanceof SmtpError) return error
  if (error instanceof StoreError && error.code === 'disk-full')
    return new SmtpError(452, '4.3.1', 'No room left on the server, please try again later', { cause: error })
  return new SmtpError(451, '4.3.0', 'The mail cannot be stored now, please try again later', { cause: error })
}
