// RFC 5321 §4.4: the Received field. Transmission types: RFC 3848 (ESMTPSA and kin), RFC 6531 §4.3 (UTF8SMTPSA and kin).

import { isIPv6 } from 'node:net'

/** What a session's transaction was transmitted with: the word behind `with`. */
export function transmissionType(session: {
  readonly kind: 'smtp' | 'submission' | 'lmtp'
  /** EHLO or LHLO was said, not HELO. */
  readonly extended: boolean
  readonly secure: boolean
  readonly authenticated: boolean
  readonly smtpUtf8: boolean
}): string {
  const suffix = (session.secure ? 'S' : '') + (session.authenticated ? 'A' : '')
  if (session.kind === 'lmtp') return (session.smtpUtf8 ? 'UTF8LMTP' : 'LMTP') + suffix
  if (!session.extended) return 'SMTP'
  return (session.smtpUtf8 ? 'UTF8SMTP' : 'ESMTP') + suffix
}

export interface ReceivedClauses {
  /** Who sent; absent leaves the `from` clause out (submission: the user's address at home is nobody's business). */
  readonly from?: { readonly hello: string; readonly address?: string; readonly name?: string }
  readonly by: string
  /** See {@link transmissionType}. */
  readonly with: string
  readonly id: string
  /** Recipients of the transaction. Named only when it is exactly one: more would tell each of the others (RFC 5321 §7.2). */
  readonly recipients?: readonly string[]
  /** Cipher suite, as the `tls` clause of RFC 8314 §7.4. */
  readonly tls?: string
  /** RFC 6710: the priority of the transaction, from -9 to 9. */
  readonly priority?: number
  readonly date: Date
}

/** The whole field, folded, with its CRLF at the end. What came from the peer cannot break out of it. */
export function receivedField(clauses: ReceivedClauses): string {
  const { from, recipients } = clauses
  let field = 'Received: '
  if (from !== undefined) {
    const address = from.address === undefined ? '' : ` ${literal(from.address)}`
    const name = from.name === undefined ? '' : ` ${word(from.name)}`
    const tcp = (name + address).trim()
    field += `from ${word(from.hello)}${tcp === '' ? '' : ` (${tcp})`}\r\n\t`
  }
  field += `by ${word(clauses.by)} with ${word(clauses.with)} id ${word(clauses.id)}`
  if (clauses.tls !== undefined) field += `\r\n\ttls ${word(clauses.tls)}`
  if (clauses.priority !== undefined) field += `\r\n\tpriority ${clauses.priority}`
  const recipient = recipients?.length === 1 ? recipients[0] : undefined
  if (recipient !== undefined) field += `\r\n\tfor <${recipient.replace(/[\p{Cc}<>]/gu, '')}>`
  return `${field};\r\n\t${dateTime(clauses.date)}\r\n`
}

function literal(address: string): string {
  return isIPv6(address) ? `[IPv6:${address}]` : `[${word(address)}]`
}

/** One word without what would end a comment, a clause or the line. */
function word(text: string): string {
  if (/^[\w.:-]{1,255}$/.test(text)) return text
  return text.replace(/[\p{Cc}\s()<>;"\\]/gu, '_').slice(0, 255) || 'unknown'
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** RFC 5322 §3.3 date-time, in UTC. */
function dateTime(date: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
  return `${DAYS[date.getUTCDay()]}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()} ${time} +0000`
}
