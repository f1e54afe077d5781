// The octets of messages.

import { read } from '../../store/contracts.ts'
import { mailboxById } from './mailbox-rows.ts'
import { CODEC, octets } from './octets.ts'

export interface RawOrder {
  readonly mailbox: number
  readonly uid: number
  readonly start: number
  /** Undefined: to the end. */
  readonly end: number | undefined
}

/** The octets themselves, or the blob that they are in, or undefined. */
export const raw = read(
  async (tx, { mailbox, uid, start, end }: RawOrder): Promise<Uint8Array | { readonly blob: string } | undefined> => {
    const columns = `SELECT e.id, e.codec, e.size, e.blob, o.header, o.content FROM`
    const row =
      (await tx.get(
        `${columns} mail_message m JOIN mail_email e ON e.id = m.email LEFT JOIN mail_octets o ON o.email = m.email
         WHERE m.mailbox = ? AND m.uid = ? AND EXISTS (SELECT 1 FROM mail_mailbox WHERE id = m.mailbox)`,
        mailbox,
        uid,
      )) ??
      (await tx.get(
        `${columns} mail_expunged m JOIN mail_email e ON e.id = m.email LEFT JOIN mail_octets o ON o.email = m.email
         WHERE m.mailbox = ? AND m.uid = ? AND EXISTS (SELECT 1 FROM mail_mailbox WHERE id = m.mailbox)`,
        mailbox,
        uid,
      ))
    if (row === undefined) {
      await mailboxById(tx, mailbox)
      return undefined
    }
    const [id = 0, codec, size, blob, header, content] = row
    if (codec === CODEC.blob) return { blob: String(blob) }
    if (!(header instanceof Uint8Array)) throw new Error(`the octets of email ${String(id)} are missing`)
    return octets(
      {
        codec: Number(codec),
        size: Number(size),
        header,
        content: content instanceof Uint8Array ? content : new Uint8Array(),
      },
      start,
      end ?? Number(size),
    )
  },
  { returned: (got) => (got instanceof Uint8Array ? [got] : []) },
)
