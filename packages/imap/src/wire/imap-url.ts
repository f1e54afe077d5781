// RFC 5092 IMAP URLs, the relative ones that CATENATE (RFC 4469) takes: a message, or a piece of one, of the account that is logged in.

import { canonicalName } from './mailbox-name.ts'

/** A message and which of its octets are meant. */
export interface MessageUrl {
  /** Undefined: the selected mailbox. */
  readonly mailbox: string | undefined
  readonly uidValidity: number | undefined
  readonly uid: number
  /** As between the brackets of BODY[]; empty: the whole message. */
  readonly section: string
  /** Octets [start, start + length) of the section (RFC 5550 URL-PARTIAL); `length` undefined: to its end. */
  readonly partial: { readonly start: number; readonly length: number | undefined } | undefined
}

const MESSAGE =
  /^(?:\/?([^;/][^;]*?)(?:;UIDVALIDITY=([1-9]\d{0,9}))?\/|);UID=([1-9]\d{0,9})(?:\/;SECTION=([^;]+?))?(?:\/;PARTIAL=(\d{1,15})(?:\.([1-9]\d{0,14}))?)?$/i

/** Undefined when the text is no URL of a message: also for absolute URLs (`imap://...`) and those with URLAUTH. */
export function parseMessageUrl(text: string): MessageUrl | undefined {
  const match = MESSAGE.exec(text)
  if (match === null) return undefined
  const [, mailbox, uidValidity, uid, section, start, length] = match
  // `//host/...` names another server; without a name in it, `imap:` is a scheme.
  if (/^(?:\/\/|[a-z][a-z0-9+.-]*:)/i.test(text)) return undefined
  const name = mailbox === undefined ? undefined : decode(mailbox)
  const inside = section === undefined ? '' : decode(section)
  const number = Number(uid)
  const validity = uidValidity === undefined ? undefined : Number(uidValidity)
  if ((mailbox !== undefined && name === undefined) || inside === undefined) return undefined
  if (number > 0xffffffff || (validity ?? 0) > 0xffffffff) return undefined
  return {
    mailbox: name === undefined ? undefined : canonicalName(name),
    uidValidity: validity,
    uid: number,
    section: inside,
    partial:
      start === undefined
        ? undefined
        : { start: Number(start), length: length === undefined ? undefined : Number(length) },
  }
}

/** Percent-encoded UTF-8; undefined when it is not. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** The URL as it may stand in a response code (`url-resp-text`). */
export function urlForResponse(text: string): string {
  const safe = [...Buffer.from(text.slice(0, 1000))]
  return safe
    .map((byte) =>
      byte > 0x20 && byte < 0x7f && byte !== 0x5d
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')
}
