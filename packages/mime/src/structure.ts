// RFC 2045 and 2046: the tree of MIME parts as offsets, found in one pass over the octets.

import { type Disposition, type Parameter, parseContentType, parseDisposition, unquoted } from './content-fields.ts'
import { CR, DASH, LF, SPACE, TAB, COLON, asBuffer, headerText, unfold } from './octets.ts'

/** One entity: its place in the message and what its Content-* fields say. Offsets are octets from the start of the message. */
export interface Part {
  /** [headerStart, bodyStart) is the header with the empty line that ends it. */
  headerStart: number
  bodyStart: number
  /** [bodyStart, bodyEnd) is the body, without the line end that belongs to the next boundary (RFC 2046 §5.1.1). */
  bodyEnd: number
  /** Line ends in the body. */
  lines: number
  /** As written; compare in lower case. A missing or unreadable Content-Type is text/plain; charset=us-ascii (RFC 2045 §5.2). */
  type: string
  subtype: string
  /** Of Content-Type; continuations and charsets of RFC 2231 are merged. */
  parameters: Parameter[]
  /** Content-ID as written. */
  id?: string
  /** Content-Description, unfolded; encoded-words as they are. */
  description?: string
  /** Content-Transfer-Encoding in upper case. */
  encoding: string
  disposition?: Disposition
  languages?: string[]
  location?: string
  md5?: string
  /** Parts of a multipart; empty when it has no boundary or no parts. */
  children: Part[]
  /** The root part of the message inside a message/rfc822 or message/global. */
  message?: Part
}

export interface StructureLimits {
  /** Parts of the whole message; what comes after stays in the body of the last part. Default 1000. */
  readonly parts?: number
  /** How deep multiparts and messages may nest; what is deeper has no children. Default 100. */
  readonly depth?: number
  /** Parameters of one field; the rest is left out. Default 100. */
  readonly parameters?: number
}

/** Field bodies longer than this are cut: no honest Content-* field comes near. */
const FIELD_OCTETS = 16_384
/** RFC 2046 §5.1.1 says 70. Longer ones are taken up to here; beyond, the multipart is opaque. */
const BOUNDARY_OCTETS = 250

/** A multipart whose closing boundary has not been seen. */
interface OpenMultipart {
  readonly part: Part
  readonly boundary: Buffer
  readonly hash: number
}

/** A part whose end has not been seen; `multipart` when parts may begin inside it. */
interface OpenPart {
  readonly part: Part
  /** Line ends of the message before the body. */
  readonly linesBefore: number
  readonly multipart: OpenMultipart | undefined
}

/**
 * The structure of a message. Never throws and takes time linear in the octets, whatever they are. Tolerant where real mail demands it: bare LF
 * ends a line, a missing end boundary is implied by the outer one or the end, the longest open boundary that a line begins with counts.
 */
export function parseStructure(bytes: Uint8Array, limits: StructureLimits = {}): Part {
  return new Scan(asBuffer(bytes), limits).run()
}

class Scan {
  readonly #bytes: Buffer
  readonly #length: number
  readonly #maxDepth: number
  readonly #maxParameters: number
  #partsLeft: number
  #at = 0
  #lines = 0
  /** The open parts, outermost first: the depth of the tree at the current place. */
  readonly #stack: OpenPart[] = []
  readonly #boundaries: OpenMultipart[] = []
  /** How many open boundaries have this many octets. */
  readonly #lengths: number[] = []

  constructor(bytes: Buffer, limits: StructureLimits) {
    this.#bytes = bytes
    this.#length = bytes.length
    this.#partsLeft = limits.parts ?? 1000
    // So deep a tree can still be walked by functions that call themselves.
    this.#maxDepth = Math.min(limits.depth ?? 100, 250)
    this.#maxParameters = limits.parameters ?? 100
  }

  run(): Part {
    const root = this.#begin(false)
    while (this.#at < this.#length) this.#nextBoundary()
    while (this.#stack.length > 0) this.#close(this.#length, this.#lines)
    return root
  }

  /** Reads headers at the current place: of a part and, for a message/rfc822, of the message within, until a body begins. */
  #begin(inDigest: boolean): Part {
    const first = this.#header(inDigest)
    let part = first
    for (;;) {
      const multipart = this.#open(part)
      if (multipart || !holdsMessage(part) || this.#stack.length >= this.#maxDepth || this.#partsLeft <= 0) return first
      part = part.message = this.#header(false)
    }
  }

  /** Puts a part on the stack; true when parts may begin inside it. */
  #open(part: Part): boolean {
    let multipart: OpenMultipart | undefined
    if (part.type.length === 9 && part.type.toLowerCase() === 'multipart' && this.#stack.length < this.#maxDepth) {
      const value = part.parameters.find(([name]) => name.toLowerCase() === 'boundary')?.[1]
      const boundary = Buffer.from(value?.trimEnd() ?? '')
      if (boundary.length > 0 && boundary.length <= BOUNDARY_OCTETS) {
        multipart = { part, boundary, hash: hashOf(boundary) }
        this.#boundaries.push(multipart)
        this.#countLength(boundary, 1)
      }
    }
    this.#stack.push({ part, linesBefore: this.#lines, multipart })
    return multipart !== undefined
  }

  #close(end: number, lines: number): void {
    const open = this.#stack.pop()
    if (!open) return
    const { part, linesBefore, multipart } = open
    part.bodyEnd = end
    part.lines = lines - linesBefore
    if (multipart && this.#boundaries.at(-1) === multipart) this.#forgetBoundary()
  }

  #forgetBoundary(): void {
    const gone = this.#boundaries.pop()
    if (gone) this.#countLength(gone.boundary, -1)
  }

  #countLength(boundary: Buffer, by: 1 | -1): void {
    this.#lengths[boundary.length] = (this.#lengths[boundary.length] ?? 0) + by
  }

  /** Goes to the next boundary line or the end of the message, counting lines, and opens and closes parts accordingly. */
  #nextBoundary(): void {
    const bytes = this.#bytes
    const length = this.#length
    const watching = this.#boundaries.length > 0
    let at = this.#at
    let lines = this.#lines
    while (at < length) {
      if (watching && bytes[at] === DASH && bytes[at + 1] === DASH) {
        const found = this.#boundaryAt(at + 2)
        if (found) {
          this.#at = at
          this.#lines = lines
          this.#delimiter(found)
          return
        }
      }
      while (at < length && bytes[at] !== LF) at++
      if (at >= length) break
      at++
      lines++
    }
    this.#at = length
    this.#lines = lines
  }

  /** Handles the boundary line at the current place. */
  #delimiter(open: OpenMultipart): void {
    const bytes = this.#bytes
    const { part: multipart, boundary } = open
    const start = this.#at
    let after = start + 2 + boundary.length
    const closing = bytes[after] === DASH && bytes[after + 1] === DASH
    const room = this.#partsLeft > 0
    // Out of room, a boundary of the innermost multipart is only more body of its last part; an outer one still ends what is inside it.
    if (room || closing || open !== this.#boundaries.at(-1)) {
      // The line end before the boundary belongs to it, but a header keeps the empty line that ends it.
      const lineEnd = bytes[start - 2] === CR ? 2 : 1
      const end = Math.max(start - lineEnd, this.#stack.at(-1)?.part.bodyStart ?? 0)
      const lines = end < start ? this.#lines - 1 : this.#lines
      while (this.#stack.length > 0 && this.#stack.at(-1)?.part !== multipart) this.#close(end, lines)
      if (closing) this.#forgetBoundary()
    }
    while (after < this.#length && bytes[after] !== LF) after++
    if (after < this.#length) {
      after++
      this.#lines++
    }
    this.#at = after
    if (!closing && room) multipart.children.push(this.#begin(multipart.subtype.toLowerCase() === 'digest'))
  }

  /** The open multipart whose boundary stands at `at`: the longest that matches, the innermost of equals. */
  #boundaryAt(at: number): OpenMultipart | undefined {
    const bytes = this.#bytes
    const boundaries = this.#boundaries
    const innermost = boundaries.at(-1)
    if (innermost && boundaries.length === 1) return startsWith(bytes, at, innermost.boundary) ? innermost : undefined
    // One running hash over the line is compared with all boundaries: a hundred long ones that differ only at their ends cost no more than one.
    const most = Math.min(BOUNDARY_OCTETS, this.#length - at)
    let best: OpenMultipart | undefined
    let hash = HASH_START
    for (let i = 0; i < most; i++) {
      const octet = bytes[at + i] ?? 0
      if (octet === LF || octet === CR) break
      hash = Math.imul(hash ^ octet, HASH_FACTOR)
      if ((this.#lengths[i + 1] ?? 0) === 0) continue
      const fits = (open: OpenMultipart) =>
        open.hash === hash && open.boundary.length === i + 1 && startsWith(bytes, at, open.boundary)
      best = boundaries.findLast(fits) ?? best
    }
    return best
  }

  /** Reads one header and leaves the current place at its body. */
  #header(inDigest: boolean): Part {
    this.#partsLeft--
    const bytes = this.#bytes
    const length = this.#length
    const part: Part = {
      headerStart: this.#at,
      bodyStart: length,
      bodyEnd: length,
      lines: 0,
      type: '',
      subtype: '',
      parameters: [],
      encoding: '7BIT',
      children: [],
    }
    let at = this.#at
    while (at < length) {
      const octet = bytes[at] ?? 0
      if (octet === LF || (octet === CR && bytes[at + 1] === LF)) {
        at += octet === LF ? 1 : 2
        this.#lines++
        break
      }
      // A part without an empty line: the boundary ends its header, and its body is empty.
      if (octet === DASH && bytes[at + 1] === DASH && this.#boundaries.length > 0 && this.#boundaryAt(at + 2)) break
      const start = at
      for (;;) {
        while (at < length && bytes[at] !== LF) at++
        if (at >= length) break
        at++
        this.#lines++
        if (bytes[at] !== SPACE && bytes[at] !== TAB) break
      }
      if ((octet | 0x20) === 0x63 && bytes[start + 7] === DASH) this.#contentField(part, start, at)
    }
    part.bodyStart = at
    part.bodyEnd = at
    this.#at = at
    if (part.type === '') {
      part.type = inDigest ? 'message' : 'text'
      part.subtype = inDigest ? 'rfc822' : 'plain'
      if (!inDigest) part.parameters = [['charset', 'us-ascii']]
    }
    return part
  }

  /** Content-* fields of MIME (RFC 2045, 2183, 3282, 2557, 1864). The first of a name counts. */
  #contentField(part: Part, start: number, end: number): void {
    const bytes = this.#bytes
    const nameEnd = Math.min(end, start + 32)
    let colon = start + 8
    while (colon < nameEnd && bytes[colon] !== COLON) colon++
    if (colon >= nameEnd) return
    const name = bytes.toString('latin1', start, colon).trimEnd().toLowerCase()
    const read = () => unfold(headerText(bytes, colon + 1, Math.min(end, colon + 1 + FIELD_OCTETS)))
    switch (name) {
      case 'content-type': {
        if (part.type !== '') return
        const value = parseContentType(read(), this.#maxParameters)
        if (!value) return
        part.type = value.type
        part.subtype = value.subtype
        part.parameters = value.parameters
        return
      }
      case 'content-transfer-encoding': {
        const value = unquoted(read()).toUpperCase()
        if (value !== '') part.encoding = value
        return
      }
      case 'content-disposition': {
        const value = parseDisposition(read(), this.#maxParameters)
        if (value) part.disposition ??= value
        return
      }
      case 'content-id': {
        const value = read()
        if (value !== '') part.id ??= value
        return
      }
      case 'content-description': {
        const value = read()
        if (value !== '') part.description ??= value
        return
      }
      case 'content-language': {
        const tags = read()
          .replace(/\([^()]*\)/g, '')
          .split(',', this.#maxParameters)
          .map((tag) => tag.trim())
          .filter((tag) => tag !== '')
        if (tags.length > 0) part.languages ??= tags
        return
      }
      case 'content-location': {
        // Long URIs are folded with white space that is no part of them (RFC 2557 §4.4.2).
        const value = read().replace(/[ \t]/g, '')
        if (value !== '') part.location ??= value
        return
      }
      case 'content-md5': {
        const value = read()
        if (value !== '') part.md5 ??= value
        return
      }
    }
  }
}

/** Only an unencoded message can be looked into by offsets (RFC 2046 §5.2.1; RFC 6532 §3.7 allows the others for message/global). */
function holdsMessage(part: Part): boolean {
  if (part.type.length !== 7 || part.type.toLowerCase() !== 'message') return false
  const subtype = part.subtype.toLowerCase()
  return (
    (subtype === 'rfc822' || subtype === 'global') && part.encoding !== 'BASE64' && part.encoding !== 'QUOTED-PRINTABLE'
  )
}

const HASH_START = 0x811c9dc5 | 0
const HASH_FACTOR = 0x01000193

function hashOf(bytes: Buffer): number {
  let hash = HASH_START
  for (const octet of bytes) hash = Math.imul(hash ^ octet, HASH_FACTOR)
  return hash
}

function startsWith(bytes: Buffer, at: number, prefix: Buffer): boolean {
  if (at + prefix.length > bytes.length) return false
  for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false
  return true
}
