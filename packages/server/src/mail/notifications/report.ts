// RFC 3461 §6, RFC 6522, RFC 6533: a notification as a whole. The mail comes back with it whole or as its header, as the sender wanted and its size allows.

import { decodeWords, encodeQuotedPrintable, field, formatAddress, formatDate } from '@aviso/mime'
import type { Report, ReportParts } from './contracts.ts'
import { machinePart } from './machine.ts'
import { reportText } from './text.ts'

/** Octets of a mail that comes back whole, and of a header. */
const MOST_WHOLE = 256 * 1024
const MOST_HEADER = 64 * 1024

const CRLF = '\r\n'

const SUBJECTS = { failure: 'Not delivered', delay: 'Still waiting', success: 'Delivered' } as const

/** Makes the notification. Rejects when the mail's octets cannot be read. */
export async function composeReport(parts: ReportParts): Promise<Report> {
  const { id, kind, facts, hostname, domain, at, mail } = parts
  const { parameters, message, created, sender } = mail
  const { header } = message
  // RFC 6533 §4: who sent it with SMTPUTF8, or has such an address, can read it in the answer.
  const utf8 = parameters.smtpUtf8 || /\P{ASCII}/u.test(sender)
  const subject = oneLine(decodeWords(header.get('Subject') ?? '')).slice(0, 200)
  const messageId = oneLine(header.get('Message-ID') ?? '')
  const returned = await returnedPart(parts, utf8)
  const text = reportText({ kind, facts: merged(facts), hostname, subject, created, at })
  const machine = machinePart({ facts: merged(facts), hostname, envid: parameters.envid, created, utf8 })
  const boundary = `=_${id}_aviso`

  const head = [
    field('Date', formatDate(at)),
    field('From', formatAddress('Mail Delivery System', `MAILER-DAEMON@${domain}`)),
    field('To', `<${sender}>`),
    field('Subject', subject === '' ? SUBJECTS[kind] : `${SUBJECTS[kind]}: ${subject}`),
    field('Message-ID', `<${id}@${hostname}>`),
    ...(/^<[!-~]{1,900}>$/.test(messageId) ? [field('In-Reply-To', messageId), field('References', messageId)] : []),
    field('Auto-Submitted', 'auto-replied'),
    field('MIME-Version', '1.0'),
    `Content-Type: multipart/report; report-type=${utf8 ? 'global-' : ''}delivery-status;${CRLF}\tboundary="${boundary}"${CRLF}`,
  ].join('')
  const machineEight = /\P{ASCII}/u.test(machine)
  const pieces: (string | Uint8Array)[] = [
    head,
    CRLF,
    `--${boundary}${CRLF}`,
    textPart(text),
    `${CRLF}--${boundary}${CRLF}`,
    `Content-Type: message/${utf8 ? 'global-' : ''}delivery-status${CRLF}`,
    encoding(machineEight),
    CRLF,
    machine,
    `${CRLF}--${boundary}${CRLF}`,
    ...returned.pieces,
    `${CRLF}--${boundary}--${CRLF}`,
  ]
  return {
    bytes: Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece))),
    body: returned.eightBit || machineEight || /\P{ASCII}/u.test(head) ? '8BITMIME' : '7BIT',
    // Only what needs it is sent so: the way back may not have it (RFC 6533 §4).
    smtpUtf8: utf8 && (machineEight || /\P{ASCII}/u.test(head) || returned.global),
  }
}

interface Returned {
  readonly pieces: readonly (string | Uint8Array)[]
  readonly eightBit: boolean
  /** It is message/global or message/global-headers. */
  readonly global: boolean
}

/** RFC 3461 §4.3: RET; a delay or a success needs no more than the header. */
async function returnedPart({ kind, mail }: ReportParts, utf8: boolean): Promise<Returned> {
  const { parameters, message, size } = mail
  const whole =
    kind === 'failure' &&
    parameters.ret !== 'HDRS' &&
    size <= MOST_WHOLE &&
    message.size === size &&
    // RFC 3030 §3: binary cannot go back this way. RFC 8689 §5: nor what must stay secret, as the way back may be open.
    parameters.body !== 'BINARYMIME' &&
    !parameters.requireTls
  const bytes = whole ? await message.whole() : cut(message.head)
  const eightBit = bytes.some((octet) => octet >= 0x80)
  const global = utf8 && message.head.some((octet) => octet >= 0x80)
  const type = whole
    ? global
      ? 'message/global'
      : 'message/rfc822'
    : global
      ? 'message/global-headers'
      : 'text/rfc822-headers'
  return { pieces: [`Content-Type: ${type}${CRLF}`, encoding(eightBit), CRLF, bytes], eightBit, global }
}

/** A header that is not too long, at the end of a line. */
function cut(head: Uint8Array): Uint8Array {
  if (head.byteLength <= MOST_HEADER) return head
  const end = Buffer.from(head.buffer, head.byteOffset, MOST_HEADER).lastIndexOf(CRLF)
  return head.subarray(0, end < 0 ? MOST_HEADER : end + 2)
}

function textPart(text: string): string {
  const simple = !/[^\n -~]|[^\n]{79}/.test(text)
  return [
    `Content-Type: text/plain; charset=utf-8${CRLF}`,
    `Content-Transfer-Encoding: ${simple ? '7bit' : 'quoted-printable'}${CRLF}`,
    CRLF,
    simple ? text.replaceAll('\n', CRLF) : encodeQuotedPrintable(text),
  ].join('')
}

const encoding = (eightBit: boolean): string => `Content-Transfer-Encoding: ${eightBit ? '8bit' : '7bit'}${CRLF}`

/** An alias that leads to several places is one recipient for the sender. */
function merged(facts: ReportParts['facts']): ReportParts['facts'] {
  const seen = new Set<string>()
  return facts.filter(({ recipient, action }) => {
    const key = `${action} ${recipient}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

const oneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim()
