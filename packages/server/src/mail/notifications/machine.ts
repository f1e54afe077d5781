// RFC 3464 §2 and RFC 6533 §3: the part of a notification that programs read.

import { encodeUtf8AddressXtext, encodeXtext } from '@aviso/smtp'
import { formatDate } from '@aviso/mime'
import type { Fact } from '../targets/queue/contracts.ts'

export interface MachineParts {
  readonly facts: readonly Fact[]
  readonly hostname: string
  /** ENVID of the mail, decoded. */
  readonly envid: string | undefined
  readonly created: number
  /** The sender understands UTF-8 in it (message/global-delivery-status). */
  readonly utf8: boolean
}

const CRLF = '\r\n'

/** The body of message/delivery-status: fields of the mail, then a group for each recipient. */
export function machinePart({ facts, hostname, envid, created, utf8 }: MachineParts): string {
  const groups = [
    [
      ...(envid === undefined ? [] : [`Original-Envelope-Id: ${clean(envid, utf8)}`]),
      `Reporting-MTA: dns; ${hostname}`,
      `Arrival-Date: ${formatDate(created)}`,
    ],
    ...facts.map((fact) => recipientGroup(fact, utf8)),
  ]
  return groups.map((group) => group.map((line) => line + CRLF).join('')).join(CRLF)
}

function recipientGroup(fact: Fact, utf8: boolean): readonly string[] {
  const { originalRecipient: original, recipient, action, status, reply, remote, at, willRetryUntil } = fact
  const lines: string[] = []
  if (original !== undefined)
    lines.push(
      `Original-Recipient: ${original.type}; ${original.type === 'utf-8' ? address(original.address, utf8) : clean(original.type === 'rfc822' ? original.address : encodeXtext(original.address), utf8)}`,
    )
  const ascii = !/\P{ASCII}/u.test(recipient)
  lines.push(`Final-Recipient: ${ascii ? 'rfc822' : 'utf-8'}; ${address(recipient, utf8)}`)
  lines.push(`Action: ${action}`, `Status: ${status}`)
  if (remote !== undefined) lines.push(`Remote-MTA: dns; ${clean(remote, utf8)}`)
  // Only what a server said is a diagnostic code of SMTP (RFC 3464 §2.3.6); what we found ourselves is none, but nobody has another type for it.
  if (reply !== undefined)
    lines.push(...folded(`Diagnostic-Code: smtp; ${reply.code} ${status} ${clean(reply.text, utf8)}`))
  if (action === 'failed' || action === 'delayed') lines.push(`Last-Attempt-Date: ${formatDate(at)}`)
  if (willRetryUntil !== undefined) lines.push(`Will-Retry-Until: ${formatDate(willRetryUntil)}`)
  return lines
}

/** RFC 6533 §3: as it is, or so that ASCII carries it. */
function address(text: string, utf8: boolean): string {
  return utf8 || !/\P{ASCII}/u.test(text) ? clean(text, utf8) : encodeUtf8AddressXtext(text)
}

/** One line of it: what a peer chose must not become a field of its own. */
function clean(text: string, utf8: boolean): string {
  const line = text
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim()
  return utf8 ? line : line.replace(/\P{ASCII}/gu, '?')
}

/** Folded at blanks to lines of 78 where there are any; no line above 998 (RFC 5322 §2.1.1). */
function folded(line: string): readonly string[] {
  const lines: string[] = []
  let current = ''
  for (const word of line.split(' ').flatMap((each) => each.match(/.{1,900}/gsu) ?? [''])) {
    if (current !== '' && current.length + 1 + word.length > 78) {
      lines.push(current)
      current = ` ${word}`
    } else current = current === '' ? word : `${current} ${word}`
  }
  return [...lines, current]
}
