// Making messages: for delivery notices, welcome mail and tests. RFC 5322, 2045, 2046, 2231.

import { encodeBase64, encodeQuotedPrintable } from './transfer-encoding.ts'
import { encodePhrase, encodeWords } from './words.ts'

export interface Attachment {
  readonly filename?: string
  /** `type/subtype`, with parameters if it needs them; default application/octet-stream. */
  readonly contentType?: string
  /** Default attachment. */
  readonly disposition?: 'attachment' | 'inline'
  /** Without angle brackets. */
  readonly contentId?: string
  /** Text becomes UTF-8. A part of type message/* is sent as it is (RFC 2046 §5.2), others in base64. */
  readonly content: Uint8Array | string
}

export interface Composition {
  /**
   * Fields in order; text outside ASCII becomes encoded-words, long lines are folded. Address fields take what `formatAddress` makes. Values cannot
   * bring in fields of their own: line ends become spaces.
   */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly text?: string
  readonly html?: string
  readonly attachments?: readonly Attachment[]
  /** The multipart around text and attachments, `mixed` by default; `report; report-type=delivery-status` for RFC 6522. */
  readonly multipart?: string
  /** Starts the boundaries; given by the caller so that tests repeat. Must not occur in the content at the start of a line behind `--`. */
  readonly boundary?: string
}

const CRLF = '\r\n'

/** One message with CRLF line ends. Throws a RangeError for a field name that is not one. */
export function compose(composition: Composition): Uint8Array {
  const boundary = composition.boundary ?? '=_aviso'
  const pieces: string[] = []
  for (const [name, value] of composition.headers) pieces.push(Buffer.from(field(name, value)).toString('latin1'))
  pieces.push(field('MIME-Version', '1.0'))
  const { text, html, attachments = [], multipart } = composition
  const body =
    text !== undefined && html !== undefined
      ? { multipart: 'alternative', parts: [textEntity('plain', text), textEntity('html', html)] }
      : html === undefined
        ? textEntity('plain', text ?? '')
        : textEntity('html', html)
  const parts = attachments.map((attachment) => attachmentEntity(attachment))
  if (parts.length === 0 && multipart === undefined) pieces.push(written(body, boundary))
  else pieces.push(written({ multipart: multipart ?? 'mixed', parts: [body, ...parts] }, boundary))
  return Buffer.from(pieces.join(''), 'latin1')
}

/** A leaf: its Content-* fields and its body in octets as latin1, CRLF at the end or not. */
interface Leaf {
  readonly fields: string
  readonly body: string
}

interface Multipart {
  readonly multipart: string
  readonly parts: readonly (Leaf | Multipart)[]
}

function written(entity: Leaf | Multipart, boundary: string): string {
  if (!('multipart' in entity)) return entity.fields + CRLF + entity.body
  const [subtype = 'mixed', ...parameters] = entity.multipart.split(';')
  const type = [`multipart/${subtype.trim()}`, ...parameters.map((text) => text.trim()), `boundary="${boundary}"`]
  const pieces = [field('Content-Type', type.join('; ')), CRLF]
  entity.parts.forEach((part, index) => pieces.push(`--${boundary}${CRLF}`, written(part, `${index}${boundary}`), CRLF))
  pieces.push(`--${boundary}--${CRLF}`)
  return pieces.join('')
}

function textEntity(subtype: string, text: string): Leaf {
  // Lines of plain ASCII that fit need no encoding (RFC 5322 §2.1.1); `From ` and a lone dot survive transport only when encoded.
  const simple = !/[^\t\n\r -~]|[^\r\n]{79}|^From |^\.|[ \t]$/m.test(text)
  const lines = text.replace(/\r\n|\r|\n/g, CRLF)
  return {
    fields:
      field('Content-Type', `text/${subtype}; charset=utf-8`) +
      field('Content-Transfer-Encoding', simple ? '7bit' : 'quoted-printable'),
    body: simple ? lines : encodeQuotedPrintable(text),
  }
}

function attachmentEntity(attachment: Attachment): Leaf {
  const octets = typeof attachment.content === 'string' ? Buffer.from(attachment.content) : attachment.content
  const type = attachment.contentType ?? 'application/octet-stream'
  let fields = field('Content-Type', type)
  const name = attachment.filename === undefined ? '' : `; ${formatParameter('filename', attachment.filename)}`
  if (attachment.filename !== undefined || attachment.disposition !== undefined) {
    fields += field('Content-Disposition', (attachment.disposition ?? 'attachment') + name)
  }
  if (attachment.contentId !== undefined) fields += field('Content-ID', `<${attachment.contentId}>`)
  if (/^message\//i.test(type)) {
    const eightBit = octets.some((octet) => octet >= 0x80)
    return {
      fields: fields + field('Content-Transfer-Encoding', eightBit ? '8bit' : '7bit'),
      body: Buffer.from(octets).toString('latin1'),
    }
  }
  return { fields: fields + field('Content-Transfer-Encoding', 'base64'), body: encodeBase64(octets) }
}

/** `name="value"`, or RFC 2231's form when the value is not ASCII. */
export function formatParameter(name: string, value: string): string {
  const clean = value.replace(/[\r\n\0]+/g, ' ')
  if (!/[^\x20-\x7e]/.test(clean)) return `${name}="${clean.replace(/["\\]/g, '\\$&')}"`
  const encoded = encodeURIComponent(clean.toWellFormed()).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${name}*=utf-8''${encoded}`
}

/** `"Name" <local@domain>`, the name quoted or encoded where it must be. `address` is in its wire form. */
export function formatAddress(name: string | undefined, address: string): string {
  const clean = name?.replace(/[\r\n\0]+/g, ' ').trim()
  if (!clean) return address
  if (/[^\x20-\x7e]/.test(clean) || clean.includes('=?')) return `${encodePhrase(clean)} <${address}>`
  const plain = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+$/.test(clean)
  return `${plain ? clean : `"${clean.replace(/["\\]/g, '\\$&')}"`} <${address}>`
}

/** Encoded-words may not stand inside an address: what is not ASCII there is UTF-8 and needs SMTPUTF8 (RFC 6532). */
const ADDRESS_FIELD = /^(?:resent-)?(?:from|sender|reply-to|to|cc|bcc)$/i

/**
 * One field with CRLF, folded at blanks to lines of 78 where there are any. Text outside ASCII becomes encoded-words, except in address fields,
 * whose names `formatAddress` has encoded already. Throws a RangeError for a bad name.
 */
export function field(name: string, value: string): string {
  if (!/^[\x21-\x39\x3b-\x7e]+$/.test(name))
    throw new RangeError(`not a field name: ${JSON.stringify(name.slice(0, 80))}`)
  const clean = value.replace(/[\r\n\0]+/g, ' ').trim()
  const words = (/\P{ASCII}/u.test(clean) && !ADDRESS_FIELD.test(name) ? encodeWords(clean) : clean).split(' ')
  let line = `${name}:`
  let out = ''
  for (const word of words) {
    if (line.length + 1 + word.length > 78 && line.trim() !== '' && line !== `${name}:` && word !== '') {
      out += line + CRLF
      line = ''
    }
    line += ` ${word}`
  }
  return out + line + CRLF
}
