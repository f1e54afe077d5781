// Addresses: where to listen, as the config writes it, and where peers come from.

import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import * as v from 'valibot'

/** Where to listen. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'systemd'; readonly name: string }

/** Reads `[::]:25`, `127.0.0.1:0`, `25` (all addresses), `unix:/path` or `systemd:name`. Undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice(5)
    return path.startsWith('/') && path.length <= 107 ? { kind: 'unix', path } : undefined
  }
  if (text.startsWith('systemd:')) {
    const name = text.slice(8)
    return /^[A-Za-z0-9._-]{1,255}$/.test(name) ? { kind: 'systemd', name } : undefined
  }
  const match = /^(?:(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):)?(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const [, six, four, digits] = match
  const port = Number(digits)
  if (port > 65535 || (six !== undefined && !isIPv6(six)) || (four !== undefined && !isIPv4(four))) return undefined
  return { kind: 'tcp', host: six ?? four ?? '::', port }
}

/** An address and a port as the config writes them. */
export const hostAndPort = (host: string, port: number): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`

/** A `listen` setting. */
export const listenAddress = v.pipe(
  v.union(
    [v.string(), v.pipe(v.number(), v.integer())],
    (issue) => `expected ${LISTEN_FORMS}, but found ${issue.received}`,
  ),
  v.transform(String),
  v.check(
    (text) => parseListenAddress(text) !== undefined,
    (issue) => `expected ${LISTEN_FORMS}, but found '${issue.input}'`,
  ),
  v.description('where to listen: [::]:25, 0.0.0.0:25, 25 (all addresses), unix:/path or systemd:NAME'),
)
const LISTEN_FORMS = 'an address such as [::]:25, 127.0.0.1:25, 25 (all addresses), unix:/path or systemd:NAME'

/** The address without the `::ffff:` that IPv4 peers get on a socket for both (RFC 4291 §2.5.5.2). */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address
}

/** What counts as one peer: an IPv4 address, or the /64 of an IPv6 address, which one household or machine usually owns whole. Anything else is its own group. */
export function addressGroup(address: string): string {
  const plain = plainAddress(address)
  if (!plain.includes(':') || !isIPv6(plain)) return plain
  const text = plain.split('%')[0] ?? plain
  const [head = '', tail] = text.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    // An IPv4 tail stands for two groups; both are behind the first four, so that only their number matters.
    const after = tail === '' ? 0 : tail.split(':').length + (tail.includes('.') ? 1 : 0)
    while (groups.length < 8 - after) groups.push('0')
    groups.push(...tail.split(':'))
  }
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16))
  return `${network.join(':')}::/64`
}

function parseNetwork(text: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [address = '', digits, ...more] = text.split('/')
  const version = isIP(address)
  if (version === 0 || more.length > 0 || (digits !== undefined && !/^\d{1,3}$/.test(digits))) return undefined
  const bits = version === 4 ? 32 : 128
  const prefix = digits === undefined ? bits : Number(digits)
  return prefix > bits ? undefined : { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' }
}

/** An address or a network in the config: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`. */
export const networkRange = v.pipe(
  v.string(),
  v.check(
    (text) => parseNetwork(text) !== undefined,
    (issue) =>
      `expected an address or network such as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32, but found '${issue.input}'`,
  ),
)

/** A set of addresses and networks. Throws a RangeError for a text that is neither. */
export class AddressSet {
  readonly #list = new BlockList()

  constructor(ranges: Iterable<string>) {
    for (const range of ranges) {
      const network = parseNetwork(range)
      if (network === undefined) throw new RangeError(`'${range}' is neither an address nor a network`)
      this.#list.addSubnet(network.address, network.prefix, network.family)
    }
  }

  /** True when the address is in the set; false for what is no IP address. */
  has(address: string): boolean {
    const plain = plainAddress(address)
    const version = isIP(plain)
    return version !== 0 && this.#list.check(plain, version === 4 ? 'ipv4' : 'ipv6')
  }
}
