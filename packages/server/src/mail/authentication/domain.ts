// RFC 1035 §2.3, RFC 5890: domain names as the standards of mail authentication compare them.

import { domainToASCII } from 'node:url'

const LABEL_OCTETS = 63
/** Without the final dot, in text form. */
const NAME_OCTETS = 253

const ASCII_LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/
const PLAIN = /^[\x21-\x7e]+$/

/**
 * The name in its one spelling: A-labels, lower case, no dot at the end. Underscores are allowed, as selectors have them. Undefined for what cannot
 * stand in the DNS.
 */
export function asDomain(text: string): string | undefined {
  if (text === '' || text.length > 2 * NAME_OCTETS) return undefined
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  const ascii = PLAIN.test(name) ? name.toLowerCase() : toAscii(name)
  if (ascii === undefined || ascii === '' || ascii.length > NAME_OCTETS) return undefined
  let from = 0
  for (;;) {
    const dot = ascii.indexOf('.', from)
    const end = dot < 0 ? ascii.length : dot
    if (end === from || end - from > LABEL_OCTETS || !ASCII_LABEL.test(ascii.slice(from, end))) return undefined
    if (dot < 0) return ascii
    from = dot + 1
  }
}

/** The URL parser knows UTS 46, but forgives what is no name at all (escapes, ports, paths), which therefore must not reach it. */
function toAscii(name: string): string | undefined {
  if (!/^[A-Za-z0-9._\-\u0080-\u{10ffff}]+$/u.test(name)) return undefined
  const labels: string[] = []
  for (const label of name.split('.')) {
    const ascii = PLAIN.test(label) ? label.toLowerCase() : domainToASCII(label)
    if (ascii === '') return undefined
    labels.push(ascii)
  }
  return labels.join('.')
}

/** True when `name` is `parent` or lies below it; both as `asDomain` gives them. Compares labels, so that `notexample.org` is not inside `example.org`. */
export const isInside = (name: string, parent: string): boolean => name === parent || name.endsWith(`.${parent}`)

/** The domain of `local@domain`, not yet normalised; undefined when there is no `@`. */
export function domainPart(address: string): string | undefined {
  const at = address.lastIndexOf('@')
  return at < 0 ? undefined : address.slice(at + 1)
}
