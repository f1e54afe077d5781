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
    await mailboxById(tx, mailbox)
    const columns = 'SELECT e.id, e.codec, e.size, e.header_size, e.blob FROM'
    const row =
      (await tx.get(
        `${columns} mail_message m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid = ?`,
        mailbox,
        uid,
      )) ??
      (await tx.get(
        `${columns} mail_expunged m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid = ?`,
        mailbox,
        uid,
      ))
    if (row === undefined) return undefined
    const [id = 0, codec, size, headerSize, blob] = row
    if (codec === CODEC.blob) return { blob: String(blob) }
    const to = end ?? Number(size)
    const inHeader = to <= Number(headerSize)
    const held = inHeader
      ? await tx.get('SELECT header FROM mail_octets WHERE email = ?', id)
      : await tx.get('SELECT header, content FROM mail_octets WHERE email = ?', id)
    const [header, content] = held ?? []
    if (!(header instanceof Uint8Array)) throw new Error(`the octets of email ${String(id)} are missing`)
    return octets(
      {
        codec: Number(codec),
        size: Number(size),
        header,
        content: content instanceof Uint8Array ? content : new Uint8Array(),
      },
      start,
      to,
    )
  },
)
