// RFC 6376 §3.4.3 and §3.4.4: the canonical form of a body, hashed as it streams by.

import { createHash, type Hash } from 'node:crypto'

export type Canonicalization = 'simple' | 'relaxed'

/** SHA-256 of the canonical body, and how many octets that is. */
export interface BodyHash {
  readonly digest: Buffer
  readonly length: number
}

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32

const BLOCK = 64 * 1024
/** What a run of empty lines is written from. */
const LINES = Buffer.from('\r\n'.repeat(4096), 'latin1')

/** Hashes one body in one canonical form. Chunks may be cut anywhere; the work is linear in their octets. */
export interface BodyHasher {
  update(chunk: Uint8Array): void
  finish(): BodyHash
}

export const bodyHasher = (canonicalization: Canonicalization): BodyHasher =>
  canonicalization === 'simple' ? new SimpleBody() : new RelaxedBody()

/** What both forms share: line ends that are held back, as those at the end of the body count as one (or none). */
class Sink {
  readonly #hash: Hash = createHash('sha256')
  length = 0
  /** Line ends not yet written. */
  lines = 0

  /** Writes the lines that were held, as something follows them. */
  release(): void {
    while (this.lines > 0) {
      const count = Math.min(this.lines, LINES.length / 2)
      this.write(LINES.subarray(0, count * 2))
      this.lines -= count
    }
  }

  write(octets: Uint8Array): void {
    this.length += octets.length
    this.#hash.update(octets)
  }

  finish(): BodyHash {
    return { digest: this.#hash.digest(), length: this.length }
  }
}

class SimpleBody implements BodyHasher {
  readonly #sink = new Sink()
  /** The chunk before ended in a CR that may be half of a line end. */
  #cr = false

  update(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    let from = 0
    if (this.#cr) {
      this.#cr = false
      if (chunk[0] === LF) {
        this.#sink.lines++
        from = 1
      } else this.#content(Uint8Array.of(CR))
    }
    let end = chunk.length
    let cr = false
    if (end > from && chunk[end - 1] === CR) {
      cr = true
      end--
    }
    const whole = end
    while (end - from >= 2 && chunk[end - 1] === LF && chunk[end - 2] === CR) end -= 2
    if (end > from) this.#content(chunk.subarray(from, end))
    this.#sink.lines += (whole - end) / 2
    this.#cr = cr
  }

  finish(): BodyHash {
    if (this.#cr) this.#content(Uint8Array.of(CR))
    // An empty body, and one without a last line end, get one.
    this.#sink.lines = 1
    this.#sink.release()
    return this.#sink.finish()
  }

  #content(octets: Uint8Array): void {
    this.#sink.release()
    this.#sink.write(octets)
  }
}

class RelaxedBody implements BodyHasher {
  readonly #sink = new Sink()
  #block: Buffer | undefined
  #blank = false
  #cr = false
  #any = false

  update(chunk: Uint8Array): void {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let from = 0; from < buffer.length; from += BLOCK) this.#update(buffer.subarray(from, from + BLOCK))
  }

  #update(chunk: Buffer): void {
    if (!this.#blank && !this.#cr && chunk.length > 64) {
      const plain = plainEnd(chunk)
      if (plain > 0) {
        this.#any = true
        this.#sink.release()
        this.#sink.write(chunk.subarray(0, plain))
        if (plain < chunk.length) this.#each(chunk.subarray(plain))
        return
      }
    }
    this.#each(chunk)
  }

  /** Octet by octet, state in locals. What is written is never longer than what was read plus what was held of the chunk before: a space and a CR. */
  #each(chunk: Buffer): void {
    const out = (this.#block ??= Buffer.allocUnsafe(BLOCK + 8))
    const sink = this.#sink
    const end = chunk.length
    let cr = this.#cr
    let blank = this.#blank
    let lines = sink.lines
    let at = 0
    let i = 0
    while (i < end) {
      let octet = chunk[i] as number
      if (cr) {
        if (octet === LF) {
          cr = false
          blank = false
          lines++
          i++
          continue
        }
      } else if (octet === SPACE || octet === TAB) {
        blank = true
        i++
        continue
      } else if (octet === CR) {
        cr = true
        i++
        continue
      }
      // Content of a line, which the lines and blanks that were held come before.
      if (lines > 0 && at === 0) {
        // They may be of chunks before, and more than fit here.
        sink.lines = lines
        sink.release()
        lines = 0
      }
      for (; lines > 0; lines--) {
        out[at++] = CR
        out[at++] = LF
      }
      if (blank) {
        blank = false
        out[at++] = SPACE
      }
      if (cr) {
        // A CR that ends no line is content, and what follows it is looked at anew.
        cr = false
        out[at++] = CR
        continue
      }
      do {
        out[at++] = octet
        octet = chunk[++i] as number
      } while (octet > SPACE)
    }
    sink.lines = lines
    this.#cr = cr
    this.#blank = blank
    if (at > 0) {
      this.#any = true
      sink.write(out.subarray(0, at))
    }
  }

  finish(): BodyHash {
    if (this.#cr) {
      this.#sink.release()
      this.#sink.write(this.#blank ? Buffer.from(' \r') : Buffer.from('\r'))
      this.#any = true
    }
    // Blanks at the end of a line, the last one too, are nothing; nor are empty lines at the end.
    this.#sink.lines = this.#any ? 1 : 0
    this.#sink.release()
    return this.#sink.finish()
  }
}

/**
 * How far from its start the chunk is canonical already, as an encoded attachment is throughout: no TAB, no two spaces, no space before a CR, no CR at the end,
 * no empty last line. 0 when it is not worth it.
 */
function plainEnd(chunk: Buffer): number {
  if (chunk[0] === SPACE || chunk[0] === CR || chunk[0] === LF) return 0
  let end = chunk.length
  for (const odd of ODD) {
    const found = chunk.subarray(0, end).indexOf(odd)
    if (found >= 0) end = found
    if (end < 1024) return 0
  }
  while (end > 0 && (chunk[end - 1] === CR || chunk[end - 1] === LF || chunk[end - 1] === SPACE)) end--
  return end
}

const ODD = ['\t', '  ', ' \r'].map((text) => Buffer.from(text, 'latin1'))
