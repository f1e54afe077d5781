// Flags in mbox files: the fields Status, X-Status and X-Keywords (mutt, Dovecot, UW IMAP) and X-Mozilla-Status and X-Mozilla-Keys (Thunderbird).

import type { Headers } from '@aviso/mime'
import { keywordsOf } from './keywords.ts'

/** Fields that say how a message is kept in its mbox: no part of the message, and not to be kept with it. */
export const STATUS_FIELDS: readonly string[] = [
  'status',
  'x-status',
  'x-keywords',
  'x-uid',
  'x-imap',
  'x-imapbase',
  'content-length',
  'x-mozilla-status',
  'x-mozilla-status2',
  'x-mozilla-keys',
]

/** Of these, the ones that we write ourselves. A message that came with one of them is exported without it. */
export const WRITTEN_FIELDS: readonly string[] = ['status', 'x-status', 'x-keywords', 'content-length']

/** Bits of X-Mozilla-Status (nsMsgMessageFlags). */
const MOZILLA = { read: 0x1, replied: 0x2, marked: 0x4, expunged: 0x8, forwarded: 0x1000 } as const

export interface MboxStatus {
  readonly flags: readonly string[]
  /** The message is deleted, only its octets are still there: Thunderbird before it compacts a folder. */
  readonly expunged: boolean
  /** Not a message, but what UW IMAP and Pine keep about the folder. */
  readonly internal: boolean
}

export function mboxStatus(headers: Headers): MboxStatus {
  const flags = new Set<string>()
  if (/r/i.test(headers.get('Status') ?? '')) flags.add('\\Seen')
  const more = headers.get('X-Status') ?? ''
  if (/a/i.test(more)) flags.add('\\Answered')
  if (/f/i.test(more)) flags.add('\\Flagged')
  if (/d/i.test(more)) flags.add('\\Deleted')
  if (/t/i.test(more)) flags.add('\\Draft')
  const hexadecimal = headers.get('X-Mozilla-Status') ?? ''
  const mozilla = /^[0-9a-f]{1,8}$/i.test(hexadecimal) ? parseInt(hexadecimal, 16) : 0
  if (mozilla & MOZILLA.read) flags.add('\\Seen')
  if (mozilla & MOZILLA.replied) flags.add('\\Answered')
  if (mozilla & MOZILLA.marked) flags.add('\\Flagged')
  if (mozilla & MOZILLA.forwarded) flags.add('$Forwarded')
  for (const name of ['X-Keywords', 'X-Mozilla-Keys'])
    for (const field of headers.all(name)) for (const keyword of keywordsOf(field)) flags.add(keyword)
  return {
    flags: [...flags],
    expunged: (mozilla & MOZILLA.expunged) !== 0,
    internal: headers.has('X-IMAP') && /FOLDER INTERNAL DATA/i.test(headers.get('Subject') ?? ''),
  }
}

/** The fields that hold `flags`, with LF line ends. */
export function statusFields(flags: readonly string[]): string {
  const status = flags.includes('\\Seen') ? 'RO' : 'O'
  const more = [
    flags.includes('\\Answered') ? 'A' : '',
    flags.includes('\\Flagged') ? 'F' : '',
    flags.includes('\\Draft') ? 'T' : '',
    flags.includes('\\Deleted') ? 'D' : '',
  ].join('')
  const keywords = flags.filter((flag) => !flag.startsWith('\\'))
  return [
    `Status: ${status}\n`,
    more === '' ? '' : `X-Status: ${more}\n`,
    keywords.length === 0 ? '' : `X-Keywords: ${keywords.join(' ')}\n`,
  ].join('')
}
