// RFC 9051 §4.3, RFC 7888: a command on the wire, its literals with or without asking first.

import { ImapClientError } from './errors.ts'
import type { CommandPart, LiteralPart } from './request.ts'

/** None; up to 4096 octets (LITERAL-, IMAP4rev2); all (LITERAL+). */
export type NonSynchronising = 'none' | 'short' | 'all'

export interface Outlet {
  /** False when `drained` should be awaited before more is written. */
  write(octets: Uint8Array | string): boolean
  drained(): Promise<void>
  /** Resolves when the server asks for the literal: false when it has refused the command instead. */
  ready(): Promise<boolean>
}

const SHORT = 4096

/** Sends a command. A throw leaves half of it on the wire. */
export async function sendCommand(
  tag: string,
  parts: readonly CommandPart[],
  mode: NonSynchronising,
  out: Outlet,
): Promise<void> {
  let line = `${tag} `
  for (const part of parts) {
    if (typeof part === 'string') {
      line += part
      continue
    }
    const size = 'octets' in part ? part.octets.length : part.size
    const waits = mode === 'none' || (mode === 'short' && size > SHORT)
    out.write(`${line}${part.binary === true ? '~' : ''}{${size}${waits ? '' : '+'}}\r\n`)
    line = ''
    if (waits && !(await out.ready())) return
    await sendLiteral(part, out)
  }
  out.write(`${line}\r\n`)
}

async function sendLiteral(part: LiteralPart, out: Outlet): Promise<void> {
  if ('octets' in part) {
    if (!out.write(part.octets)) await out.drained()
    return
  }
  let left = part.size
  for await (const octets of part.content) {
    left -= octets.length
    if (left < 0) break
    if (!out.write(octets)) await out.drained()
  }
  if (left !== 0) throw new RangeError('The content has another size than was announced')
}

/** Throws when text would break out of its line. */
export function checkParts(parts: readonly CommandPart[]): void {
  for (const part of parts) {
    if (typeof part === 'string' && /[\r\n\0]/.test(part)) {
      throw new ImapClientError('UNSUPPORTED', 'A command cannot hold line ends and NUL outside of literals')
    }
  }
}
