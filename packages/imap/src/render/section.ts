// RFC 9051 §6.4.5, `section`: which octets of a message BODY[...] names.

import { type Part } from '@aviso/mime'

/** What BODY[...] asks for. `part` are the numbers before the text specifier. */
export interface Section {
  readonly part: readonly number[]
  readonly text: 'HEADER' | 'HEADER.FIELDS' | 'HEADER.FIELDS.NOT' | 'TEXT' | 'MIME' | undefined
  /** Field names of HEADER.FIELDS(.NOT), as the client wrote them. */
  readonly fields: readonly string[]
}

/** Octets [start, end) of the message; `header` when a filter over a header is still to be applied. */
export interface SectionRange {
  readonly start: number
  readonly end: number
}

/** Undefined when the message has no such part: the answer is NIL. */
export function sectionRange(root: Part, section: Section): SectionRange | undefined {
  if (section.part.length === 0) {
    switch (section.text) {
      case undefined:
        return { start: 0, end: root.bodyEnd }
      case 'TEXT':
        return { start: root.bodyStart, end: root.bodyEnd }
      case 'MIME':
        return undefined
      default:
        return { start: root.headerStart, end: root.bodyStart }
    }
  }
  const part = partAt(root, section.part)
  if (part === undefined) return undefined
  switch (section.text) {
    case undefined:
      return { start: part.bodyStart, end: part.bodyEnd }
    case 'MIME':
      return { start: part.headerStart, end: part.bodyStart }
    case 'TEXT':
      return part.message && { start: part.message.bodyStart, end: part.message.bodyEnd }
    default:
      return part.message && { start: part.message.headerStart, end: part.message.bodyStart }
  }
}

/** The part with these numbers. A message/rfc822 is entered by the number that follows its own. */
export function partAt(root: Part, numbers: readonly number[]): Part | undefined {
  let here: Part | undefined = root
  for (const [i, number] of numbers.entries()) {
    const inside: Part = i > 0 && here.message !== undefined ? here.message : here
    if (inside.type.toLowerCase() === 'multipart' && inside.children.length > 0) here = inside.children[number - 1]
    // A body that is no multipart is its own part 1; below a part that is neither, there is nothing.
    else here = number === 1 && (i === 0 || inside !== here) ? inside : undefined
    if (here === undefined) return undefined
  }
  return here
}
