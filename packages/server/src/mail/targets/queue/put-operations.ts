// Operations that take mail into the queue.

import { type Transaction, write } from '../../../store/contracts.ts'
import type { Destination, Fact, NewRecipient, QueuedMail } from './contracts.ts'
import { addFact, insertMail, nextNumber } from './rows.ts'

export interface PutOrder {
  readonly mail: Omit<QueuedMail, 'seq'>
  /** Null when they lie in the blob that `mail` names. */
  readonly bytes: Uint8Array | null
  readonly recipients: readonly (NewRecipient & { readonly held: boolean })[]
  /** When to try for the first time. */
  readonly first: number
  /** When to look whether the sender is to be told of the delay. */
  readonly wake: number
  readonly expires: number
}

/** Takes mails, all or none of them; answers where somebody waits for now. */
export const put = write(async (tx, orders: readonly PutOrder[]): Promise<readonly Destination[]> => {
  const destinations = new Map<number, Destination>()
  for (const order of orders) for (const one of await keep(tx, order)) destinations.set(one.id, one)
  return [...destinations.values()]
})

/**
 * Takes a mail for all its recipients; answers where they wait for. A notification of ours that comes through the pipeline for the second time, as we were killed
 * when it came for the first, is taken for those recipients only that it was not taken for then.
 */
async function keep(tx: Transaction, order: PutOrder): Promise<readonly Destination[]> {
  const recipients = await notTaken(tx, order.mail.id, order.recipients)
  if (recipients.length === 0) return []
  const seq = await insertMail(tx, order.mail, order.bytes, recipients.length)
  const destinations = new Map<string, Destination & { waiting: number; attempts: number }>()
  for (const [n, one] of recipients.entries()) {
    const key = `${one.target} ${one.destination}`
    let destination = destinations.get(key)
    if (destination === undefined) {
      destination = { ...(await destinationOf(tx, one.target, one.destination)), waiting: 0, attempts: 0 }
      destinations.set(key, destination)
    }
    destination.waiting++
    if (!one.held) destination.attempts++
    await tx.run(
      "INSERT INTO spool_recipient (mail, n, destination, address, recipient, account, parameters, next_attempt, wake, expires, held, attempts, last_attempt, code, enhanced, error, remote) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '', '', '')",
      seq,
      n,
      destination.id,
      one.address,
      one.recipient,
      one.account,
      one.parameters,
      one.held ? null : order.first,
      one.held ? null : order.wake,
      order.expires,
      one.held ? Math.max(1, tx.now) : 0,
    )
  }
  for (const { id, waiting, attempts } of destinations.values())
    if (attempts === 0) await tx.run('UPDATE spool_destination SET waiting = waiting + ? WHERE id = ?', waiting, id)
    else
      await tx.run(
        'UPDATE spool_destination SET waiting = waiting + ?, due = CASE WHEN down_until > ? THEN down_until WHEN due IS NULL OR due > ? THEN ? ELSE due END WHERE id = ?',
        waiting,
        order.first,
        order.first,
        order.first,
        id,
      )
  return [...destinations.values()]
    .filter(({ attempts }) => attempts > 0)
    .map(({ id, target, name }) => ({ id, target, name }))
}

/** What the sender wants to hear of recipients that the mail reached without waiting (RFC 3461 §4.1, SUCCESS). `bytes`: the header of the mail. */
export const tell = write(
  async (
    tx,
    order: {
      readonly mail: Omit<QueuedMail, 'seq'>
      readonly bytes: Uint8Array
      readonly facts: readonly Fact[]
      readonly report: string
    },
  ) => {
    const seq = await insertMail(tx, order.mail, order.bytes, 0)
    for (const fact of order.facts) await addFact(tx, seq, 'success', fact, order.report)
  },
)

async function destinationOf(tx: Transaction, target: string, name: string): Promise<Destination> {
  const row = await tx.get('SELECT id FROM spool_destination WHERE target = ? AND name = ?', target, name)
  if (row !== undefined) return { id: Number(row[0]), target, name }
  const id = await nextNumber(tx, 'destination')
  await tx.run(
    "INSERT INTO spool_destination (id, target, name, waiting, due, failures, down_until, last_attempt, code, enhanced, error, remote) VALUES (?, ?, ?, 0, NULL, 0, 0, 0, 0, '', '', '')",
    id,
    target,
    name,
  )
  return { id, target, name }
}

async function notTaken<R extends NewRecipient>(
  tx: Transaction,
  id: string,
  recipients: readonly R[],
): Promise<readonly R[]> {
  const report = await tx.get('SELECT seq, taken FROM spool_report WHERE id = ?', id)
  if (report === undefined) return recipients
  const taken = new Set(JSON.parse(String(report[1])) as string[])
  const left = recipients.filter((one) => !taken.has(`${one.target} ${one.address}`))
  for (const { target, address } of left) taken.add(`${target} ${address}`)
  await tx.run('UPDATE spool_report SET taken = ? WHERE seq = ?', JSON.stringify([...taken]), Number(report[0]))
  return left
}
