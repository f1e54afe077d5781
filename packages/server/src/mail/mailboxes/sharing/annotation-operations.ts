// RFC 5464: annotations of mailboxes and of the server, as operations on the owner's database.

import { read, StoreError, type Transaction, write } from '../../../store/contracts.ts'
import { tick } from '../clock.ts'
import type { MailChange } from '../mailbox-rows.ts'
import { demand, type Visitor, visited } from './rights.ts'

/** Octets of one value; entries that one holder has on one mailbox, or on the server. */
const VALUE = 65_536
const ENTRIES = 100

/** The server, where a mailbox's number stands. */
const SERVER = 0
/** The holder of what all see. */
const ALL = ''

export interface AnnotationsOrder {
  /** Undefined: the server, for this account. */
  readonly name: string | undefined
  readonly visitor: Visitor | undefined
  /** The account that asks. */
  readonly holder: string
}

const isShared = (entry: string): boolean => entry.startsWith('/shared/')

async function place(tx: Transaction, { name, visitor }: AnnotationsOrder): Promise<number> {
  if (name === undefined) return SERVER
  const { mailbox, rights } = await visited(tx, name, visitor, 'l')
  // RFC 5464 §3.3
  if (!/[rswip]/.test(rights)) throw new StoreError('NOPERM', 'You have no access to the mailbox')
  return mailbox.id
}

export const annotations = read(
  async (tx, order: AnnotationsOrder): Promise<readonly (readonly [name: string, value: Uint8Array])[]> => {
    const rows = await tx.all(
      'SELECT name, value FROM mail_metadata WHERE mailbox = ? AND holder IN (?, ?) ORDER BY name',
      await place(tx, order),
      ALL,
      order.holder,
    )
    return rows.flatMap(([name, value]) => (value instanceof Uint8Array ? [[String(name), value] as const] : []))
  },
)

export interface SetAnnotationsOrder extends AnnotationsOrder {
  /** Undefined removes. */
  readonly entries: ReadonlyMap<string, Uint8Array | undefined>
}

export const setAnnotations = write(async (tx, order: SetAnnotationsOrder): Promise<void> => {
  const mailbox = await place(tx, order)
  const { entries, holder, visitor } = order
  const shared = [...entries.keys()].filter(isShared)
  if (shared.length > 0) {
    if (mailbox === SERVER) throw new StoreError('NOPERM', 'What all users see of the server is not a user’s to set')
    await demand(tx, mailbox, visitor, 'w')
  }
  for (const [name, value] of entries) {
    const by = isShared(name) ? ALL : holder
    if (value === undefined) {
      await tx.run('DELETE FROM mail_metadata WHERE mailbox = ? AND holder = ? AND name = ?', mailbox, by, name)
      continue
    }
    if (value.length > VALUE) throw new StoreError(`METADATA MAXSIZE ${VALUE}`, `A value has ${VALUE} octets at most`)
    await tx.run(
      'INSERT INTO mail_metadata (mailbox, holder, name, value) VALUES (?, ?, ?, ?) ON CONFLICT (mailbox, holder, name) DO UPDATE SET value = excluded.value',
      mailbox,
      by,
      name,
      value,
    )
  }
  for (const by of [ALL, holder]) {
    const count = await tx.get('SELECT count(*) FROM mail_metadata WHERE mailbox = ? AND holder = ?', mailbox, by)
    if (Number(count?.[0]) > ENTRIES)
      throw new StoreError('METADATA TOOMANY', `No more than ${ENTRIES} entries can be kept here`)
  }
  const { modseq } = await tick(tx)
  // RFC 7162 §3.2: the mailbox has changed.
  if (mailbox !== SERVER) await tx.run('UPDATE mail_mailbox SET modseq = ? WHERE id = ?', modseq, mailbox)
  const own = [...entries.keys()].filter((name) => !isShared(name))
  for (const [names, by] of [
    [shared, ALL],
    [own, holder],
  ] as const) {
    if (names.length === 0) continue
    const change: MailChange = {
      kind: 'mail',
      mailbox: mailbox === SERVER ? undefined : mailbox,
      modseq,
      annotations: { names, holder: by },
    }
    tx.publish(change)
  }
})
