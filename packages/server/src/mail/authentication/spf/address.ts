// RFC 7208 §5: IP addresses and networks as octets.

import { isIPv4, isIPv6 } from 'node:net'

/** 4 octets or 16. */
export type Octets = Uint8Array

const V4_IN_V6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const

/** The octets of an address in text form; an IPv4 address mapped into IPv6 is the IPv4 address (RFC 7208 §5). Undefined for what is none. */
export function parseIp(text: string): Octets | undefined {
  if (isIPv4(text)) return v4(text)
  if (!isIPv6(text) || text.includes('%')) return undefined
  const whole = v6(text)
  return V4_IN_V6.every((octet, i) => whole[i] === octet) ? whole.subarray(12) : whole
}

/** As `parseIp`, without the mapping: what a record writes as ip6 stays that. */
export function parseNetwork(text: string): Octets | undefined {
  if (isIPv4(text)) return v4(text)
  return isIPv6(text) && !text.includes('%') ? v6(text) : undefined
}

function v4(text: string): Octets {
  return Uint8Array.from(text.split('.'), Number)
}

function v6(text: string): Octets {
  const octets = new Uint8Array(16)
  const [head = '', tail] = text.split('::') as [string, string?]
  const front = groups(head)
  octets.set(front, 0)
  if (tail !== undefined) {
    const back = groups(tail)
    octets.set(back, 16 - back.length)
  }
  return octets
}

function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return [...v4(group)]
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

/** True when both are of one family and agree in the first `bits` bits. */
export function inNetwork(address: Octets, network: Octets, bits: number): boolean {
  if (address.length !== network.length) return false
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (address[i] !== network[i]) return false
  const rest = bits & 7
  if (rest === 0) return true
  const mask = (0xff << (8 - rest)) & 0xff
  return ((address[whole] ?? 0) & mask) === ((network[whole] ?? 0) & mask)
}

/** `192.0.2.1`, or `2001:db8::1` in the form of RFC 5952: for people (macro `c`). */
export function readable(address: Octets): string {
  if (address.length === 4) return address.join('.')
  const words: number[] = []
  for (let i = 0; i < 16; i += 2) words.push(((address[i] ?? 0) << 8) | (address[i + 1] ?? 0))
  let [start, length] = [0, 0]
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && words[i + run] === 0) run++
    if (run > length && run > 1) [start, length] = [i, run]
  }
  const text = words.map((word) => word.toString(16))
  if (length === 0) return text.join(':')
  return `${text.slice(0, start).join(':')}::${text.slice(start + length).join(':')}`
}

/** `192.0.2.1`, or 32 nibbles with dots between (macro `i`, RFC 7208 §7.3). */
export function dotted(address: Octets): string {
  if (address.length === 4) return address.join('.')
  return [...Buffer.from(address).toString('hex').toUpperCase()].join('.')
}
