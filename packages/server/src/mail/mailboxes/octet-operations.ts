// The octets of messages.

import { read } from '../../store/contracts.ts'
import { mailboxById } from './mailbox-rows.ts'
import { CODEC, copyOctets, type Held, octets } from './octets.ts'
import { spans } from './uids.ts'

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

/** Messages one behind the other. */
export interface RawMany {
  readonly octets: Uint8Array
  /** For each UID how long its message is; -1: it is not here, and `raw` tells more. */
  readonly lengths: Int32Array
}

/** The messages `uids` (ascending) that are in the database, whole. The caller knows their sizes, and asks for no more of them than it can hold. */
export const rawMany = read(
  async (tx, { mailbox, uids }: { mailbox: number; uids: Uint32Array }): Promise<RawMany> => {
    await mailboxById(tx, mailbox)
    const held: Held[] = []
    const lengths = new Int32Array(uids.length).fill(-1)
    let total = 0
    for (const span of spans(uids)) {
      let at = span.start
      for (const [uid, codec, size, header, content] of await tx.all(
        `SELECT m.uid, e.codec, e.size, o.header, o.content FROM mail_message m JOIN mail_email e ON e.id = m.email JOIN mail_octets o ON o.email = m.email
         WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? ORDER BY m.uid`,
        mailbox,
        span.first,
        span.last,
      )) {
        while ((uids[at] ?? Infinity) < Number(uid)) at++
        if (uids[at] !== uid || !(header instanceof Uint8Array) || !(content instanceof Uint8Array)) continue
        held.push({ codec: Number(codec), size: Number(size), header, content })
        lengths[at] = Number(size)
        total += Number(size)
      }
    }
    const out = new Uint8Array(total)
    let at = 0
    for (const one of held) {
      copyOctets(one, 0, one.size, out, at)
      at += one.size
    }
    return { octets: out, lengths }
  },
  { returned: (many) => [many.octets] },
)
