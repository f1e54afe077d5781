// What an administrator is told when something cannot be done.

import { StoreError } from '../store/contracts.ts'

/**
 * Why: `not-found` no such thing; `exists` it is there already; `invalid` the value cannot be used; `in-use` something hangs on it;
 * `limit` too many, too deep; `unavailable` not now (disk, database, a room that failed): nothing was changed, try again.
 */
export type AccountErrorCode = 'not-found' | 'exists' | 'invalid' | 'in-use' | 'limit' | 'unavailable'

/** The message is one sentence for a person and names the remedy where there is one. */
export class AccountError extends Error {
  readonly code: AccountErrorCode
  constructor(code: AccountErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AccountError'
    this.code = code
  }
}

const CODES: readonly string[] = [
  'not-found',
  'exists',
  'invalid',
  'in-use',
  'limit',
  'unavailable',
] satisfies AccountErrorCode[]

/** What a store call failed with, as an administrator is told it. Defects pass through unchanged. */
export function accountError(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error
  if (CODES.includes(error.code))
    return new AccountError(error.code as AccountErrorCode, error.message, { cause: error })
  return new AccountError('unavailable', error.message, { cause: error })
}
