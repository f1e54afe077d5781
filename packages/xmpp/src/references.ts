// References in text and attribute values (XML 1.0 §4.1, §4.6): the five predefined entities and characters by their numbers. Nothing else may stand there (RFC 6120 §11.1).

import { CR, LF, TAB } from './characters.ts'
import { malformed, StreamError } from './stream-error.ts'

/** The longest that can be meant, with a few leading zeros; the bound also keeps a row of lone '&' linear. */
const LONGEST = 16

/** Where the `;` of the reference stands whose `&` is at `from`. @throws StreamError not-well-formed */
export function referenceEnd(source: string, from: number): number {
  const end = source.indexOf(';', from)
  if (end < 0 || end - from > LONGEST) throw malformed('unfinished reference')
  return end
}

/** What a reference stands for; `name` is what stands between its `&` and `;`. @throws StreamError not-well-formed, or restricted-xml for an entity of the document's own */
export function referred(name: string): string {
  switch (name) {
    case 'amp':
      return '&'
    case 'lt':
      return '<'
    case 'gt':
      return '>'
    case 'quot':
      return '"'
    case 'apos':
      return "'"
    default: {
      if (!/^#(?:[0-9]+|x[0-9a-fA-F]+)$/.test(name)) {
        throw /^[\p{L}_:][\p{L}\p{N}\p{M}_:.-]*$/u.test(name)
          ? new StreamError('restricted-xml', 'entity reference')
          : malformed('bad reference')
      }
      const point = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10)
      const allowed =
        point === TAB ||
        point === LF ||
        point === CR ||
        (point >= 0x20 && point < 0xd800) ||
        (point >= 0xe000 && point < 0xfffe) ||
        (point >= 0x10000 && point <= 0x10ffff)
      if (!allowed) throw malformed('reference to a forbidden character')
      return String.fromCodePoint(point)
    }
  }
}
