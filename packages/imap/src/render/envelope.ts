// RFC 9051 §7.5.2 ENVELOPE: wire octets from a header.

import type { AddressOrGroup, Headers } from '@aviso/mime'
import { Gathering, stringOf } from '../wire/encode.ts'

/** A text as nstring. Octets beyond ASCII leave as UTF-8 in a literal. NUL cannot stand in a string and becomes a space. */
export function nstring(text: string | undefined): Uint8Array | string {
  if (text === undefined) return 'NIL'
  return stringOf(text.includes('\0') ? text.replaceAll('\0', ' ') : text)
}

function addAddress(
  out: Gathering,
  name: string | undefined,
  route: string | undefined,
  mailbox: string | undefined,
  host: string | undefined,
): void {
  out.add('(').add(nstring(name)).add(' ').add(nstring(route)).add(' ')
  out.add(nstring(mailbox)).add(' ').add(nstring(host)).add(')')
}

function addAddresses(out: Gathering, list: readonly AddressOrGroup[]): void {
  for (const entry of list) {
    if (entry.kind === 'group') {
      // A group opens with its name in the mailbox's place and closes with four NILs.
      addAddress(out, undefined, undefined, entry.name, undefined)
      addAddresses(out, entry.members)
      addAddress(out, undefined, undefined, undefined, undefined)
    } else {
      addAddress(out, entry.name === '' ? undefined : entry.name, entry.route, entry.local, entry.domain)
    }
  }
}

/** `(` address ... `)` or undefined for NIL. A field that is there twice is taken once, the first (RFC 5322 allows one). */
function addresses(headers: Headers, field: string): Gathering | undefined {
  const list = headers.addresses(field)
  if (list.length === 0) return undefined
  const out = new Gathering().add('(')
  addAddresses(out, list)
  return out.add(')')
}

/** The ENVELOPE of a message: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id. */
export function renderEnvelope(headers: Headers): Uint8Array {
  const nil = new Gathering().add('NIL')
  const from = addresses(headers, 'From') ?? nil
  const out = new Gathering()
    .add('(')
    .add(nstring(headers.get('Date')))
    .add(' ')
  out
    .add(nstring(headers.get('Subject')))
    .add(' ')
    .addAll(from)
    .add(' ')
  out.addAll(addresses(headers, 'Sender') ?? from).add(' ')
  out.addAll(addresses(headers, 'Reply-To') ?? from).add(' ')
  for (const field of ['To', 'Cc', 'Bcc']) out.addAll(addresses(headers, field) ?? nil).add(' ')
  out
    .add(nstring(headers.get('In-Reply-To')))
    .add(' ')
    .add(nstring(headers.get('Message-ID')))
    .add(')')
  return out.octets()
}
