// The parameters of MAIL and RCPT, typed: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), REQUIRETLS (RFC 8689),
// AUTH (RFC 4954 §5), RET, ENVID, NOTIFY, ORCPT (RFC 3461).

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
}

/** Types the parameters of MAIL. Throws SmtpError 555 5.5.4 for one that was not offered, 501 5.5.4 for a bad value. */
export function mailParameters(parameters: ReadonlyMap<string, string>, offered: Extensions): MailParameters {
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
      default:
        throw notOffered(keyword)
    }
  }
  return typed
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
