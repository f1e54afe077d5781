// RFC 9051 §7.5.2 ENVELOPE.

import { decodeWords } from '@aviso/mime'
import type { Quirk } from './quirks.ts'
import { ResponseFault, type Tree } from './scanner.ts'

/** One address. */
export interface EnvelopeAddress {
  readonly kind: 'mailbox'
  /** Display name, decoded. */
  readonly name: string | undefined
  /** `anna@example.org`; '' when there is none. */
  readonly address: string
}

/** A named group of addresses (RFC 5322 §3.4). */
export interface EnvelopeGroup {
  readonly kind: 'group'
  readonly name: string
  readonly members: readonly EnvelopeAddress[]
}

/** The addresses of one header field, in its order. */
export type EnvelopeAddresses = readonly (EnvelopeAddress | EnvelopeGroup)[]

/** The header of a message as ENVELOPE tells of it (RFC 9051 §7.5.2). */
export interface Envelope {
  /** The Date field as written. */
  readonly date: string | undefined
  /** Decoded. */
  readonly subject: string | undefined
  readonly from: EnvelopeAddresses
  readonly sender: EnvelopeAddresses
  readonly replyTo: EnvelopeAddresses
  readonly to: EnvelopeAddresses
  readonly cc: EnvelopeAddresses
  readonly bcc: EnvelopeAddresses
  readonly inReplyTo: string | undefined
  readonly messageId: string | undefined
}

type Note = (quirk: Quirk) => void

/** Octets of a header as text: UTF-8 where they are, else one character per octet. */
export function headerText(octets: Buffer): string {
  const text = octets.toString('utf8')
  return text.includes('\ufffd') ? octets.toString('latin1') : text
}

/** `nstring` as text. Where `note` is given, an atom in its place is reported. */
export function text(value: Tree, note?: Note): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string') {
    note?.('string-as-atom')
    return value
  }
  if (Buffer.isBuffer(value)) return headerText(value)
  throw new ResponseFault('a list stands where a string belongs')
}

const decoded = (value: Tree, note: Note): string | undefined => {
  const written = text(value, note)
  return written === undefined ? undefined : decodeWords(written)
}

/** Throws `ResponseFault` when it is none. */
export function readEnvelope(tree: Tree, note: Note): Envelope {
  if (!isList(tree)) throw new ResponseFault('an envelope is a list')
  if (tree.length < 10) note('envelope-short')
  const [date, subject, from, sender, replyTo, to, cc, bcc, inReplyTo, messageId] = tree
  return {
    date: text(date, note),
    subject: decoded(subject, note),
    from: addresses(from, note),
    sender: addresses(sender, note),
    replyTo: addresses(replyTo, note),
    to: addresses(to, note),
    cc: addresses(cc, note),
    bcc: addresses(bcc, note),
    inReplyTo: text(inReplyTo, note),
    messageId: text(messageId, note),
  }
}

function addresses(tree: Tree, note: Note): EnvelopeAddresses {
  if (tree === undefined) return []
  // `""` instead of NIL is met too.
  if (!isList(tree)) {
    if (text(tree, note) !== '') throw new ResponseFault('addresses are a list')
    note('address-list-empty')
    return []
  }
  if (tree.length === 0) note('address-list-empty')
  const out: (EnvelopeAddress | EnvelopeGroup)[] = []
  let group: { name: string; members: EnvelopeAddress[] } | undefined
  for (const one of tree) {
    if (!isList(one)) throw new ResponseFault('an address is a list')
    const [name, local, host] = [decoded(one[0], note), text(one[2], note), text(one[3], note)]
    if (host === undefined && local !== undefined) {
      // RFC 9051 §7.5.2: a group begins with its name, ends with nothing.
      group = { name: decodeWords(local), members: [] }
      out.push({ kind: 'group', ...group })
    } else if (host === undefined && name === undefined) group = undefined
    else {
      const address = local === undefined ? '' : host === undefined || host === '' ? local : `${local}@${host}`
      ;(group?.members ?? out).push({ kind: 'mailbox', name, address })
    }
  }
  return out
}

/** Lists are arrays; `Array.isArray` does not narrow readonly ones. */
export const isList = (tree: Tree): tree is readonly Tree[] => Array.isArray(tree)
