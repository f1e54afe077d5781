// The servers of a smart host or an LMTP target, as the config writes them.

import { isIP } from 'node:net'
import * as v from 'valibot'
import { dnsName } from '../../../net/dns/names.ts'
import type { Hop } from '../remote/link.ts'

/** A server: a name or an address with a port, or a socket on this machine. */
export type Downstream =
  { readonly host: string; readonly port: number; readonly tls: Hop['tls'] } | { readonly path: string }

/** Reads `smtp.example.net`, `smtp.example.net:587`, `tls://smtp.example.net:465`, `[2001:db8::1]:25` or `unix:/run/lmtp`; undefined for anything else. */
export function parseDownstream(text: string, port: number): Downstream | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice(5)
    return path.startsWith('/') && path.length <= 107 ? { path } : undefined
  }
  const [, scheme, six, name, digits] =
    /^(tls:\/\/|tcp:\/\/)?(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]\s]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = six ?? (name === undefined || isIP(name) === 4 ? name : dnsName(name))
  const at = digits === undefined ? (scheme === 'tls://' ? 465 : port) : Number(digits)
  if (host === undefined || (six !== undefined && isIP(six) !== 6) || at < 1 || at > 65_535) return undefined
  return { host, port: at, tls: scheme === 'tls://' ? 'implicit' : 'starttls' }
}

/** The setting `servers`. */
export const serversSetting = (port: number) =>
  v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check(
          (text) => parseDownstream(text, port) !== undefined,
          (issue) =>
            `expected a server such as smtp.example.net:587, tls://smtp.example.net:465, 127.0.0.1:24 or unix:/run/lmtp, but found '${issue.input}'`,
        ),
      ),
    ),
    v.minLength(1, 'expected at least one server'),
    v.description(
      `tried in this order: name or address with a port (${port} if none), tls:// in front where TLS comes first, or unix:/path`,
    ),
  )
