// RFC 9051 §7.5.2 ENVELOPE: wire octets from a header.

import { type AddressOrGroup, type Headers, parseAddressList } from '@aviso/mime'
import { encodeString, join } from '../wire/encode.ts'

type Piece = Uint8Array | string

/** What stands between quotes as it is; longer ones leave as literals (see `encodeString`). */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]{0,1024}$/

/** A text as nstring. Octets beyond ASCII leave as UTF-8 in a literal. NUL cannot stand in a string and becomes a space. */
export function nstring(text: string | undefined): Piece {
  if (text === undefined) return 'NIL'
  if (PLAIN.test(text)) return `"${text}"`
  return encodeString(Buffer.from(text.includes('\0') ? text.replaceAll('\0', ' ') : text))
}

function address(
  name: string | undefined,
  route: string | undefined,
  mailbox: string | undefined,
  host: string | undefined,
): Piece {
  const pieces = ['(', nstring(name), ' ', nstring(route), ' ', nstring(mailbox), ' ', nstring(host), ')']
  return pieces.every((piece) => typeof piece === 'string') ? pieces.join('') : join(pieces)
}

function addAddresses(out: Piece[], list: readonly AddressOrGroup[]): void {
  for (const entry of list) {
    if (entry.kind === 'group') {
      // A group opens with its name in the mailbox's place and closes with four NILs.
      out.push(address(undefined, undefined, entry.name, undefined))
      addAddresses(out, entry.members)
      out.push(address(undefined, undefined, undefined, undefined))
    } else {
      const name = entry.name === '' ? undefined : entry.name
      out.push(address(name, entry.route, entry.local, entry.domain))
    }
  }
}

/** `(` address ... `)` joined; undefined where there are none. A field that is there twice is taken once, the first (RFC 5322 allows one). */
function addresses(headers: Headers, field: string): Piece | undefined {
  const value = headers.get(field)
  if (value === undefined) return undefined
  const list = parseAddressList(value)
  if (list.length === 0) return undefined
  const out: Piece[] = ['(']
  addAddresses(out, list)
  out.push(')')
  return join(out)
}

/** The ENVELOPE of a message: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id. */
export function renderEnvelope(headers: Headers): Uint8Array {
  const from = addresses(headers, 'From') ?? 'NIL'
  const out: Piece[] = ['(', nstring(headers.get('Date')), ' ', nstring(headers.get('Subject')), ' ', from, ' ']
  // Tens of thousands of addresses may stand in a field: each is one piece here, never many arguments of a call.
  for (const field of ['Sender', 'Reply-To']) out.push(addresses(headers, field) ?? from, ' ')
  for (const field of ['To', 'Cc', 'Bcc']) out.push(addresses(headers, field) ?? 'NIL', ' ')
  out.push(nstring(headers.get('In-Reply-To')), ' ', nstring(headers.get('Message-ID')), ')')
  return join(out)
}
