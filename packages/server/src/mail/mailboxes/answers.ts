// What the store answers, as IMAP sessions and deliveries understand it.

import { BackendError, type FlagSet, type MessageRow } from '@aviso/imap'
import { StoreError } from '../../store/contracts.ts'
import type { Columns } from './columns.ts'

/** Waits for the store. Its refusals arrive as `BackendError`: response codes as they are, faults of disk and database as UNAVAILABLE (RFC 5530). */
export async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    if (/^[A-Z]+$/.test(error.code)) throw new BackendError(error.code, error.message, { cause: error })
    throw new BackendError('UNAVAILABLE', 'The mail store cannot be used now: try again later', { cause: error })
  }
}

/** `columns`, whose flag sets are keys of `sets`, as rows. */
export function messageRows(columns: Columns, sets: ReadonlyMap<number, FlagSet>): MessageRow[] {
  const { uids, flagsets, modseqs, sizes, internalDates, zones } = columns
  const rows: MessageRow[] = []
  for (let i = 0; i < uids.length; i++)
    rows.push({
      uid: uids[i] ?? 0,
      flags: sets.get(flagsets[i] ?? 0) ?? [],
      modseq: modseqs[i] ?? 0,
      size: sizes[i] ?? 0,
      internalDate: internalDates[i] ?? 0,
      zone: zones[i] ?? 0,
    })
  return rows
}
