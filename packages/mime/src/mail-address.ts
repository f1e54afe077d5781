// RFC 5321 §4.1.2 and RFC 6531: a Mailbox of an envelope, as a value that is right by construction.

import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'

/** RFC 5321 §4.5.3.1. */
const LOCAL_OCTETS = 64
const DOMAIN_OCTETS = 255

const ATEXT = "A-Za-z0-9!#$%&'*+\\-/=?^_`{|}~\\u0080-\\u{10ffff}"
const DOT_STRING = new RegExp(`^[${ATEXT}]+(?:\\.[${ATEXT}]+)*$`, 'u')
/** After A-label conversion: letters, digits and hyphens, none of them at the edges (RFC 1123 §2.1). */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** Local parts of ASCII, and names of domains in their one spelling: most of them. A name whose last label begins with a letter is no IPv4 address. */
const PLAIN_LOCAL = /^[\x20-\x7e]{1,64}$/
const PLAIN_DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** `local@domain`. Two are the same address for routing when `toString()` is equal; whether case matters in `local` is for its domain to say. */
export class MailAddress {
  /** Without quotes and escapes, in Unicode NFC. */
  readonly local: string
  /** A-labels in lower case, or an address literal such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`. */
  readonly domain: string
  #text: string | undefined

  private constructor(local: string, domain: string) {
    this.local = local
    this.domain = domain
  }

  /** Puts the two together where both are legal. `local` without quotes; `domain` in any form. */
  static of(local: string, domain: string): MailAddress | undefined {
    const plain = PLAIN_LOCAL.test(local)
    const composed = plain ? local : local.normalize('NFC')
    if (!plain && !isLocal(composed)) return undefined
    const normal = normaliseDomain(domain)
    return normal === undefined ? undefined : new MailAddress(composed, normal)
  }

  /** The wire form, quoted where it must be. */
  toString(): string {
    return (this.#text ??= `${quoteLocal(this.local)}@${this.domain}`)
  }

  /** True when the address needs SMTPUTF8 on its way. */
  get international(): boolean {
    return /\P{ASCII}/u.test(this.local)
  }
}

/** Reads an RFC 5321 Mailbox (without angle brackets or display name); undefined for anything else. */
export function parseMailAddress(text: string): MailAddress | undefined {
  // Quoting can double the local part. Beyond that nothing can be legal, and normalising a megabyte would cost.
  if (text.length > 2 * LOCAL_OCTETS + 4 * DOMAIN_OCTETS) return undefined
  if (text.startsWith('"')) {
    let local = ''
    let at = 1
    for (; at < text.length && text[at] !== '"'; at++) {
      if (text[at] === '\\') at++
      if (at < text.length) local += text[at]
    }
    if (text[at] !== '"' || text[at + 1] !== '@') return undefined
    return MailAddress.of(local, text.slice(at + 2))
  }
  const separator = text.lastIndexOf('@')
  if (separator <= 0) return undefined
  const local = text.slice(0, separator)
  return DOT_STRING.test(local) ? MailAddress.of(local, text.slice(separator + 1)) : undefined
}

/** The local part as it stands in an address: quoted unless it is a Dot-string. */
export function quoteLocal(local: string): string {
  return DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`
}

function isLocal(local: string): boolean {
  if (local === '' || !local.isWellFormed()) return false
  for (let i = 0; i < local.length; i++) {
    const code = local.charCodeAt(i)
    // Only printable octets may be quoted (qtextSMTP); C1 controls have no business in a name either.
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false
  }
  return Buffer.byteLength(local) <= LOCAL_OCTETS
}

/**
 * A domain in its one spelling: A-labels in lower case, without a final dot; address literals as `[192.0.2.1]`, `[IPv6:2001:db8::1]`. Undefined
 * when it is neither a domain name nor a literal.
 */
export function normaliseDomain(domain: string): string | undefined {
  if (domain === '' || domain.length > DOMAIN_OCTETS) return undefined
  if (domain.length <= DOMAIN_OCTETS - 2 && PLAIN_DOMAIN.test(domain) && !domain.includes('--')) return domain
  if (domain.startsWith('[')) return normaliseLiteral(domain)
  // The URL parser forgives percent-escapes, ports and paths: nothing of the kind may reach it.
  if (!/^[A-Za-z0-9.\-_\u0080-\u{10ffff}]+$/u.test(domain)) return undefined
  const ascii = domainToASCII(domain).toLowerCase()
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii
  if (name === '' || name.length > DOMAIN_OCTETS - 2) return undefined
  for (const label of name.split('.')) if (!LABEL.test(label)) return undefined
  // It reads `1.2` as the IPv4 address 1.0.0.2; without brackets that is no mail domain (RFC 5321 §4.1.3).
  return isIPv4(name) ? undefined : name
}

function normaliseLiteral(literal: string): string | undefined {
  if (!literal.endsWith(']')) return undefined
  const inner = literal.slice(1, -1)
  if (isIPv4(inner)) return `[${inner}]`
  if (!/^ipv6:/i.test(inner)) return undefined
  const address = inner.slice(5)
  if (!isIPv6(address) || address.includes('%')) return undefined
  return `[IPv6:${new URL(`http://[${address}]`).hostname.slice(1, -1)}]`
}
