// RFC 5256 §2, RFC 5957: the texts that sorting and threading compare, made once of every message.

import {
  type AddressOrGroup,
  baseSubject,
  decodeWords,
  type Headers,
  messageIds,
  parseDate,
  singleSpaced,
} from '@aviso/mime'
import type { KeyField } from '../backend.ts'
import { fold } from '../search/fold.ts'

/** Ids of References that are kept: the first, which is the root, and the last. */
const MOST_REFERENCES = 100
/** Sorting looks no further than this. */
const KEY_CHARACTERS = 250

/** All keys of a message by its header. Never throws. */
export function messageKeys(headers: Headers): Readonly<Record<KeyField, string>> {
  const subject = headers.get('Subject') ?? ''
  const base = baseSubject(subject)
  const from = firstAddress(headers, 'From')
  const to = firstAddress(headers, 'To')
  const date = parseDate(headers.get('Date') ?? '')
  return {
    subject: key(base),
    from: key(from.mailbox),
    to: key(to.mailbox),
    cc: key(firstAddress(headers, 'Cc').mailbox),
    displayFrom: key(from.display),
    displayTo: key(to.display),
    sent: date === undefined ? '' : String(date.time),
    threading: threading(headers, isReply(subject, base)),
  }
}

const key = (text: string): string => fold(text.slice(0, KEY_CHARACTERS)).replaceAll('\n', ' ')

/** RFC 5256 §2.1: the subject had a leader or trailer (`Re:`, `Fwd:`, `(fwd)`), so that it answers something. */
function isReply(subject: string, base: string): boolean {
  if (subject === base && !subject.includes('=?')) return false
  const plain = singleSpaced(decodeWords(subject.slice(0, 2000)))
  if (plain === base) return false
  // Blobs alone (`[list] subject`) are taken off too, but answer nothing.
  return plain.replace(/^(?:\[[^[\]]*\]\s*)+/, '') !== base
}

/** The first address, a group's name where a group comes first (RFC 5256 §3 reads the ENVELOPE's first mailbox field). */
function firstAddress(headers: Headers, field: string): { readonly mailbox: string; readonly display: string } {
  const first: AddressOrGroup | undefined = headers.addresses(field)[0]
  if (first === undefined) return { mailbox: '', display: '' }
  if (first.kind === 'group') return { mailbox: first.name, display: decodeWords(first.name) }
  const address = first.domain === undefined || first.domain === '' ? first.local : `${first.local}@${first.domain}`
  // RFC 5957: the display name, where there is none the address.
  const name = first.name === undefined ? '' : decodeWords(first.name)
  return { mailbox: first.local, display: name === '' ? address : name }
}

function threading(headers: Headers, reply: boolean): string {
  const own = messageIds(headers.get('Message-ID') ?? '', 1)[0] ?? ''
  let references = messageIds(headers.all('References').join(' '))
  if (references.length === 0) references = messageIds(headers.get('In-Reply-To') ?? '', 1)
  if (references.length > MOST_REFERENCES)
    references = [...references.slice(0, 1), ...references.slice(1 - MOST_REFERENCES)]
  return [reply ? '1' : '0', own, ...references].map((id) => id.replaceAll('\n', ' ')).join('\n')
}
