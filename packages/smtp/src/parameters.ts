// The parameters of MAIL and RCPT, typed: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), REQUIRETLS (RFC 8689),
// AUTH (RFC 4954 §5), RET, ENVID, NOTIFY, ORCPT (RFC 3461), BY (RFC 2852), MT-PRIORITY (RFC 6710), HOLDFOR, HOLDUNTIL (RFC 4865).

import { SmtpError } from './reply.ts'
import { decodeUtf8AddressXtext, decodeXtext } from './xtext.ts'

export type BodyType = '7BIT' | '8BITMIME' | 'BINARYMIME'

/** RFC 3461 §4.1: when a notification shall be sent. `NEVER` stands alone. */
export type NotifyCondition = 'NEVER' | 'SUCCESS' | 'FAILURE' | 'DELAY'

export interface MailParameters {
  /** Octets that the client announced. */
  readonly size?: number
  readonly body: BodyType
  readonly smtpUtf8: boolean
  readonly requireTls: boolean
  /** How much of the message a notification of failure returns. */
  readonly ret?: 'FULL' | 'HDRS'
  /** The sender's envelope id, decoded. */
  readonly envid?: string
  /** Who submitted the message first, as the client tells; `'<>'` when unknown. Believe it only from peers that you trust. */
  readonly auth?: string
  readonly deliverBy?: DeliverBy
  /** RFC 6710: from -9 to 9, the higher the more urgent. Absent: 0. */
  readonly priority?: number
  /** RFC 4865: the message is not to be sent on before. */
  readonly holdUntil?: Date
}

/** RFC 2852: the time in which the message is to be delivered. */
export interface DeliverBy {
  /** From the MAIL command on; what is left of it, when the message was sent on. Not above zero: the time is over already. */
  readonly seconds: number
  /** What to do when it is over: give the message back as undeliverable, or tell the sender that it is late. */
  readonly late: 'return' | 'notify'
  /** Tell the sender of each relay that cannot keep the time. */
  readonly trace: boolean
}

export interface RecipientParameters {
  /** Absent: the default of RFC 3461 §4.1 (failure, perhaps delay). */
  readonly notify?: readonly NotifyCondition[]
  /** The recipient as the first sender wrote it: `{ type: 'rfc822', address: 'anna@example.org' }`, decoded. */
  readonly originalRecipient?: { readonly type: string; readonly address: string }
}

/** The service extensions that a server may switch off; all others are part of every session. */
export interface Extensions {
  readonly smtpUtf8: boolean
  readonly dsn: boolean
  readonly chunking: boolean
  readonly binaryMime: boolean
  /** Offered on secure sessions only (RFC 8689 §2). */
  readonly requireTls: boolean
  /** AUTH= of MAIL. */
  readonly auth: boolean
  /** BY= of MAIL; a number is the least of seconds that can be kept (RFC 2852 §3). */
  readonly deliverBy: boolean | number
  /** MT-PRIORITY= of MAIL; a text is the name of the profile that is followed (RFC 6710 §6). */
  readonly priority: boolean | string
  /** HOLDFOR= and HOLDUNTIL= of MAIL: the most seconds for which a message is held. 0 is off. Offered in submission only (RFC 4865 §4). */
  readonly futureRelease: number
}

/** Types the parameters of MAIL, which came at `now`. Throws SmtpError 555 5.5.4 for one that was not offered, 501 5.5.4 for a bad value. */
export function mailParameters(
  parameters: ReadonlyMap<string, string>,
  offered: Extensions,
  now = new Date(),
): MailParameters {
  const typed: { -readonly [K in keyof MailParameters]: MailParameters[K] } = {
    body: '7BIT',
    smtpUtf8: false,
    requireTls: false,
  }
  for (const [keyword, value] of parameters) {
    switch (keyword) {
      case 'SIZE':
        if (!/^\d{1,20}$/.test(value)) throw badValue(keyword)
        typed.size = Number(value)
        break
      case 'BODY':
        typed.body = bodyType(value, offered)
        break
      case 'SMTPUTF8':
        if (!offered.smtpUtf8) throw notOffered(keyword)
        if (value !== '') throw badValue(keyword)
        typed.smtpUtf8 = true
        break
      case 'REQUIRETLS':
        if (!offered.requireTls) throw notOffered(keyword)
        if (value !== '') throw badValue(keyword)
        typed.requireTls = true
        break
      case 'AUTH':
        if (!offered.auth) throw notOffered(keyword)
        typed.auth = xtext(keyword, value, 500)
        break
      case 'RET': {
        if (!offered.dsn) throw notOffered(keyword)
        const ret = value.toUpperCase()
        if (ret !== 'FULL' && ret !== 'HDRS') throw badValue(keyword)
        typed.ret = ret
        break
      }
      case 'ENVID':
        if (!offered.dsn) throw notOffered(keyword)
        typed.envid = xtext(keyword, value, 100)
        break
      case 'BY':
        if (offered.deliverBy === false) throw notOffered(keyword)
        typed.deliverBy = deliverBy(value, offered.deliverBy)
        break
      case 'MT-PRIORITY':
        if (offered.priority === false) throw notOffered(keyword)
        if (!/^(?:0|-?[1-9])$/.test(value)) throw badValue(keyword)
        typed.priority = Number(value)
        break
      case 'HOLDFOR':
      case 'HOLDUNTIL':
        if (offered.futureRelease === 0) throw notOffered(keyword)
        // RFC 4865 §4: only one of the two.
        if (typed.holdUntil !== undefined) throw badValue(keyword)
        typed.holdUntil = release(keyword, value, now)
        if (typed.holdUntil.getTime() > now.getTime() + offered.futureRelease * 1000)
          throw new SmtpError(501, '5.5.4', `A message is held for ${offered.futureRelease} seconds at most`)
        break
      default:
        throw notOffered(keyword)
    }
  }
  return typed
}

function deliverBy(value: string, least: true | number): DeliverBy {
  const [, digits = '', mode = '', trace] = /^([+-]?\d{1,9});([NR])(T)?$/i.exec(value) ?? []
  if (digits === '') throw badValue('BY')
  const seconds = Number(digits)
  const late = mode.toUpperCase() === 'R' ? 'return' : 'notify'
  // RFC 2852 §4: a message that is to be given back when it is late must have some time left.
  if (late === 'return' && seconds <= 0) throw badValue('BY')
  if (late === 'return' && typeof least === 'number' && seconds < least)
    throw new SmtpError(
      550,
      '5.4.7',
      `Delivery within ${seconds} seconds cannot be promised here, only within ${least}`,
    )
  return { seconds, late, trace: trace !== undefined }
}

/** RFC 3339 with seconds; RFC 4865 §4 asks for UTC, some clients write their own offset. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

function release(keyword: string, value: string, now: Date): Date {
  if (keyword === 'HOLDFOR') {
    if (!/^\d{1,9}$/.test(value)) throw badValue(keyword)
    return new Date(now.getTime() + Number(value) * 1000)
  }
  const date = new Date(DATE_TIME.test(value.toUpperCase()) ? value.toUpperCase() : Number.NaN)
  // Sent at once, a message that was meant for another day cannot be called back.
  if (Number.isNaN(date.getTime()) || date < now) throw badValue(keyword)
  return date
}

/** Types the parameters of RCPT. Throws as {@link mailParameters}. */
export function recipientParameters(parameters: ReadonlyMap<string, string>, offered: Extensions): RecipientParameters {
  const typed: { -readonly [K in keyof RecipientParameters]: RecipientParameters[K] } = {}
  for (const [keyword, value] of parameters) {
    if (!offered.dsn || (keyword !== 'NOTIFY' && keyword !== 'ORCPT')) throw notOffered(keyword)
    if (keyword === 'NOTIFY') typed.notify = notify(value)
    else typed.originalRecipient = originalRecipient(value)
  }
  return typed
}

function bodyType(value: string, offered: Extensions): BodyType {
  const body = value.toUpperCase()
  if (body === '7BIT' || body === '8BITMIME') return body
  if (body === 'BINARYMIME' && offered.binaryMime) return body
  throw badValue('BODY')
}

function notify(value: string): readonly NotifyCondition[] {
  const conditions = new Set<NotifyCondition>()
  for (const word of value.toUpperCase().split(',')) {
    if (word !== 'NEVER' && word !== 'SUCCESS' && word !== 'FAILURE' && word !== 'DELAY') throw badValue('NOTIFY')
    conditions.add(word)
  }
  if (conditions.has('NEVER') && conditions.size > 1) throw badValue('NOTIFY')
  return [...conditions]
}

function originalRecipient(value: string): { type: string; address: string } {
  const semicolon = value.indexOf(';')
  const type = value.slice(0, semicolon).toLowerCase()
  const coded = value.slice(semicolon + 1)
  if (semicolon < 0 || value.length > 500 || !/^[a-z0-9][a-z0-9-]*$/.test(type) || coded === '') throw badValue('ORCPT')
  const address = type === 'utf-8' ? decodeUtf8AddressXtext(coded) : decodeXtext(coded)
  if (address === undefined || !/^\P{Cc}+$/u.test(address)) throw badValue('ORCPT')
  return { type, address }
}

function xtext(keyword: string, value: string, max: number): string {
  const text = decodeXtext(value)
  // A value travels into headers and notifications: a control hidden in it would make new lines there.
  if (value === '' || value.length > max || text === undefined || !/^\P{Cc}+$/u.test(text)) throw badValue(keyword)
  return text
}

function notOffered(keyword: string): SmtpError {
  return new SmtpError(555, '5.5.4', `${keyword} parameter is not known here`)
}

function badValue(keyword: string): SmtpError {
  return new SmtpError(501, '5.5.4', `The value of ${keyword} cannot be read`)
}
