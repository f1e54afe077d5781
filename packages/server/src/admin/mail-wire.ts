// Messages on their way between the command line and the server: small ones with the request, large ones in pieces.

import { randomBytes } from 'node:crypto'
import type { MessageLine, MessageQuery } from '../mail/administration.ts'
import type { Moment } from '../mail/transfer/contracts.ts'
import { type MailOnWire, PIECE_OCTETS } from './mail-operations.ts'
import type { Admin } from './operations.ts'

/** Makes a message ready to be sent; of a large one, the pieces go now. */
export async function onWire(
  admin: Admin,
  message: { readonly bytes: Uint8Array; readonly flags: readonly string[]; readonly date: Moment | undefined },
): Promise<MailOnWire> {
  const { bytes, flags, date } = message
  const rest = { flags, ...(date === undefined ? {} : { date }) }
  if (bytes.byteLength <= PIECE_OCTETS) return { ...rest, content: base64(bytes) }
  const token = randomBytes(12).toString('hex')
  for (let at = 0; at < bytes.byteLength; at += PIECE_OCTETS)
    await admin.ask('mail.stage', {
      token,
      content: base64(bytes.subarray(at, at + PIECE_OCTETS)),
      octets: bytes.byteLength,
    })
  return { ...rest, content: { staged: token } }
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

/** Where messages are. */
export interface InMailbox {
  readonly address: string
  readonly mailbox: string
}

/** A message; undefined when it is gone. `size` are its octets, where they are known: then a large one is fetched in pieces at once. */
export async function fetchMessage(admin: Admin, where: InMailbox, uid: number, size = 0): Promise<Buffer | undefined> {
  if (size <= PIECE_OCTETS) {
    const [found] = await admin.ask('message.read', { ...where, uids: [uid] })
    if (found !== undefined && found.content !== null) return Buffer.from(found.content, 'base64')
  }
  const pieces: Buffer[] = []
  for (let start = 0; ; start += PIECE_OCTETS) {
    const piece = await admin.ask('message.piece', { ...where, uid, start })
    if (piece === null) return undefined
    const octets = Buffer.from(piece, 'base64')
    pieces.push(octets)
    if (octets.length < PIECE_OCTETS) return Buffer.concat(pieces)
  }
}

/** Lines of a mailbox, page by page. */
export async function* listMessages(
  admin: Admin,
  where: InMailbox,
  query: MessageQuery,
  headers: boolean,
): AsyncGenerator<readonly MessageLine[]> {
  for (let after = 0; ;) {
    const { rows, next } = await admin.ask('message.list', { ...where, query, after, limit: 500, headers })
    if (rows.length > 0) yield rows
    if (next === undefined) return
    after = next
  }
}

/** Octets of messages that are fetched together. */
const TOGETHER = PIECE_OCTETS
const MESSAGES_TOGETHER = 100

/** The messages of some lines with their octets, in order; those that have gone meanwhile are passed over. */
export async function* fetchMessages(
  admin: Admin,
  where: InMailbox,
  lines: readonly MessageLine[],
): AsyncGenerator<{ readonly line: MessageLine; readonly bytes: Buffer }> {
  for (let at = 0; at < lines.length;) {
    const some: MessageLine[] = []
    let octets = 0
    for (let line = lines[at]; line !== undefined; line = lines[at]) {
      if (some.length > 0 && (octets + line.size > TOGETHER || some.length >= MESSAGES_TOGETHER)) break
      some.push(line)
      octets += line.size
      at++
    }
    const [only] = some
    if (some.length === 1 && only !== undefined && only.size > PIECE_OCTETS) {
      const bytes = await fetchMessage(admin, where, only.uid, only.size)
      if (bytes !== undefined) yield { line: only, bytes }
      continue
    }
    const found = await admin.ask('message.read', { ...where, uids: some.map(({ uid }) => uid) })
    for (const [i, { content }] of found.entries()) {
      const line = some[i]
      if (line !== undefined && content !== null) yield { line, bytes: Buffer.from(content, 'base64') }
    }
  }
}
