// Addresses of this house: each is a mail address and a bare JID at once, in one spelling.

import { MailAddress, normaliseDomain, parseMailAddress, quoteLocal } from '@aviso/mime'
import { AccountError } from './errors.ts'

/** RFC 7622 §3.3.1: what a JID's localpart cannot hold; and `*`, which means "all others" in an alias. */
const PROHIBITED = /["&'/:<>@\s*]/u

/** One spelling: case folded, composed. What PRECIS (RFC 8265 UsernameCaseMapped) makes of all names that `parseAccountAddress` lets in. */
export const foldLocal = (local: string): string => local.toLowerCase().normalize('NFC')

export interface AccountAddress {
  readonly local: string
  readonly domain: string
  readonly address: string
}

/** Reads the address that a new account shall have. Throws `AccountError('invalid')`, which says what is wrong. */
export function parseAccountAddress(text: string): AccountAddress {
  const parsed = parseMailAddress(text.trim())
  if (parsed === undefined || parsed.domain.startsWith('['))
    throw new AccountError('invalid', `'${brief(text)}' is not a mail address: write it as name@example.org`)
  const local = foldLocal(parsed.local)
  const found = PROHIBITED.exec(local)
  if (found !== null || MailAddress.of(local, parsed.domain) === undefined || quoteLocal(local) !== local)
    throw new AccountError(
      'invalid',
      `'${brief(text)}' cannot be an account: the name before the @ is a mail and a chat address at once, and may hold no ${found === null ? 'dots at its ends or in a row' : found[0] === ' ' ? 'spaces' : found[0]} (none of "&'/:<>@* and no spaces)`,
    )
  // Fullwidth and other compatibility characters: mail and chat software does not agree on what they are equal to.
  if (local.normalize('NFKC') !== local)
    throw new AccountError(
      'invalid',
      `'${brief(text)}' cannot be an account: it holds characters that chat clients write in another way; use '${brief(local.normalize('NFKC'))}' instead`,
    )
  return { local, domain: parsed.domain, address: `${local}@${parsed.domain}` }
}

/** Reads the address of an alias, `*@domain` for the catch-all. Throws `AccountError('invalid')`. */
export function parseAliasAddress(text: string): string {
  const trimmed = text.trim()
  if (trimmed.startsWith('*@')) return `*@${parseDomain(trimmed.slice(2))}`
  const parsed = canonical(trimmed)
  if (parsed === undefined || parsed.endsWith(']'))
    throw new AccountError(
      'invalid',
      `'${brief(text)}' is not a mail address: write it as name@example.org, or *@example.org for all other names of a domain`,
    )
  return parsed
}

/** Reads where an alias leads: case is kept for foreign addresses, whose domain alone knows whether it matters. Throws `AccountError('invalid')`. */
export function parseTarget(text: string, isLocal: (domain: string) => boolean): string {
  const parsed = parseMailAddress(text.trim())
  if (parsed === undefined)
    throw new AccountError('invalid', `'${brief(text)}' is not a mail address: write it as name@example.org`)
  return isLocal(parsed.domain) ? joined(parsed) : parsed.toString()
}

/** Reads a domain into its one spelling (A-labels, lower case). Throws `AccountError('invalid')`. */
export function parseDomain(text: string): string {
  const name = normaliseDomain(text.trim())
  if (name === undefined || name.startsWith('['))
    throw new AccountError('invalid', `'${brief(text)}' is not a domain name: write it as example.org`)
  return name
}

/** Simple addresses, already in their one spelling: most of them. A domain that ends in a digit may be an IPv4 address: for the full parser. */
const PLAIN = /^[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*$/

/** An address in the one spelling that is stored and compared; undefined for what is no mail address. */
export function canonical(text: string): string | undefined {
  if (text.length <= 64 && /[a-z]$/.test(text) && PLAIN.test(text)) return text
  const parsed = parseMailAddress(text)
  return parsed === undefined ? undefined : joined(parsed)
}

const joined = (address: MailAddress): string => `${quoteLocal(foldLocal(address.local))}@${address.domain}`

/**
 * The address that a login name means: a full address, or a bare local part that `domain` completes. Undefined when it can be nobody's.
 */
export function loginAddress(name: string, domain: string | undefined): string | undefined {
  if (name.length === 0 || name.length > 512) return undefined
  if (name.includes('@')) return canonical(name)
  return domain === undefined ? undefined : canonical(`${name}@${domain}`)
}

/** For messages: bounded, and without control characters that could confuse a terminal. */
function brief(text: string): string {
  let out = ''
  for (const character of text.slice(0, 100)) {
    const code = character.codePointAt(0) ?? 0
    out += code < 0x20 || (code >= 0x7f && code < 0xa0) ? '?' : character
  }
  return out
}
