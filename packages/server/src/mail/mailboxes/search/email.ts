// An email's octets, as the index and its searches read them.

import type { Transaction } from '../../../store/contracts.ts'
import { CODEC, octets } from '../octets.ts'

/** Where an email's octets are when they are not in the account's database. */
export interface Elsewhere {
  readonly email: number
  readonly blob: string
  readonly size: number
}

/** The octets of an email, the blob that they are in, or undefined when there is no such email. */
export async function readEmail(tx: Transaction, email: number): Promise<Uint8Array | Elsewhere | undefined> {
  const row = await tx.get(
    'SELECT e.codec, e.size, e.blob, o.header, o.content FROM mail_email e JOIN mail_octets o ON o.email = e.id WHERE e.id = ?',
    email,
  )
  if (row === undefined) return undefined
  const [codec, size, blob, header, content] = row
  if (codec === CODEC.blob) return { email, blob: String(blob), size: Number(size) }
  return octets(
    { codec: Number(codec), size: Number(size), header: bytes(header), content: bytes(content) },
    0,
    Number(size),
  )
}

/** The header of an email; undefined when it is not kept in the database. */
export async function readHeader(tx: Transaction, email: number): Promise<Uint8Array | undefined> {
  const [header] = (await tx.get('SELECT header FROM mail_octets WHERE email = ?', email)) ?? []
  return header instanceof Uint8Array ? header : undefined
}

const bytes = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array())
