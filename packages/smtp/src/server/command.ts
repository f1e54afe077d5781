// RFC 5321 §2.3.8 and §4.1.1: a command line, from its octets to a verb and the rest.

import { isUtf8 } from 'node:buffer'
import { SmtpError } from '../reply.ts'

export interface Command {
  /** Upper case; empty for an empty line. */
  readonly verb: string
  readonly argument: string
  /** There are characters outside ASCII: only SMTPUTF8 allows them, and only in addresses. */
  readonly utf8: boolean
}

/** Reads one line (without its CRLF). Throws SmtpError for controls, NUL included, and for octets that are no UTF-8. */
export function parseCommand(line: Buffer): Command {
  let utf8 = false
  let end = line.length
  for (let i = 0; i < line.length; i++) {
    const octet = line[i] ?? 0
    if (octet < 0x20 || octet === 0x7f)
      throw new SmtpError(500, '5.5.2', 'Control characters have no place in a command')
    if (octet >= 0x80) utf8 = true
  }
  if (utf8 && !isUtf8(line)) throw new SmtpError(500, '5.5.2', 'A command is ASCII, or UTF-8 with SMTPUTF8')
  while (end > 0 && line[end - 1] === 0x20) end--
  const text = utf8 ? line.toString('utf8', 0, end) : line.toString('latin1', 0, end)
  const space = text.indexOf(' ')
  const verb = space < 0 ? text : text.slice(0, space)
  return { verb: verb.toUpperCase(), argument: space < 0 ? '' : text.slice(space + 1).trimStart(), utf8 }
}
