// RFC 6376 §3.2: tag=value lists, as DKIM signatures, keys, ARC fields and DMARC records have them.

/** More tags than any standard knows, and fewer than it takes to keep us busy. */
const MAX_TAGS = 64

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/
/** tval: printable ASCII without the semicolon; white space only inside. 8-bit is for RFC 8616. */
const VALUE = /^[\x21-\x3a\x3c-\x7e\u0080-\u{10ffff}\s]*$/u

/**
 * The tags of a list by name, values without the white space around them. Undefined when the text is no such list: a tag twice, a bad name, an empty
 * place between semicolons (RFC 6376 §3.2: then the whole list is invalid).
 */
export function parseTagList(text: string, maxLength = 16_384): ReadonlyMap<string, string> | undefined {
  if (text.length > maxLength) return undefined
  const tags = new Map<string, string>()
  const pieces = text.split(';')
  // One semicolon may end the list.
  if (pieces.length > 1 && pieces.at(-1)?.trim() === '') pieces.pop()
  if (pieces.length > MAX_TAGS) return undefined
  for (const piece of pieces) {
    const equals = piece.indexOf('=')
    if (equals < 0) return undefined
    const name = piece.slice(0, equals).trim()
    const value = piece.slice(equals + 1).trim()
    if (!NAME.test(name) || tags.has(name) || !VALUE.test(value)) return undefined
    tags.set(name, value)
  }
  return tags
}

/** A value without its folding white space (RFC 6376 §2.8), for those in which it means nothing. */
export const withoutSpace = (value: string): string => (/\s/.test(value) ? value.replace(/\s+/g, '') : value)

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** The octets of a base64 value with white space in it; undefined for an empty one, or what is no base64. */
export function base64Value(value: string): Buffer | undefined {
  const text = withoutSpace(value)
  return BASE64.test(text) ? Buffer.from(text, 'base64') : undefined
}

/** A value of digits only, small enough to be exact; undefined otherwise. */
export function numberValue(value: string): number | undefined {
  return /^[0-9]{1,12}$/.test(value) ? Number(value) : undefined
}
