// The network that an address belongs to, for what is counted or remembered by networks.

import { isIPv4, isIPv6 } from 'node:net'
import { plainAddress } from './addresses.ts'
import { reverseName } from './dns/names.ts'

/** `192.0.2.0/24` or `20010db8000000000000/64`-like text: the same for all addresses of one network, and for no others. What is no IP address is its own network. */
export function networkOf(address: string, bits4: number, bits6: number): string {
  const plain = plainAddress(address)
  if (isIPv4(plain)) {
    const number = plain.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
    const size = 2 ** (32 - bits4)
    const first = Math.floor(number / size) * size
    return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')}/${bits4}`
  }
  if (!isIPv6(plain)) return plain
  // The reverse name has the nibbles, last one first.
  const nibbles = reverseName(plain)?.split('.').slice(0, 32).reverse() ?? []
  const whole = Math.floor(bits6 / 4)
  const rest = bits6 % 4
  const part = rest === 0 ? '' : (Number.parseInt(nibbles[whole] ?? '0', 16) >> (4 - rest)).toString(16)
  return `${nibbles.slice(0, whole).join('')}${part}/${bits6}`
}
