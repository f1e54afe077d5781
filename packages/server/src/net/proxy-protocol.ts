// The PROXY protocol (haproxy's proxy-protocol.txt), versions 1 and 2: who a connection really comes from, told by a proxy in front.

import { isIPv4, isIPv6, SocketAddress, type Socket } from 'node:net'
import * as v from 'valibot'
import type { Clock } from '../kernel/clock.ts'
import { networkRange, plainAddress } from './addresses.ts'
import { type Beginning, type BeginningFailure, readBeginning } from './beginning.ts'

/** The two ends of a connection, as its first proxy saw them. A unix peer has the address '' and the port 0. */
export interface Origin {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
}

/** What the octets so far are: not enough yet, no header, or a header of `length` octets. No `origin`: the proxy speaks for itself (a health check). */
export type ProxyHeader =
  | { readonly kind: 'more' }
  | { readonly kind: 'bad' }
  | { readonly kind: 'header'; readonly length: number; readonly origin: Origin | undefined }

const MORE: ProxyHeader = { kind: 'more' }
const BAD: ProxyHeader = { kind: 'bad' }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V1_START = Buffer.from('PROXY ', 'latin1')
/** Section 2.1: the longest line of version 1, with its CRLF. */
const MAX_LINE = 107
const V2_FIXED = 16
/** Octets behind the fixed part of version 2: addresses, and TLVs that we do not read. */
const MAX_V2 = 4096
const V2_ADDRESS_OCTETS: Readonly<Record<number, number>> = { 1: 12, 2: 36, 3: 216 }

/** Reads a header from the first octets of a connection. */
export function parseProxyHeader(octets: Buffer): ProxyHeader {
  const version = octets[0] === SIGNATURE[0] ? SIGNATURE : V1_START
  const compared = Math.min(octets.length, version.length)
  if (version.compare(octets, 0, compared, 0, compared) !== 0) return BAD
  return version === SIGNATURE ? parseV2(octets) : parseV1(octets)
}

function parseV1(octets: Buffer): ProxyHeader {
  const end = octets.subarray(0, MAX_LINE).indexOf('\r\n', 0, 'latin1')
  if (end < 0) return octets.length >= MAX_LINE ? BAD : MORE
  const length = end + 2
  const words = octets.toString('latin1', V1_START.length, end).split(' ')
  if (words[0] === 'UNKNOWN') return { kind: 'header', length, origin: undefined }
  const [family, from = '', to = '', fromPort = '', toPort = '', ...more] = words
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : undefined
  const remotePort = portOf(fromPort)
  const localPort = portOf(toPort)
  if (isAddress === undefined || more.length > 0 || remotePort === undefined || localPort === undefined) return BAD
  if (!isAddress(from) || !isAddress(to) || from.includes('%') || to.includes('%')) return BAD
  return {
    kind: 'header',
    length,
    origin: { remoteAddress: plain(from), remotePort, localAddress: plain(to), localPort },
  }
}

function parseV2(octets: Buffer): ProxyHeader {
  if (octets.length < V2_FIXED) return MORE
  const command = octets.readUInt8(12)
  const family = octets.readUInt8(13)
  const behind = octets.readUInt16BE(14)
  if (command !== 0x20 && command !== 0x21) return BAD
  if (behind > MAX_V2) return BAD
  const length = V2_FIXED + behind
  if (octets.length < length) return MORE
  // LOCAL: the proxy's own connection. UNSPEC: it does not know, and its own address stands (section 2.2).
  if (command === 0x20 || family === 0) return { kind: 'header', length, origin: undefined }
  const addressOctets = V2_ADDRESS_OCTETS[family >> 4]
  if (addressOctets === undefined || (family & 15) !== 1 || behind < addressOctets) return BAD
  if (family >> 4 === 3) {
    return { kind: 'header', length, origin: { remoteAddress: '', remotePort: 0, localAddress: '', localPort: 0 } }
  }
  const size = family >> 4 === 1 ? 4 : 16
  const from = octets.subarray(V2_FIXED, V2_FIXED + size)
  const to = octets.subarray(V2_FIXED + size, V2_FIXED + 2 * size)
  return {
    kind: 'header',
    length,
    origin: {
      remoteAddress: addressText(from),
      remotePort: octets.readUInt16BE(V2_FIXED + 2 * size),
      localAddress: addressText(to),
      localPort: octets.readUInt16BE(V2_FIXED + 2 * size + 2),
    },
  }
}

function portOf(text: string): number | undefined {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined
}

function addressText(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(i * 2).toString(16))
  return plain(groups.join(':'))
}

/** The address in its one spelling. */
function plain(address: string): string {
  return plainAddress(isIPv4(address) ? address : new SocketAddress({ address, family: 'ipv6' }).address)
}

/** Why a connection that had to begin with a header was closed. */
export type ProxyFailure = BeginningFailure | 'bad-header'

/**
 * Takes the header off the beginning of a connection; all behind it stays in the socket, unread. Calls `done` once, with the origin or what went wrong: the socket is then
 * still open, and the caller's to close.
 */
export function readProxyHeader(
  socket: Socket,
  clock: Clock,
  timeout: number,
  done: (result: { readonly origin: Origin | undefined } | { readonly failure: ProxyFailure }) => void,
): void {
  const judge = (octets: Buffer): Beginning<Exclude<ProxyHeader, { kind: 'more' }>> => {
    const header = parseProxyHeader(octets)
    if (header.kind === 'more') return 'more'
    return { taken: header.kind === 'header' ? header.length : octets.length, value: header }
  }
  readBeginning(socket, clock, timeout, judge, (result) => {
    if ('failure' in result) done(result)
    else if (result.value.kind === 'bad') done({ failure: 'bad-header' })
    else done({ origin: result.value.origin })
  })
}

/** The setting `proxy-protocol` of endpoints: who has to begin its connections with a header. */
export const proxyProtocol = v.optional(
  v.pipe(
    v.array(v.union([v.literal('unix'), networkRange], 'expected an address, a network, or unix')),
    v.description(
      'proxies, by address or network (unix: whoever connects to a unix socket), whose connections begin with a PROXY header, version 1 or 2; from all others it is no header',
    ),
  ),
  [],
)
