// RFC 9112 §3.2: what a request asks for.

import { domainToASCII } from 'node:url'
import { WebError } from './contracts.ts'

export interface Target {
  readonly host: string
  /** With the port, as the client wrote it. */
  readonly authority: string
  readonly path: string
  readonly query: URLSearchParams
}

const HOST = /^(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._\-\u0080-\uffff]{1,253})$/i

/** Takes a request target and the host that it is for apart. @throws WebError 400 */
export function readTarget(url: string, hostHeader: string): Target {
  // Asked as a proxy is asked: what stands there comes before the header (RFC 9112 §3.2.2).
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(url)
  const authority = absolute?.[1] ?? hostHeader
  const target = absolute === null ? url : absolute[2] === '' ? '/' : absolute[2]
  // `OPTIONS *` asks about the server as a whole.
  const path = target === '*' ? '/' : (target ?? '/')
  const colon = /:\d{0,5}$/.exec(authority)
  const name = colon === null ? authority : authority.slice(0, colon.index)
  if (!HOST.test(name) || !path.startsWith('/')) throw new WebError(400, 'The request is not well-formed.')
  const host = (name.startsWith('[') ? name : domainToASCII(name)).toLowerCase().replace(/\.$/, '')
  if (host === '') throw new WebError(400, 'There is no such host.')
  // The host is a placeholder: what a path such as `//elsewhere/` would be read as otherwise.
  const parsed = URL.canParse(`http://h${path}`) ? new URL(`http://h${path}`) : undefined
  if (parsed === undefined) throw new WebError(400, 'The path is not well-formed.')
  return { host, authority, path: parsed.pathname, query: parsed.searchParams }
}

/** A request line begins with a method: net's `ListenOptions.opening`. */
export function requestOpening(octets: Buffer): boolean | 'more' {
  const text = octets.toString('latin1', 0, 30).replace(/^(?:\r\n)+/, '')
  return /^[A-Z]{3,20} /.test(text) || (/^[A-Z]{0,20}$/.test(text) && 'more')
}
