// RFC 7239, and X-Forwarded-For: whom a proxy in front speaks for.

import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { type AddressSet, plainAddress } from '../addresses.ts'

/** The client as the proxies tell; undefined where they do not. */
export interface Forwarded {
  readonly address: string | undefined
  readonly secure: boolean | undefined
  readonly host: string | undefined
}

/** So many proxies in a row are read, from the nearest on. */
const MAX_HOPS = 20

const one = (header: string | readonly string[] | undefined): string | undefined =>
  typeof header === 'string' ? header : header?.join(',')

/**
 * Reads what proxies added to a request. `peer` is who has connected: nothing is believed of anybody who is not in `trusted`, and of the list of addresses no more than trusted proxies have written:
 * the last address that is none of theirs is the client's.
 */
export function forwarded(
  peer: string,
  headers: IncomingHttpHeaders,
  trusted: (address: string) => boolean,
): Forwarded {
  if (!trusted(peer)) return { address: undefined, secure: undefined, host: undefined }
  const standard = one(headers.forwarded)
  if (standard !== undefined) {
    const hops = split(standard, ',').slice(-MAX_HOPS).map(pairs)
    const at = client(
      hops.map((hop) => hop.get('for')),
      trusted,
    )
    // Scheme and host are those that the client used: as the proxy says that it came to.
    const hop = hops[at.index]
    return { address: at.address, secure: secure(hop?.get('proto')), host: hop?.get('host') }
  }
  const list = one(headers['x-forwarded-for'])
  const proto = one(headers['x-forwarded-proto'])?.split(',').at(-1)
  return {
    address: list === undefined ? undefined : client(list.split(',').slice(-MAX_HOPS), trusted).address,
    secure: secure(proto),
    host: one(headers['x-forwarded-host'])?.split(',').at(-1)?.trim(),
  }
}

const secure = (proto: string | undefined): boolean | undefined =>
  proto === undefined ? undefined : ['https', 'wss'].includes(proto.trim().toLowerCase())

/** From the nearest hop on: the first that is no trusted proxy; the farthest one where all are. What hides its name (`unknown`, `_secret`) ends the chain at the proxy that told. */
function client(
  hops: readonly (string | undefined)[],
  trusted: (address: string) => boolean,
): { index: number; address: string | undefined } {
  let found: { index: number; address: string | undefined } = { index: hops.length - 1, address: undefined }
  for (let index = hops.length - 1; index >= 0; index--) {
    const address = addressOf(hops[index])
    if (address === undefined) break
    found = { index, address }
    if (!trusted(address)) break
  }
  return found
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`. */
function addressOf(text: string | undefined): string | undefined {
  const trimmed = text?.trim() ?? ''
  const bare =
    /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(trimmed)?.[1] ?? /^([0-9.]+):\d{1,5}$/.exec(trimmed)?.[1] ?? trimmed
  return isIP(bare) === 0 ? undefined : plainAddress(bare.toLowerCase())
}

/** The parameters of one hop; values may be quoted (RFC 7239 §4). */
function pairs(hop: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const pair of split(hop, ';')) {
    const at = pair.indexOf('=')
    if (at < 0) continue
    const value = pair.slice(at + 1).trim()
    const plain = /^"((?:[^"\\]|\\.)*)"$/.exec(value)?.[1]?.replaceAll(/\\(.)/g, '$1') ?? value
    values.set(pair.slice(0, at).trim().toLowerCase(), plain)
  }
  return values
}

/** Splits outside of quotes. */
function split(text: string, separator: string): string[] {
  const parts: string[] = []
  let from = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (quoted && character === '\\') i++
    else if (character === '"') quoted = !quoted
    else if (character === separator && !quoted) {
      parts.push(text.slice(from, i))
      from = i + 1
    }
  }
  return [...parts, text.slice(from)]
}

/** The trusted proxies of a setting; a peer over a unix socket has no address, and is one where `unix` is among them. */
export const trustedBy =
  (set: AddressSet, unix: boolean) =>
  (address: string): boolean =>
    address === '' ? unix : set.has(address)
