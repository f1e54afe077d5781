// APPEND (RFC 9051 §6.3.12), MULTIAPPEND (RFC 3502), APPENDLIMIT (RFC 7889) and literal8 (RFC 3516).

import { formatDateTime } from '../../wire/dates.ts'
import type { SessionCore } from '../core.ts'
import { ImapClientError } from '../errors.ts'
import type { CommandPart, LiteralPart } from '../request.ts'
import { flagList } from '../search-query.ts'

/** A message to be filed. */
export interface AppendMessage {
  /** The message with CRLF line ends: octets, or a stream whose size is known. */
  readonly content: Uint8Array | { readonly size: number; readonly octets: AsyncIterable<Uint8Array> }
  readonly flags?: readonly string[]
  readonly internalDate?: Date
}

/** Where messages were filed (RFC 4315 APPENDUID). */
export interface Appended {
  /** Undefined where the server does not say (no UIDPLUS). */
  readonly uidValidity: number | undefined
  /** In the order of the messages; empty where the server does not say. */
  readonly uids: readonly number[]
}

/** Files messages; with MULTIAPPEND all or none, without it one after the other. */
export async function append(
  core: SessionCore,
  mailbox: string,
  messages: readonly AppendMessage[],
  signal: AbortSignal | undefined,
): Promise<Appended> {
  const limit = core.capabilities.number('APPENDLIMIT')
  const parts = messages.map((message) => messageParts(core, message, limit))
  const batches = core.has('MULTIAPPEND') ? (parts.length > 0 ? [parts.flat()] : []) : parts
  let uidValidity: number | undefined
  const uids: number[] = []
  for (const batch of batches) {
    const { code } = await core.run({ name: 'APPEND', parts: ['APPEND ', core.mailbox(mailbox), ...batch] }, signal)
    if (code?.kind !== 'appenduid') continue
    uidValidity = code.uidValidity
    uids.push(...code.uids)
  }
  return { uidValidity, uids }
}

function messageParts(core: SessionCore, message: AppendMessage, limit: number | undefined): CommandPart[] {
  const { content, flags = [], internalDate } = message
  const size = content instanceof Uint8Array ? content.length : content.size
  if (limit !== undefined && size > limit) {
    throw new ImapClientError(
      'UNSUPPORTED',
      `The server takes messages of ${limit} octets at most, this one has ${size}`,
    )
  }
  if (internalDate !== undefined && Number.isNaN(internalDate.getTime())) {
    throw new ImapClientError('UNSUPPORTED', 'The date of the message is none')
  }
  const date = internalDate === undefined ? '' : ` "${formatDateTime(internalDate.getTime(), 0)}"`
  return [`${flags.length === 0 ? '' : ` ${flagList(flags)}`}${date} `, literal(core, content)]
}

function literal(core: SessionCore, content: AppendMessage['content']): LiteralPart {
  if (!(content instanceof Uint8Array)) return { size: content.size, content: content.octets }
  // Only a literal8 may hold NUL.
  return { octets: content, binary: core.has('BINARY') && content.includes(0) }
}
