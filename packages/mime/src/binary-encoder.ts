// RFC 3030 §3: a message with binary parts as text, piece by piece as it is read, whatever its size.

import { headerWithEncoding } from './header-encoding.ts'
import { asBuffer, CR, DASH, LF } from './octets.ts'
import { parseStructure, type Part } from './structure.ts'
import { encodeBase64 } from './transfer-encoding.ts'

type Hand = (octets: Buffer) => void

/** Octets of one header; a longer one is no header that anybody wrote, and what follows stays as it is. */
const HEADER_OCTETS = 1024 * 1024
/** As in `parseStructure`. */
const BOUNDARY_OCTETS = 250
const DEPTH = 100
/** Octets that make one line of base64. */
const LINE_OCTETS = 57
/** Octets that are encoded in one go. */
const STEP = LINE_OCTETS * 1024

/** Octets that are looked at together at least: whoever sends a long header octet by octet would have it copied for each. */
const TOGETHER = 4096

/** A multipart that is open. */
interface Multipart {
  readonly boundary: Buffer
  readonly digest: boolean
}

/** Where in the message: in a header; in a body that stays, or one that is encoded; in the rest of a boundary's line, after which one of them begins. */
type Place = 'header' | 'body' | 'binary' | 'boundary'

/**
 * Puts every part in Content-Transfer-Encoding binary into base64 and takes that word from the parts around it: decoded, each gives the same octets as before.
 * All else stays as it is, so NUL may be left where no part says that it is binary. What is text already is not changed.
 */
export class BinaryEncoder {
  /** Pieces that came and were not looked at yet, and their octets. */
  #pieces: Buffer[] = []
  #come = 0
  /** Octets that nothing is decided of yet. */
  #rest: Buffer = Buffer.alloc(0)
  #place: Place = 'header'
  #next: Place = 'header'
  #multiparts: Multipart[] = []
  #digest = false
  /** In a header: its octets that have been looked at, the lines among them ended. */
  #looked = 0
  /** The rest begins where a body does. */
  #bodyStart = false
  /** Octets of a binary body that make no whole line yet. */
  #unencoded: Buffer[] = []
  #waiting = 0
  #changed = false

  /** Something is not as it came. */
  get changed(): boolean {
    return this.#changed
  }

  /** Takes the next octets of the message and hands on those of the text, now or later. */
  push(piece: Uint8Array, hand: Hand): void {
    this.#pieces.push(asBuffer(piece))
    this.#come += piece.length
    if (this.#come < TOGETHER) return
    this.#join()
    while (this.#step(hand, false));
  }

  #join(): void {
    const [first, ...more] = this.#rest.length === 0 ? this.#pieces : [this.#rest, ...this.#pieces]
    if (first !== undefined) this.#rest = more.length === 0 ? first : Buffer.concat([first, ...more])
    this.#pieces = []
    this.#come = 0
  }

  /** The message is over. */
  end(hand: Hand): void {
    this.#join()
    while (this.#step(hand, true));
    const { length } = this.#rest
    if (this.#place === 'header') this.#header(length, hand)
    // A header that was the last may have begun a body of no octets.
    this.#give(this.#rest.length, hand)
    this.#endBinary(hand, true)
  }

  /** One step; false when more octets are needed for the next. */
  #step(hand: Hand, last: boolean): boolean {
    switch (this.#place) {
      case 'header':
        return this.#headerLine(hand, last)
      case 'body':
      case 'binary':
        return this.#body(hand, last)
      case 'boundary': {
        const end = this.#rest.indexOf(LF)
        this.#give(end < 0 ? this.#rest.length : end + 1, hand)
        if (end < 0) return false
        this.#enter(this.#next)
        return true
      }
    }
  }

  #enter(place: Place): void {
    this.#place = place
    this.#looked = 0
    this.#bodyStart = place !== 'boundary'
  }

  /** Looks at one more line of a header: the empty one ends it, and so does a boundary. */
  #headerLine(hand: Hand, last: boolean): boolean {
    const at = this.#looked
    const end = this.#rest.indexOf(LF, at)
    const line = this.#rest.subarray(at, end < 0 ? this.#rest.length : end)
    if (line[0] === DASH && line[1] === DASH) {
      const found = this.#multipartAt(at + 2, end >= 0 || last)
      if (found === 'unknown') return false
      if (found !== undefined) {
        if (at > 0) this.#header(at, hand)
        this.#endBinary(hand, false)
        this.#delimiter(found, 0, hand)
        return true
      }
    }
    if (end < 0) {
      if (this.#rest.length > HEADER_OCTETS) this.#giveUp()
      return this.#place !== 'header'
    }
    this.#looked = end + 1
    const empty = line.length === 0 || (line.length === 1 && line[0] === CR)
    if (empty) this.#header(end + 1, hand)
    else if (this.#looked > HEADER_OCTETS) this.#giveUp()
    return true
  }

  /** Nothing from here on is looked at any more. */
  #giveUp(): void {
    this.#multiparts = []
    this.#enter('body')
  }

  /** Reads the first octets of the rest as a header, and hands it on with the encoding that its body will have. */
  #header(length: number, hand: Hand): void {
    const header = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    const part = parseStructure(header)
    const type = part.type.toLowerCase()
    const digest = this.#digest && !/^content-type[ \t]*:/im.test(header.toString('latin1'))
    this.#digest = false
    if (digest || holdsMessage(part, type)) return this.#inside(header, part, hand, 'header')
    if (type === 'multipart') {
      const boundary = Buffer.from(
        part.parameters.find(([name]) => name.toLowerCase() === 'boundary')?.[1].trimEnd() ?? '',
      )
      const known = boundary.length > 0 && boundary.length <= BOUNDARY_OCTETS && this.#multiparts.length < DEPTH
      if (known) {
        this.#multiparts.push({ boundary, digest: part.subtype.toLowerCase() === 'digest' })
        return this.#inside(header, part, hand, 'body')
      }
    }
    if (part.encoding !== 'BINARY' || type === 'multipart' || type === 'message') {
      hand(header)
      return this.#enter('body')
    }
    this.#changed = true
    for (const run of headerWithEncoding(header, part, 'base64')) hand(asBuffer(run))
    this.#enter('binary')
  }

  /** A header of what has parts: those may be 8-bit, binary no more. */
  #inside(header: Buffer, part: Part, hand: Hand, next: Place): void {
    if (part.encoding === 'BINARY') {
      this.#changed = true
      for (const run of headerWithEncoding(header, part, '8bit')) hand(asBuffer(run))
    } else hand(header)
    this.#enter(next)
  }

  /** Hands on a body up to the next boundary, or as much of it as is there. */
  #body(hand: Hand, last: boolean): boolean {
    if (this.#multiparts.length === 0) {
      this.#give(this.#rest.length, hand)
      return false
    }
    for (let from = 0; ;) {
      const start = from === 0 && this.#bodyStart && this.#rest[0] === DASH && this.#rest[1] === DASH
      const at = start ? 0 : this.#rest.indexOf('\n--', from, 'latin1') + 1
      if (at === 0 && !start) break
      const found = this.#multipartAt(at + 2, last)
      if (found === 'unknown') {
        // All before it is no boundary; its line end may be a part of this one.
        this.#give(lineEndBefore(this.#rest, at), hand)
        return false
      }
      if (found !== undefined) {
        const end = lineEndBefore(this.#rest, at)
        this.#give(end, hand)
        this.#endBinary(hand, false)
        this.#delimiter(found, at - end, hand)
        return true
      }
      from = at + 2
    }
    // What may be the beginning of a boundary: its line end, and a dash.
    if (!last) this.#give(Math.max(0, this.#rest.length - 3), hand)
    return false
  }

  /** Hands on a boundary, `ahead` octets into the rest, and closes what it ends. */
  #delimiter(open: Multipart, ahead: number, hand: Hand): void {
    const after = ahead + 2 + open.boundary.length
    const closing = this.#rest[after] === DASH && this.#rest[after + 1] === DASH
    this.#multiparts.length = this.#multiparts.lastIndexOf(open) + (closing ? 0 : 1)
    this.#digest = !closing && open.digest
    this.#place = 'body'
    this.#give(after, hand)
    this.#next = closing ? 'body' : 'header'
    this.#enter('boundary')
  }

  /** The open multipart whose boundary stands at `at`: the longest, the innermost of equals. Unknown while the line may go on. */
  #multipartAt(at: number, ended: boolean): Multipart | undefined | 'unknown' {
    const octets = this.#rest
    // A boundary of the longest kind, and whether it closes.
    if (!ended && octets.length < at + BOUNDARY_OCTETS + 2 && octets.indexOf(LF, at) < 0) return 'unknown'
    let found: Multipart | undefined
    for (const one of this.#multiparts) {
      const { length } = one.boundary
      if (at + length > octets.length || length < (found?.boundary.length ?? 0)) continue
      if (octets.compare(one.boundary, 0, length, at, at + length) === 0) found = one
    }
    return found
  }

  /** Hands on the first octets of the rest, in base64 where the body is binary. */
  #give(length: number, hand: Hand): void {
    if (length <= 0) return
    const octets = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    this.#bodyStart = false
    if (this.#place !== 'binary') return hand(octets)
    this.#unencoded.push(octets)
    this.#waiting += length
    // The last line waits: only the end tells whether a line end follows it.
    if (this.#waiting > STEP) this.#encode(hand, this.#waiting - 1 - ((this.#waiting - 1) % LINE_OCTETS))
  }

  #endBinary(hand: Hand, atTheEnd: boolean): void {
    if (this.#waiting === 0) return
    this.#encode(hand, this.#waiting, !atTheEnd)
  }

  /** Hands on the first `length` of the octets that wait. `open`: without the last line end, as the boundary has one of its own. */
  #encode(hand: Hand, length: number, open = false): void {
    const octets = Buffer.concat(this.#unencoded)
    for (let at = 0; at < length; at += STEP) {
      const text = encodeBase64(octets.subarray(at, Math.min(at + STEP, length)))
      hand(Buffer.from(open && at + STEP >= length ? text.slice(0, -2) : text, 'latin1'))
    }
    this.#unencoded = length < octets.length ? [octets.subarray(length)] : []
    this.#waiting = octets.length - length
  }
}

/** Where the line end before `at` begins, as that belongs to a boundary there (RFC 2046 §5.1.1). */
function lineEndBefore(octets: Buffer, at: number): number {
  if (at === 0) return 0
  return at >= 2 && octets[at - 2] === CR ? at - 2 : at - 1
}

/** A message that stands there in its own octets. */
function holdsMessage(part: Part, type: string): boolean {
  if (type !== 'message' || part.encoding === 'BASE64' || part.encoding === 'QUOTED-PRINTABLE') return false
  const subtype = part.subtype.toLowerCase()
  return subtype === 'rfc822' || subtype === 'global'
}
