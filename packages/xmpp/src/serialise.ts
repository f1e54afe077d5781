// Writing XML: escaping and the start tags of elements. Everything that leaves goes through here or is verbatim, already checked source.

import type { Element } from './element.ts'

// What must not stand as it is: markup, quotes, carriage return (a reader would turn it into LF), and characters that XML 1.0 §2.2 forbids.
// oxlint-disable-next-line no-control-regex
const UNSAFE_TEXT = /[&<>\r\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/
// oxlint-disable-next-line no-control-regex
const UNSAFE_TEXTS = /[&<>\r\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g
// oxlint-disable-next-line no-control-regex
const UNSAFE_ATTRIBUTE = /[&<>"'\r\n\t\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/
// oxlint-disable-next-line no-control-regex
const UNSAFE_ATTRIBUTES = /[&<>"'\r\n\t\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g

/** Text as it may stand between tags. A character that XML cannot carry becomes U+FFFD: one bad stored string must not break a peer's stream. */
export function escapeText(text: string): string {
  return UNSAFE_TEXT.test(text) ? text.replace(UNSAFE_TEXTS, escapeCharacter) : text
}

/** Text as it may stand in an attribute value within either kind of quotes. */
export function escapeAttribute(text: string): string {
  return UNSAFE_ATTRIBUTE.test(text) ? text.replace(UNSAFE_ATTRIBUTES, escapeCharacter) : text
}

function escapeCharacter(character: string): string {
  switch (character) {
    case '&':
      return '&amp;'
    case '<':
      return '&lt;'
    case '>':
      return '&gt;'
    case '"':
      return '&quot;'
    case "'":
      return '&apos;'
    case '\r':
      return '&#xD;'
    case '\n':
      return '&#xA;'
    case '\t':
      return '&#x9;'
    default:
      return '\ufffd'
  }
}

/**
 * The element as XML text for a place where `context` is the default namespace; an `xmlns` is written only where it differs.
 * An element whose namespace is '' takes the one it is put into.
 */
export function serialise(element: Element, context: string): string {
  const content = element.raw ?? serialiseContent(element, element.xmlns === '' ? context : element.xmlns)
  const open = startTag(element, context)
  return content === '' ? open + '/>' : open + '>' + content + '</' + element.name + '>'
}

/** The children as XML text, for a place where `context` is the default namespace. */
export function serialiseContent(element: Element, context: string): string {
  let out = ''
  for (const child of element.children) out += typeof child === 'string' ? escapeText(child) : serialise(child, context)
  return out
}

function startTag(element: Element, context: string): string {
  let out = '<' + element.name
  if (element.xmlns !== context && element.xmlns !== '') out += " xmlns='" + escapeAttribute(element.xmlns) + "'"
  const pairs = element.attrs.pairs
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index] as string
    if (name.charCodeAt(0) === 0x7b) {
      // '{namespace}name': a prefix of its own for each, so that no two can collide.
      const end = name.lastIndexOf('}')
      const prefix = 'a' + index / 2
      out += ' xmlns:' + prefix + "='" + escapeAttribute(name.slice(1, end)) + "' " + prefix + ':' + name.slice(end + 1)
    } else out += ' ' + name
    out += "='" + escapeAttribute(pairs[index + 1] as string) + "'"
  }
  return out
}
