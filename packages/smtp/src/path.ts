// RFC 5321 §4.1.2: reverse-path, forward-path, and the parameters behind them; RFC 6531 §3.3 for UTF-8 in both.

import { isIPv4, isIPv6 } from 'node:net'

/**
 * An address from the envelope. `localPart` is without quotes, `domain` as the peer wrote it (a name, or a literal in brackets; empty only
 * for `<postmaster>`), `address` the text for a path, quoted where it must be. Nothing is folded to lower case here.
 */
export interface Mailbox {
  readonly localPart: string
  readonly domain: string
  readonly address: string
}

/** What follows `MAIL FROM:` or `RCPT TO:`. The keys of `parameters` are upper case; a parameter without value has an empty one. */
export interface PathArgument<Path> {
  readonly path: Path
  readonly parameters: ReadonlyMap<string, string>
}

/** Wider than RFC 5321's 64 octets: VERP and SRS addresses of the real world are longer. */
const MAX_LOCAL_PART = 255
const MAX_DOMAIN = 255
const MAX_LABEL = 63

/** Why an argument could not be read. */
export type PathFault = 'path' | 'parameters'

/** Reads `FROM:<path> parameters`; `path` is null for `<>`. Spaces after the colon are forgiven, a source route is dropped. */
export function parseReversePath(argument: string): PathArgument<Mailbox | null> | PathFault {
  const start = pathStart(argument, 'FROM:')
  if (start < 0) return 'path'
  if (argument.startsWith('<>', start)) return withParameters(null, argument, start + 2)
  const read = readPath(argument, start)
  if (read === undefined || read.mailbox.domain === '') return 'path'
  return withParameters(read.mailbox, argument, read.end)
}

/** Reads `TO:<path> parameters`. `<postmaster>` needs no domain (RFC 5321 §4.5.1). */
export function parseForwardPath(argument: string): PathArgument<Mailbox> | PathFault {
  const start = pathStart(argument, 'TO:')
  if (start < 0) return 'path'
  const read = readPath(argument, start)
  if (read === undefined) return 'path'
  if (read.mailbox.domain === '' && read.mailbox.localPart.toLowerCase() !== 'postmaster') return 'path'
  return withParameters(read.mailbox, argument, read.end)
}

/** Reads one bare address, `local@domain`; undefined when it is none. */
export function parseMailbox(text: string): Mailbox | undefined {
  const read = readMailbox(text, 0)
  return read !== undefined && read.end === text.length && read.mailbox.domain !== '' ? read.mailbox : undefined
}

/** Puts an address together, quoting the local part where the grammar asks for it. */
export function mailbox(localPart: string, domain: string): Mailbox {
  const local = isDotString(localPart) ? localPart : '"' + localPart.replace(/["\\]/g, '\\$&') + '"'
  return { localPart, domain, address: domain === '' ? local : `${local}@${domain}` }
}

/** The place of the `<` behind `FROM:` or `TO:`; -1 when there is none. */
function pathStart(argument: string, keyword: string): number {
  if (argument.slice(0, keyword.length).toUpperCase() !== keyword) return -1
  let at = keyword.length
  while (argument.charCodeAt(at) === 0x20) at++
  return argument.charCodeAt(at) === 0x3c ? at : -1
}

function readPath(text: string, at: number): { mailbox: Mailbox; end: number } | undefined {
  let start = at + 1
  if (text[start] === '@') {
    // RFC 5321 §4.1.2 and appendix C: a source route is accepted and ignored.
    const colon = text.indexOf(':', start)
    if (colon < 0 || !text.slice(start, colon).split(',').every(isRouteHop)) return undefined
    start = colon + 1
  }
  const read = readMailbox(text, start)
  return read !== undefined && text[read.end] === '>' ? { mailbox: read.mailbox, end: read.end + 1 } : undefined
}

function isRouteHop(hop: string): boolean {
  return hop.startsWith('@') && isDomain(hop.slice(1))
}

function readMailbox(text: string, start: number): { mailbox: Mailbox; end: number } | undefined {
  const local = text[start] === '"' ? readQuotedString(text, start) : readDotString(text, start)
  if (local === undefined || local.value.length > MAX_LOCAL_PART) return undefined
  if (text[local.end] !== '@') return { mailbox: mailbox(local.value, ''), end: local.end }
  const from = local.end + 1
  let end = from
  if (text[from] === '[') {
    end = text.indexOf(']', from) + 1
    if (end === 0 || !isAddressLiteral(text.slice(from, end))) return undefined
  } else {
    while (end < text.length && isDomainUnit(text.charCodeAt(end))) end++
    if (!isDomain(text.slice(from, end))) return undefined
  }
  return { mailbox: mailbox(local.value, text.slice(from, end)), end }
}

function readDotString(text: string, start: number): { value: string; end: number } | undefined {
  let end = start
  while (end < text.length && (text[end] === '.' || isAtext(text.charCodeAt(end)))) end++
  const value = text.slice(start, end)
  return isDotString(value) ? { value, end } : undefined
}

function readQuotedString(text: string, start: number): { value: string; end: number } | undefined {
  let value = ''
  for (let at = start + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === 0x22) return { value, end: at + 1 }
    if (unit === 0x5c) {
      at++
      if (at >= text.length || text.charCodeAt(at) > 0x7e) return undefined
    }
    if (!isPrintable(text.charCodeAt(at))) return undefined
    value += text[at]
  }
  return undefined
}

function isDotString(text: string): boolean {
  let afterDot = true
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === 0x2e) {
      if (afterDot) return false
      afterDot = true
    } else {
      if (!isAtext(unit)) return false
      afterDot = false
    }
  }
  return !afterDot
}

function isAlphanumeric(unit: number): boolean {
  return (unit >= 0x30 && unit <= 0x39) || (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a)
}

function isAtext(unit: number): boolean {
  return isAlphanumeric(unit) || unit >= 0xa0 || "!#$%&'*+-/=?^_`{|}~".includes(String.fromCharCode(unit))
}

function isPrintable(unit: number): boolean {
  return (unit >= 0x20 && unit <= 0x7e) || unit >= 0xa0
}

function isDomainUnit(unit: number): boolean {
  // The underscore is no letter of a host name, but stands in names that send mail.
  return isAlphanumeric(unit) || unit === 0x2d || unit === 0x2e || unit === 0x5f || unit >= 0xa0
}

/** Whether this is a domain name, of A-labels or U-labels, without a final dot. Says nothing about its existence. */
export function isDomain(text: string): boolean {
  if (text.length > MAX_DOMAIN) return false
  for (const label of text.split('.')) {
    if (label.length === 0 || label.length > MAX_LABEL || label.startsWith('-') || label.endsWith('-')) return false
    for (let i = 0; i < label.length; i++) if (!isDomainUnit(label.charCodeAt(i))) return false
  }
  return true
}

/** Whether this is `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3). */
export function isAddressLiteral(text: string): boolean {
  if (!text.startsWith('[') || !text.endsWith(']')) return false
  const inner = text.slice(1, -1)
  return /^IPv6:/i.test(inner) ? isIPv6(inner.slice(5)) && !inner.includes('%') : isIPv4(inner)
}

function withParameters<Path>(path: Path, text: string, at: number): PathArgument<Path> | PathFault {
  const parameters = new Map<string, string>()
  const rest = text.slice(at)
  if (rest === '') return { path, parameters }
  if (!rest.startsWith(' ')) return 'path'
  for (const word of rest.split(' ')) {
    if (word === '') continue
    const equals = word.indexOf('=')
    const keyword = (equals < 0 ? word : word.slice(0, equals)).toUpperCase()
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(keyword) || parameters.has(keyword) || equals === word.length - 1)
      return 'parameters'
    parameters.set(keyword, equals < 0 ? '' : word.slice(equals + 1))
  }
  return { path, parameters }
}
