// RFC 1035 §2.3.4, RFC 5890: domain names as the resolver compares and sends them.

import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'

const DOTS = /[.。．｡]/u

/**
 * The one spelling of a domain name: lower case, A-labels, no dot at the end. Undefined for what cannot stand in the DNS: an empty label, one of more than 63 octets,
 * a name of more than 253, characters that are no printable ASCII after the conversion.
 */
export function dnsName(name: string): string | undefined {
  // What is longer is no name in any spelling, and need not be looked at.
  if (name.length > 1024) return undefined
  const labels = (/[.。．｡]$/u.test(name) ? name.slice(0, -1) : name).split(DOTS)
  const spelled: string[] = []
  for (const label of labels) {
    const ascii = /^[ -~]*$/.test(label) ? label.toLowerCase() : toALabel(label)
    if (ascii === '' || ascii.length > 63) return undefined
    spelled.push(ascii)
  }
  const whole = spelled.join('.')
  return whole.length > 253 ? undefined : whole
}

/** Node's conversion is made for URLs: it drops tabs, decodes `%41` and ends at a slash. It gets to see none of these. */
const toALabel = (label: string): string => (/[^\p{L}\p{M}\p{N}_-]/u.test(label) ? '' : domainToASCII(label))

/** RFC 1035 §3.5, RFC 3596 §2.5: the name that PTR records of an IP address stand at; undefined for what is no IP address. */
export function reverseName(address: string): string | undefined {
  const plain = address.split('%')[0] ?? ''
  if (isIPv4(plain)) return `${plain.split('.').reverse().join('.')}.in-addr.arpa`
  const octets = isIPv6(plain) ? ipv6Octets(plain) : undefined
  if (octets === undefined) return undefined
  if (octets.subarray(0, 12).equals(MAPPED)) return reverseName([...octets.subarray(12)].join('.'))
  return `${[...octets.toString('hex')].reverse().join('.')}.ip6.arpa`
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/** The 16 octets of an IPv6 address in any of its text forms. */
function ipv6Octets(text: string): Buffer {
  const four = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  const hex = (a: string | undefined, b: string | undefined): string => (Number(a) * 256 + Number(b)).toString(16)
  const plain = four === null ? text : `${four[1]}${hex(four[2], four[3])}:${hex(four[4], four[5])}`
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    while (groups.length + after.length < 8) groups.push('0')
    groups.push(...after)
  }
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
