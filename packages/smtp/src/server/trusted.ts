// Postfix's XCLIENT and XFORWARD: what trusted neighbours tell of a client that is not theirs.

import { isIPv4, isIPv6 } from 'node:net'
import { SmtpError } from '../reply.ts'
import { decodeXtext } from '../xtext.ts'
import type { Forwarded, Peer } from './contracts.ts'

export const XCLIENT_ATTRIBUTES = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'LOGIN', 'DESTADDR', 'DESTPORT'] as const
export const XFORWARD_ATTRIBUTES = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'IDENT', 'SOURCE'] as const

const UNKNOWN: ReadonlySet<string> = new Set(['[UNAVAILABLE]', '[TEMPUNAVAIL]'])
const MAX_VALUE = 255

/** What one XCLIENT command says. Undefined: it says nothing of that; null: it is unknown. */
export interface ClientAttributes {
  readonly name: string | null | undefined
  readonly address: string | null | undefined
  readonly port: number | null | undefined
  readonly extended: boolean | null | undefined
  readonly hello: string | null | undefined
  readonly login: string | null | undefined
}

/** Reads the argument of XCLIENT. Throws SmtpError 501 for an attribute that is not known or has no such value. */
export function readXclient(argument: string): ClientAttributes {
  const values = readAttributes(argument, XCLIENT_ATTRIBUTES)
  // Where the client connected to is told for logs that we do not write; its form is looked at all the same.
  known(values.get('DESTADDR'), address)
  known(values.get('DESTPORT'), port)
  const extended = known(values.get('PROTO'), (word) => {
    const protocol = word.toUpperCase()
    return protocol === 'ESMTP' ? true : protocol === 'SMTP' ? false : bad('PROTO')
  })
  return {
    name: known(values.get('NAME'), word),
    address: known(values.get('ADDR'), address),
    port: known(values.get('PORT'), port),
    extended,
    hello: known(values.get('HELO'), word),
    login: known(values.get('LOGIN'), word),
  }
}

/** The peer as XCLIENT has it. An address that is said to be unknown is not the proxy's own. */
export function clientPeer(before: Peer, { name, address, port }: ClientAttributes): Peer {
  const moved = address !== undefined && address !== before.address
  const value = <T>(said: T | null | undefined, own: T | undefined): T | undefined =>
    said === undefined ? (moved ? undefined : own) : (said ?? undefined)
  return {
    address: address === undefined ? before.address : (address ?? undefined),
    port: value(port, before.port),
    name: value(name, before.name),
  }
}

/** Reads the argument of XFORWARD, on top of what one before it said. Throws as `readXclient`. */
export function readXforward(argument: string, before: Forwarded = {}): Forwarded {
  const values = readAttributes(argument, XFORWARD_ATTRIBUTES)
  const value = <T>(attribute: string, read: (text: string) => T, own: T | undefined): T | undefined => {
    const said = known(values.get(attribute), read)
    return said === undefined ? own : (said ?? undefined)
  }
  return {
    name: value('NAME', word, before.name),
    address: value('ADDR', address, before.address),
    port: value('PORT', port, before.port),
    protocol: value('PROTO', word, before.protocol),
    hello: value('HELO', word, before.hello),
    id: value('IDENT', word, before.id),
    source: value<'LOCAL' | 'REMOTE'>(
      'SOURCE',
      (text) => (text.toUpperCase() === 'LOCAL' ? 'LOCAL' : text.toUpperCase() === 'REMOTE' ? 'REMOTE' : bad('SOURCE')),
      before.source,
    ),
  }
}

function readAttributes(argument: string, names: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const pair of argument.split(' ')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = pair.slice(0, Math.max(equals, 0)).toUpperCase()
    if (!names.includes(name)) throw new SmtpError(501, '5.5.4', 'This attribute is not known here')
    values.set(name, pair.slice(equals + 1))
  }
  if (values.size === 0) throw new SmtpError(501, '5.5.4', 'Attributes are missing')
  return values
}

function known<T>(coded: string | undefined, read: (text: string) => T): T | null | undefined {
  if (coded === undefined) return undefined
  if (UNKNOWN.has(coded.toUpperCase())) return null
  const text = decodeXtext(coded)
  if (text === undefined || text.length > MAX_VALUE || !/^\P{Cc}+$/u.test(text)) return bad('an attribute')
  return read(text)
}

const word = (text: string): string => text

function address(text: string): string {
  const six = /^IPv6:/i.test(text) ? text.slice(5) : undefined
  if (six === undefined ? isIPv4(text) : isIPv6(six)) return six ?? text
  return bad('ADDR')
}

function port(text: string): number {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : bad('PORT')
}

function bad(attribute: string): never {
  throw new SmtpError(501, '5.5.4', `The value of ${attribute} cannot be read`)
}
