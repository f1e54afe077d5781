// SQL of guests: who is here for one session, so that a crash leaves nothing of him.

import { read, write } from '../../store/contracts.ts'
import { publish } from './accounts.ts'

/** A guest that was let in and not erased since. */
export interface GuestRow {
  readonly id: string
  readonly address: string
}

export const guestOperations = {
  /** Writes a guest down before anything else is kept of him. */
  admitGuest: write(async (tx, { id, address }: GuestRow) => {
    await tx.run('INSERT INTO accounts_guest (id, address, created) VALUES (?, ?, ?)', id, address, tx.now)
  }),

  guests: read<never, readonly GuestRow[]>(async (tx) => {
    const rows = await tx.all('SELECT id, address FROM accounts_guest ORDER BY created, id')
    return rows.map(([id, address]) => ({ id: String(id), address: String(address) }))
  }),

  /** All that was kept of the guest has been erased. */
  forgetGuest: write(async (tx, { id, address }: GuestRow) => {
    const gone = await tx.run('DELETE FROM accounts_guest WHERE id = ?', id)
    if (gone > 0) publish(tx, { kind: 'deleted', accountId: id, address })
  }),
}
