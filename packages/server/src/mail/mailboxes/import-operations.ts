// Importing mail from elsewhere, each message once: what was imported is remembered in the transaction that keeps the message.

import { type Transaction, write } from '../../store/contracts.ts'
import { deliveryMailbox } from './mailbox-operations.ts'
import { insert, type NewMessage } from './insert.ts'
import type { Bounds } from './message-sizes.ts'

/**
 * `key` names a message by what it is and where it is from; a source that has it twice has the same key twice. `imported` are the copies that came in so far;
 * `seen` those that the import `run` has met: the nth copy met is taken when fewer than n came in. So an import that begins anew, in whatever order, completes what an interrupted one left.
 */
export const importMigration = `
CREATE TABLE mail_import (
  key BLOB PRIMARY KEY,
  run INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  imported INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_import_at ON mail_import (at);
`

export interface ImportEntry {
  readonly key: Uint8Array
  /** Which copy it is, where an earlier call has counted it and answered `wanted`. */
  readonly nth: number | undefined
  /** Undefined: only asked whether it is wanted. */
  readonly message: NewMessage | undefined
}

export interface ImportOrder {
  /** Made when it is missing. */
  readonly mailbox: string
  /** Names this pass through the source: 0 to 2^53-1, by chance. */
  readonly run: number
  readonly entries: readonly ImportEntry[]
  readonly limits: Bounds
}

/** What became of an entry: it came in under that UID, it had come in before, or (asked without its content) it is wanted as copy `nth`. */
export type Imported = { readonly uid: number } | 'known' | { readonly nth: number }

export interface ImportOutcome {
  readonly mailbox: number
  /** For each entry. */
  readonly answers: readonly Imported[]
}

/** All entries or none. */
export const importMessages = write(async (tx, order: ImportOrder): Promise<ImportOutcome> => {
  const { mailbox: name, run, entries, limits } = order

  const answers: Imported[] = []
  const fresh: { readonly at: number; readonly message: NewMessage }[] = []
  for (const [at, { key, nth: counted, message }] of entries.entries()) {
    const [lastRun, seen = 0, imported = 0] =
      (await tx.get('SELECT run, seen, imported FROM mail_import WHERE key = ?', key)) ?? []
    const nth = counted ?? (lastRun === run ? Number(seen) + 1 : 1)
    const taken = message !== undefined && nth > Number(imported)
    await tx.run(
      'INSERT INTO mail_import (key, run, seen, imported, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET run = excluded.run, seen = excluded.seen, imported = excluded.imported, at = excluded.at',
      key,
      run,
      counted === undefined ? nth : Math.max(nth, lastRun === run ? Number(seen) : 0),
      Number(imported) + (taken ? 1 : 0),
      tx.now,
    )
    answers.push(nth <= Number(imported) ? 'known' : { nth })
    if (taken) fresh.push({ at, message })
  }
  const mailbox = await deliveryMailbox(tx, name)
  if (fresh.length === 0) return { mailbox: mailbox.id, answers }
  const first = await insert(
    tx,
    mailbox,
    fresh.map(({ message }) => message),
    limits,
  )
  for (const [i, { at }] of fresh.entries()) answers[at] = { uid: first + i }
  return { mailbox: mailbox.id, answers }
})

/** Rows that one call deletes at most, so that nobody waits long behind it. */
const STEP = 5000

async function forget(tx: Transaction, before: number): Promise<boolean> {
  return (
    (await tx.run(
      'DELETE FROM mail_import WHERE key IN (SELECT key FROM mail_import WHERE at < ? LIMIT ?)',
      before,
      STEP,
    )) === STEP
  )
}

/** Forgets what has been imported, so that the next import takes everything again. True when more is left. */
export const forgetImports = (tx: Transaction): Promise<boolean> => forget(tx, Number.MAX_SAFE_INTEGER)

const NINETY_DAYS = 90 * 86_400_000

/** Forgets some of what no import has met for long. */
export const forgetOldImports = (tx: Transaction): Promise<boolean> => forget(tx, tx.now - NINETY_DAYS)
