// RFC 5321 §2.3.8, §4.1.1.4 and §4.5.2, reading: line ends, the end of DATA, transparency of leading dots, in one pass over octets as they arrive.

const NUL = 0x00
const LF = 0x0a
const CR = 0x0d
const DOT = 0x2e
const CRLF = Buffer.from('\r\n', 'latin1')
const ONLY_CR = CRLF.subarray(0, 1)
const ONLY_LF = CRLF.subarray(1)

/** What is wrong with the text of a message: CR or LF alone, a line that is too long, a NUL. */
export type TextFault = 'bare' | 'long' | 'nul'

export interface TextRules {
  /** DATA: dots that begin a line come off, and CRLF.CRLF is the end. In BDAT dots are dots. */
  readonly dots: boolean
  /** What becomes of CR and LF that stand alone. */
  readonly bareLineEndings: 'reject' | 'normalise'
  /** Octets of a line without its CRLF. */
  readonly maxLine: number
}

// Where in a line the next octet stands. After a dot nothing of the line has been handed on: the dot goes whatever follows.
const IN_LINE = 0
const AFTER_CR = 1
const LINE_START = 2
const AFTER_DOT = 3
const AFTER_DOT_CR = 4
type Place = typeof IN_LINE | typeof AFTER_CR | typeof LINE_START | typeof AFTER_DOT | typeof AFTER_DOT_CR

/** Reads the text of one message. It begins behind the CRLF of its command: a message may be empty. */
export class TextReader {
  readonly #rules: TextRules
  readonly #lineStart: Place
  #place: Place
  /** Octets of the current line in the pieces before. */
  #before = 0
  #fault: TextFault | undefined

  constructor(rules: TextRules) {
    this.#rules = rules
    this.#lineStart = rules.dots ? LINE_START : IN_LINE
    this.#place = this.#lineStart
  }

  /** The first thing that was wrong. What is handed on afterwards is of no use. */
  get fault(): TextFault | undefined {
    return this.#fault
  }

  /** Takes the next octets and hands on the message's own, as views of `piece`. Returns the place just behind the end of DATA, -1 while there is none. */
  push(piece: Buffer, hand: (octets: Buffer) => void): number {
    const { maxLine, bareLineEndings } = this.#rules
    const mend = bareLineEndings === 'normalise'
    const length = piece.length
    let place = this.#place
    /** Where the current line began: below zero when that was in a piece before. */
    let line = -this.#before
    /** Octets up to here were handed on. */
    let from = 0
    let at = 0
    while (at < length) {
      if (place === IN_LINE) {
        while (at < length && (piece[at] ?? 0) > CR) at++
        if (at === length) break
        const octet = piece[at] ?? 0
        if (octet === CR) {
          if (at - line > maxLine) this.#fault ??= 'long'
          place = AFTER_CR
        } else if (octet === LF) {
          if (at - line > maxLine) this.#fault ??= 'long'
          if (mend) {
            hand(piece.subarray(from, at))
            hand(CRLF)
            from = at + 1
          } else {
            this.#fault ??= 'bare'
          }
          line = at + 1
        } else if (octet === NUL) {
          // RFC 5321 §4.5.2 and RFC 5322 §4.1 know no NUL, and IMAP cannot carry one in a literal (RFC 9051 §4.3).
          this.#fault ??= at - line > maxLine ? 'long' : 'nul'
        }
        at++
      } else if (place === AFTER_CR) {
        if (piece[at] === LF) {
          line = ++at
          place = this.#lineStart
          continue
        }
        if (mend) {
          hand(piece.subarray(from, at))
          hand(ONLY_LF)
          from = at
        } else {
          this.#fault ??= 'bare'
        }
        line = at
        place = IN_LINE
      } else if (place === LINE_START) {
        place = IN_LINE
        if (piece[at] !== DOT) continue
        hand(piece.subarray(from, at))
        from = line = ++at
        place = AFTER_DOT
      } else if (place === AFTER_DOT) {
        if (piece[at] !== CR) {
          place = IN_LINE
          continue
        }
        at++
        place = AFTER_DOT_CR
      } else {
        if (piece[at] === LF) {
          this.#place = this.#lineStart
          return at + 1
        }
        // The CR was one alone. It is part of what follows, unless it came with the piece before.
        if (at === 0) hand(ONLY_CR)
        place = AFTER_CR
      }
    }
    const held = place === AFTER_DOT_CR ? length - 1 : length
    if (held > from) hand(from === 0 && held === length ? piece : piece.subarray(from, held))
    // A CR at the end may yet be half of the line's end.
    if (place === IN_LINE && length - line > maxLine) this.#fault ??= 'long'
    this.#place = place
    this.#before = place === LINE_START ? 0 : length - line
    return -1
  }

  /** Nothing more comes: the last chunk of BDAT has been read. */
  end(hand: (octets: Buffer) => void): void {
    if (this.#place !== AFTER_CR) return
    if (this.#rules.bareLineEndings === 'normalise') hand(ONLY_LF)
    else this.#fault ??= 'bare'
    this.#place = IN_LINE
  }
}
