// The header fields that mail programs ask for when they list a mailbox: kept apart, so that such a FETCH reads a few hundred octets of a message.

import type { Headers } from '@aviso/mime'

/** Names in lower case: what Apple Mail, Thunderbird (desktop and Android), neomutt, FairEmail and webmails fetch for their lists. */
export const COMMON_FIELDS: ReadonlySet<string> = new Set([
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'subject',
  'date',
  'message-id',
  'in-reply-to',
  'references',
  'newsgroups',
  'content-type',
  'content-transfer-encoding',
  'content-description',
  'content-language',
  'mime-version',
  'priority',
  'x-priority',
  'importance',
  'lines',
  'list-id',
  'list-post',
  'list-subscribe',
  'list-unsubscribe',
  'list-unsubscribe-post',
  'x-label',
  'x-original-to',
  'delivered-to',
  'auto-submitted',
  'disposition-notification-to',
  'x-uniform-type-identifier',
  'x-universally-unique-identifier',
])

/** The fields of `header` that are in COMMON_FIELDS, in their order, without the empty line. */
export function commonHeader(headers: Headers): Uint8Array {
  const filtered = headers.pick(COMMON_FIELDS)
  return filtered.subarray(0, filtered.length - 2)
}
