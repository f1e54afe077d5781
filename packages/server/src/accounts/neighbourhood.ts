// Which addresses count as one peer.

import { isIPv4, isIPv6 } from 'node:net'

/** An IPv4 address as it is (also when written as `::ffff:192.0.2.1`), an IPv6 address as its /64, which is what one customer has. */
export function neighbourhood(address: string): string {
  const groups = isIPv6(address) ? ipv6Groups(address) : undefined
  if (groups === undefined) return address
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return mapped(groups)
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}

export function isLoopback(address: string): boolean {
  if (isIPv4(address)) return address.startsWith('127.')
  const groups = isIPv6(address) ? ipv6Groups(address) : undefined
  if (groups === undefined) return false
  if (groups.slice(0, 5).some((group) => group !== 0)) return false
  if (groups[5] === 0xffff) return (groups[6] ?? 0) >> 8 === 127
  return groups[5] === 0 && groups[6] === 0 && groups[7] === 1
}

const mapped = (groups: readonly number[]): string =>
  [(groups[6] ?? 0) >> 8, (groups[6] ?? 0) & 255, (groups[7] ?? 0) >> 8, (groups[7] ?? 0) & 255].join('.')

/** The eight groups of a valid IPv6 address. */
function ipv6Groups(address: string): number[] {
  const bare = address.split('%', 1)[0] ?? ''
  const [head = '', tail] = bare.split('::', 2)
  const first = groupsOf(head)
  if (tail === undefined) return first
  const last = groupsOf(tail)
  return [...first, ...Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => 0), ...last]
}

function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  })
}
