// What must change in an envelope and its message for the server at hand, and what it cannot be sent at all.

import { isAscii } from 'node:buffer'
import { normaliseDomain, toSevenBit } from '@aviso/mime'
import { headerEnd, type MessageSource } from '../body/message.ts'
import { textForm } from '../body/text-form.ts'
import type { BodyType } from '../parameters.ts'
import { reply } from '../reply.ts'
import type { OutgoingEnvelope } from './contracts.ts'
import type { Offer } from './offer.ts'
import type { Results } from './results.ts'

/** A transaction as this server can take it. */
export interface Adapted {
  readonly reversePath: string | null
  /** The address for each recipient, by its place in the envelope; those that are missing have their result. */
  readonly addresses: ReadonlyMap<number, string>
  readonly smtpUtf8: boolean
  readonly body: BodyType
  readonly source: OutgoingSource
}

/** A message to be sent, with its octets where they are at hand. */
export interface OutgoingSource extends MessageSource {
  readonly bytes?: Uint8Array | undefined
}

/** A message that is converted must be held whole, and costs time on the event loop. */
const MAX_CONVERTED = 4 * 1024 * 1024
const MAX_HEADER = 1024 * 1024

const NO_UTF8 = reply(550, '5.6.7', 'The server does not offer SMTPUTF8')
const NO_CONVERSION = reply(554, '5.6.3', 'The server takes 7-bit text only, and the message cannot be converted')

/** Octets as a message to be sent. */
export function outgoing(message: Uint8Array | MessageSource): OutgoingSource {
  if (!(message instanceof Uint8Array)) return message
  return { size: message.length, bytes: message, chunks: (from = 0) => slices(message.subarray(from)) }
}

/** Adapts a transaction to what the server offers. Refusals become results; undefined when nobody is left. `chunking`: BDAT will be used. */
export async function adapt(
  envelope: OutgoingEnvelope,
  source: OutgoingSource,
  offer: Offer,
  chunking: boolean,
  results: Results,
): Promise<Adapted | undefined> {
  refuseUnable(envelope, source, offer, results)
  if (results.settled) return undefined
  const addressed = await address(envelope, source, offer, results)
  if (addressed === undefined) return undefined
  refuseSurplus(addressed.addresses, offer, results)
  const encoded = await encode(envelope, source, offer, chunking)
  if (encoded === undefined) results.settleAll('local', NO_CONVERSION)
  return encoded === undefined || results.settled ? undefined : { ...addressed, ...encoded }
}

/** What the sender insists on, and this server does not do. */
function refuseUnable(envelope: OutgoingEnvelope, source: MessageSource, offer: Offer, results: Results): void {
  const size = offer.number('SIZE')
  const { deliverBy, holdUntil } = envelope
  if (size > 0 && source.size > size)
    results.settleAll('local', reply(552, '5.3.4', `The server takes no more than ${size} octets`))
  // RFC 8689 §4.2.1: where it is not offered, the message must not go.
  if (envelope.requireTls === true && !offer.has('REQUIRETLS'))
    results.settleAll('local', reply(550, '5.7.30', 'The server does not offer REQUIRETLS'))
  if (deliverBy?.late === 'return') {
    if (!offer.has('DELIVERBY')) results.settleAll('local', reply(550, '5.3.3', 'The server does not offer DELIVERBY'))
    else if (deliverBy.seconds <= 0 || deliverBy.seconds < offer.number('DELIVERBY'))
      results.settleAll('local', reply(550, '5.4.7', 'The time for the delivery is over, or too short for the server'))
  }
  if (holdUntil !== undefined && !offer.has('FUTURERELEASE'))
    results.settleAll('local', reply(550, '5.3.3', 'The server does not offer FUTURERELEASE'))
}

/** RFC 6531 §3.2: who does not offer SMTPUTF8 gets ASCII only. A domain has an ASCII form; a local part or a header has none. */
async function address(
  envelope: OutgoingEnvelope,
  source: OutgoingSource,
  offer: Offer,
  results: Results,
): Promise<Pick<Adapted, 'reversePath' | 'addresses' | 'smtpUtf8'> | undefined> {
  const { reversePath, recipients } = envelope
  const addresses = new Map(results.pending.map((i) => [i, recipients[i]?.address ?? '']))
  const international =
    envelope.smtpUtf8 === true || !ascii(reversePath ?? '') || !recipients.every(({ address }) => ascii(address))
  if (!international || offer.has('SMTPUTF8')) return { reversePath, addresses, smtpUtf8: international }
  const from = reversePath === null ? null : asciiAddress(reversePath)
  if (from === undefined || (envelope.smtpUtf8 === true && !(await asciiHeader(source)))) {
    results.settleAll('local', NO_UTF8)
    return undefined
  }
  for (const [i, address] of addresses) {
    const plain = asciiAddress(address)
    if (plain === undefined) {
      results.settle(i, 'local', NO_UTF8)
      addresses.delete(i)
    } else {
      addresses.set(i, plain)
    }
  }
  return { reversePath: from, addresses, smtpUtf8: false }
}

/** RFC 9422: more recipients, or more domains of theirs, than the server takes at once must be sent again, later. */
function refuseSurplus(addresses: ReadonlyMap<number, string>, offer: Offer, results: Results): void {
  const max = offer.limit('RCPTMAX')
  const maxDomains = offer.limit('RCPTDOMAINMAX')
  const domains = new Set<string>()
  let count = 0
  for (const [i, address] of addresses) {
    const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase()
    const surplus = count >= max || (domains.size >= maxDomains && !domains.has(domain))
    if (surplus) results.settle(i, 'local', reply(452, '4.5.3', 'More recipients than the server takes at once'))
    else {
      count++
      domains.add(domain)
    }
  }
}

/** How the message is sent; undefined when this server cannot get it. */
async function encode(
  { body }: OutgoingEnvelope,
  source: OutgoingSource,
  offer: Offer,
  chunking: boolean,
): Promise<Pick<Adapted, 'body' | 'source'> | undefined> {
  const eightBit = offer.has('8BITMIME')
  if (body === 'BINARYMIME') {
    if (chunking && offer.has('BINARYMIME')) return { body, source }
    const text = await textForm(source)
    // NUL is no text, wherever it stands: in a message that was 8-bit it may yet be hidden in base64.
    if (text.fault === 'nul' || (!text.ascii && !eightBit)) return convert(text)
    return { body: text.ascii ? '7BIT' : '8BITMIME', source: text.changed ? text : source }
  }
  if (source.bytes !== undefined ? isAscii(source.bytes) : body === '7BIT') return { body: '7BIT', source }
  if (eightBit) return { body: '8BITMIME', source }
  return (await asciiOnly(source)) ? { body: '7BIT', source } : convert(source)
}

/** RFC 6152 §3: an 8-bit message for who takes none. */
async function convert(source: OutgoingSource): Promise<Pick<Adapted, 'body' | 'source'> | undefined> {
  if (source.size > MAX_CONVERTED) return undefined
  const converted = toSevenBit(await gather(source, Infinity))
  return converted === undefined ? undefined : { body: '7BIT', source: outgoing(converted) }
}

async function asciiHeader(source: OutgoingSource): Promise<boolean> {
  const start = await gather(source, MAX_HEADER)
  const end = headerEnd(start)
  return isAscii(end < 0 ? start : start.subarray(0, end))
}

async function asciiOnly(source: MessageSource): Promise<boolean> {
  for await (const piece of source.chunks()) if (!isAscii(piece)) return false
  return true
}

/** The first octets of a message: `most` of them and the rest of a piece. */
async function gather(source: OutgoingSource, most: number): Promise<Buffer> {
  const { bytes } = source
  if (bytes !== undefined) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of source.chunks()) {
    pieces.push(piece)
    length += piece.length
    if (length >= most) break
  }
  return Buffer.concat(pieces, length)
}

/** The address with its domain in A-labels, where that makes ASCII of it. */
function asciiAddress(address: string): string | undefined {
  if (ascii(address)) return address
  const at = address.lastIndexOf('@')
  const domain = normaliseDomain(address.slice(at + 1))
  return at > 0 && domain !== undefined && ascii(address.slice(0, at)) ? `${address.slice(0, at)}@${domain}` : undefined
}

const ascii = (text: string): boolean => !/\P{ASCII}/u.test(text)

const SLICE = 262_144

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE)
}
