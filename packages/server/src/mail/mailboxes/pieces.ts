// Rendered pieces and keys of messages: batch by batch from the store, the next one on its way while one is worked on.

import type { Bytes, KeyField, MessageKeyBatch, MessageMeta, MetaField } from '@aviso/imap'
import type { Blobs } from '../../store/contracts.ts'
import { answered } from './answers.ts'
import type { MailCalls } from './calls.ts'
import { renderStale } from './catch-up.ts'
import type { MetaPart, NumberField, OctetField } from './meta-operations.ts'

/** UIDs asked for in one call: an answer is full before that many. */
const ASKED_AT_ONCE = 4096

/** Where the pieces come from. */
export interface Source {
  readonly calls: MailCalls
  readonly blobs: Blobs
}

interface Answer {
  readonly consumed: number
  readonly stale: readonly number[]
}

/** The store's answers about all `uids`, in order. Emails that must be rendered first are. */
async function* answersAbout<T extends Answer>(
  source: Source,
  uids: Uint32Array,
  call: (uids: Uint32Array) => Promise<T>,
): AsyncGenerator<T> {
  const ask = (from: number): Promise<T> | undefined => {
    if (from >= uids.length) return undefined
    const asked = answered(call(uids.slice(from, from + ASKED_AT_ONCE)))
    // A caller that leaves early never awaits the batch that was asked for ahead.
    asked.catch(() => undefined)
    return asked
  }
  let at = 0
  for (let next = ask(0); next !== undefined;) {
    const answer = await next
    at += answer.consumed
    if (answer.stale.length > 0) {
      yield answer
      await renderStale(source, answer.stale)
      next = ask(at)
    } else {
      next = ask(at)
      yield answer
    }
  }
}

const NUMBER_FIELDS: readonly MetaField[] = ['emailId', 'threadId', 'saveDate'] satisfies NumberField[]
const isNumber = (field: MetaField): field is NumberField => NUMBER_FIELDS.includes(field)

/** As `Mailbox.meta`. `uids` are ascending. */
export async function* metaOf(
  source: Source,
  mailbox: number,
  uids: Uint32Array,
  fields: readonly MetaField[],
): AsyncGenerator<readonly MessageMeta[]> {
  const wanted = [...new Set(fields)]
  const order = {
    mailbox,
    octets: wanted.filter((field): field is OctetField => !isNumber(field)),
    numbers: wanted.filter(isNumber),
  }
  for await (const { parts } of answersAbout(source, uids, (some) => source.calls.meta({ ...order, uids: some }))) {
    const batch: MessageMeta[] = []
    for (const part of parts) await unpack(source.blobs, part, order, batch)
    if (batch.length > 0) yield batch
  }
}

async function unpack(
  blobs: Blobs,
  part: MetaPart,
  order: { readonly octets: readonly OctetField[]; readonly numbers: readonly NumberField[] },
  batch: MessageMeta[],
): Promise<void> {
  type Row = { uid: number } & { -readonly [Field in keyof Omit<MessageMeta, 'uid'>]: MessageMeta[Field] }
  // Loops by number: those over entries take twice as long.
  const rows: Row[] = []
  for (let i = 0; i < part.uids.length; i++) rows.push({ uid: part.uids[i] ?? 0 })
  for (const [f, field] of order.octets.entries()) {
    const { octets, lengths } = part.octets[f] ?? { octets: new Uint8Array(), lengths: new Uint32Array() }
    let at = 0
    for (let i = 0; i < rows.length; i++) {
      const end = at + (lengths[i] ?? 0)
      ;(rows[i] as Row)[field] = octets.subarray(at, end)
      at = end
    }
  }
  for (const [n, field] of order.numbers.entries())
    for (const [i, row] of rows.entries()) {
      const value = part.numbers[n]?.[i] ?? NaN
      if (field === 'emailId') row.emailId = `e${value}`
      else if (field === 'threadId') row.threadId = `t${value}`
      else if (!Number.isNaN(value)) row.saveDate = value
    }
  for (const { at, blob, size } of part.headers) {
    const row = rows[at]
    if (row !== undefined) row.header = await headerIn(blobs, blob, size)
  }
  batch.push(...rows)
}

/** A blob that is lost is told by whoever asks for the message itself: its header alone is empty. */
const headerIn = async (blobs: Blobs, blob: string, size: number): Promise<Bytes> =>
  (await answered(blobs.get(blob, 0, size))) ?? new Uint8Array()

/** As `Mailbox.keys`. `uids` are ascending. */
export async function* keysOf(
  source: Source,
  mailbox: number,
  uids: Uint32Array,
  field: KeyField,
): AsyncGenerator<MessageKeyBatch> {
  const answers = answersAbout(source, uids, (some) => source.calls.keys({ mailbox, uids: some, field }))
  for await (const { uids: found, keys } of answers) if (found.length > 0) yield { uids: found, keys }
}
