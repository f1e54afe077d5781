// RFC 5321 §4.2.1: reading replies, of one line or several, with the enhanced code (RFC 2034) if there is one.

import type { SmtpReply } from '../reply.ts'
import { TOO_LONG, WireError, type Wire } from '../wire.ts'

/** More than RFC 5321's 512 octets, since servers are not as strict as we. */
const MAX_LINE = 4096
const MAX_LINES = 256

/** Reads one reply. Throws WireError when the connection ends, when the server takes longer than `timeout` ms, or speaks no SMTP (`overrun`). */
export async function readReply(wire: Wire, timeout: number): Promise<SmtpReply> {
  const lines: string[] = []
  let code = 0
  let enhanced: string | undefined
  for (;;) {
    const octets = await wire.readLine(MAX_LINE, '', MAX_LINE, timeout)
    if (octets === TOO_LONG || lines.length >= MAX_LINES) throw new WireError('overrun')
    const [, digits = '', mark = '', text = ''] = /^([2-5]\d\d)(?:([ -])(.*))?$/s.exec(octets.toString('utf8')) ?? []
    if (digits === '' || (lines.length > 0 && Number(digits) !== code)) throw new WireError('overrun')
    code = Number(digits)
    const [prefix, found] = /^([245]\.\d{1,3}\.\d{1,3})(?: |$)/.exec(text) ?? []
    // An enhanced code of another class than the basic one is a mistake; the basic one is what RFC 5321 goes by.
    if (found !== undefined && found[0] === digits[0]) {
      enhanced ??= found
      lines.push(text.slice(prefix?.length))
    } else {
      lines.push(text)
    }
    if (mark !== '-') return { code, enhanced, lines }
  }
}
