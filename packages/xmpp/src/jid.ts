// RFC 7622: XMPP addresses

import { domainToASCII } from 'node:url'
import { prepareOpaque, prepareUsername } from './precis.ts'

/** A string that is no address. */
export class JidError extends Error {
  override readonly name = 'JidError'
}

/** RFC 7622 §3.1: octets of each part. */
const MAX_PART = 1023
/** RFC 1035 §2.3.4; what is longer has no place in DNS. */
const MAX_DOMAIN = 253
const MAX_LABEL = 63
/** "&'/:<>@ are refused in a localpart (RFC 7622 §3.3.1), as are spaces and controls. 1: fine, 2: to be lower-cased, 0: refused. */
const LOCAL = new Uint8Array(128)
/** 1: may stand in a domain, 2: to be lower-cased. */
const DOMAIN = new Uint8Array(128)
for (let code = 0; code < 128; code++) {
  const character = String.fromCharCode(code)
  if (code > 0x20 && code < 0x7f && !`"&'/:<>@`.includes(character)) LOCAL[code] = 1
  if (code >= 0x41 && code <= 0x5a) LOCAL[code] = DOMAIN[code] = 2
  if (/[a-z0-9._-]/.test(character)) DOMAIN[code] = 1
}

/** An XMPP address, prepared and valid. Two are the same address exactly if their strings are equal. */
export class Jid {
  /** '' if there is none. */
  readonly local: string
  /** Lower-case, as A-labels (`xn--...`), without a trailing dot. */
  readonly domain: string
  /** '' if there is none. */
  readonly resource: string
  /** `local@domain`, or the domain alone. */
  readonly bareString: string
  #text: string | undefined

  private constructor(local: string, domain: string, resource: string) {
    this.local = local
    this.domain = domain
    this.resource = resource
    this.bareString = local === '' ? domain : local + '@' + domain
  }

  /**
   * Parses and prepares an address (RFC 7622 §3.2-3.4).
   * @throws JidError
   */
  static parse(text: string): Jid {
    const slash = text.indexOf('/')
    const end = slash < 0 ? text.length : slash
    const at = text.indexOf('@')
    const hasLocal = at >= 0 && at < end
    if (hasLocal && at === 0) throw new JidError('empty localpart')
    if (slash === text.length - 1 && slash >= 0) throw new JidError('empty resourcepart')
    return Jid.of(
      hasLocal ? text.slice(0, at) : '',
      text.slice(hasLocal ? at + 1 : 0, end),
      slash < 0 ? '' : text.slice(slash + 1),
    )
  }

  /** Like `parse`, but undefined for what is no address. */
  static tryParse(text: string): Jid | undefined {
    try {
      return Jid.parse(text)
    } catch {
      return undefined
    }
  }

  /**
   * Puts an address together from its parts, preparing each; '' (or nothing) for a part that is absent.
   * @throws JidError
   */
  static of(local: string, domain: string, resource = ''): Jid {
    return new Jid(
      local === '' ? '' : prepareLocal(local),
      prepareDomain(domain),
      resource === '' ? '' : prepareResource(resource),
    )
  }

  /** True with a resource. */
  get isFull(): boolean {
    return this.resource !== ''
  }

  /** True without a resource. */
  get isBare(): boolean {
    return this.resource === ''
  }

  /** The address without its resource. */
  get bare(): Jid {
    return this.resource === '' ? this : new Jid(this.local, this.domain, '')
  }

  /** The same account or host with another resource; '' for none. @throws JidError */
  withResource(resource: string): Jid {
    return new Jid(this.local, this.domain, resource === '' ? '' : prepareResource(resource))
  }

  /** True for the same address, resource included. */
  equals(other: Jid): boolean {
    return this.bareString === other.bareString && this.resource === other.resource
  }

  /** The address as it is written: prepared, and not escaped for XML. */
  toString(): string {
    return (this.#text ??= this.resource === '' ? this.bareString : this.bareString + '/' + this.resource)
  }

  /** As `toString`. */
  toJSON(): string {
    return this.toString()
  }
}

/** Prepares a localpart (RFC 7622 §3.3). @throws JidError */
export function prepareLocal(local: string): string {
  let lower = false
  let ascii = true
  for (let index = 0; index < local.length; index++) {
    const code = local.charCodeAt(index)
    if (code >= 128) {
      ascii = false
      break
    }
    const kind = LOCAL[code]
    if (kind === 0) throw new JidError('forbidden character in the localpart')
    if (kind === 2) lower = true
  }
  if (ascii) return bounded(lower ? local.toLowerCase() : local, 'localpart')
  // Bounded first: preparing costs.
  const prepared = prepareUsername(bounded(local, 'localpart'))
  if (prepared === undefined || prepared === '') throw new JidError('forbidden character in the localpart')
  for (let index = 0; index < prepared.length; index++) {
    const code = prepared.charCodeAt(index)
    if (code < 128 && LOCAL[code] === 0) throw new JidError('forbidden character in the localpart')
  }
  return bounded(prepared, 'localpart')
}

/** Prepares a resourcepart (RFC 7622 §3.4). @throws JidError */
export function prepareResource(resource: string): string {
  for (let index = 0; index < resource.length; index++) {
    const code = resource.charCodeAt(index)
    if (code >= 128) {
      const prepared = prepareOpaque(bounded(resource, 'resourcepart'))
      if (prepared === undefined) throw new JidError('forbidden character in the resourcepart')
      return bounded(prepared, 'resourcepart')
    }
    if (code < 0x20 || code === 0x7f) throw new JidError('forbidden character in the resourcepart')
  }
  return bounded(resource, 'resourcepart')
}

/** Prepares a domainpart (RFC 7622 §3.2): a host name, or an IP address with IPv6 in brackets. @throws JidError */
export function prepareDomain(domain: string): string {
  let text = domain
  if (text.charCodeAt(0) === 0x5b) return prepareAddressLiteral(text)
  if (text.length > MAX_PART) throw new JidError('the domainpart is too long')
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) < 128) continue
    // IDNA 2008 as UTS 46 has it, to A-labels; '' for what cannot be a name.
    text = domainToASCII(text)
    break
  }
  let lower = false
  let label = 0
  if (text.endsWith('.')) text = text.slice(0, -1)
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    const kind = code < 128 ? DOMAIN[code] : 0
    if (kind === 0) throw new JidError('forbidden character in the domainpart')
    if (kind === 2) lower = true
    if (code === 0x2e) {
      if (label === 0) throw new JidError('empty label in the domainpart')
      label = 0
    } else if (++label > MAX_LABEL) throw new JidError('the domainpart has a label that is too long')
  }
  if (label === 0) throw new JidError('empty domainpart')
  if (text.length > MAX_DOMAIN) throw new JidError('the domainpart is too long')
  return lower ? text.toLowerCase() : text
}

function prepareAddressLiteral(text: string): string {
  if (text.length > 50 || !/^\[[0-9a-fA-F:.]{2,45}\]$/.test(text) || !text.includes(':'))
    throw new JidError('bad IPv6 address in the domainpart')
  return text.toLowerCase()
}

function bounded(part: string, name: string): string {
  // At most three octets for a UTF-16 unit, so that short parts need no counting.
  if (part.length > MAX_PART || (part.length * 3 > MAX_PART && Buffer.byteLength(part) > MAX_PART))
    throw new JidError(`the ${name} is too long`)
  return part
}
