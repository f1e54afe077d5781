// XEP-0363 §4: a slot's ticket. Who shows it may upload one file, of that size and type, and no other.

import { createHmac, timingSafeEqual } from 'node:crypto'

export interface Slot {
  readonly id: string
  /** The id of the account that it was given to. */
  readonly account: string
  readonly size: number
  /** '' where the client named none: any is taken. */
  readonly type: string
  /** When it is too late to begin. Milliseconds since the epoch. */
  readonly until: number
}

/** Longer ones are not even looked at. */
const MAX_TICKET = 1000

const mac = (secret: Uint8Array, text: string): Buffer =>
  createHmac('sha256', secret).update('file-slot\0').update(text).digest()

/** The ticket of a slot: safe in a header and in an address. */
export function ticketOf(secret: Uint8Array, { id, account, size, type, until }: Slot): string {
  const text = Buffer.from(JSON.stringify([id, account, size, type, until])).toString('base64url')
  return `${text}.${mac(secret, text).toString('base64url')}`
}

/** The slot that a ticket is for; undefined where it is none of ours. Whether it is in time is for the caller to see. */
export function slotOf(secret: Uint8Array, ticket: string): Slot | undefined {
  if (ticket.length > MAX_TICKET) return undefined
  const [text = '', signature = '', ...more] = ticket.split('.')
  if (more.length > 0) return undefined
  const given = Buffer.from(signature, 'base64url')
  const right = mac(secret, text)
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
  // We have made it ourselves.
  const [id, account, size, type, until] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [
    string,
    string,
    number,
    string,
    number,
  ]
  return { id, account, size, type, until }
}
