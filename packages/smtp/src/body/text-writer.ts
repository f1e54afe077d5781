// RFC 5321 §2.3.8 and §4.5.2, writing: every line ends with CRLF and leading dots are doubled, in one pass over octets as they are read.

const LF = 0x0a
const CR = 0x0d
const DOT = 0x2e
const CRLF = Buffer.from('\r\n', 'latin1')
const ONLY_LF = CRLF.subarray(1)
const ONLY_DOT = Buffer.from('.', 'latin1')
const END = Buffer.from('.\r\n', 'latin1')

/** Writes the text of one message. */
export class TextWriter {
  readonly #dots: boolean
  #lineStart = true
  #afterCr = false

  /** `dots`: for DATA, where leading dots are doubled and a lone dot is the end. */
  constructor(dots: boolean) {
    this.#dots = dots
  }

  /** Takes the next octets of any text and hands on those for the wire, where it can as views of `piece`. CR and LF alone become CRLF; all else is kept. */
  push(piece: Buffer, hand: (octets: Buffer) => void): void {
    const length = piece.length
    let from = 0
    let at = 0
    while (at < length) {
      if (this.#afterCr) {
        this.#afterCr = false
        this.#lineStart = true
        if (piece[at] === LF) {
          at++
          continue
        }
        if (at > from) hand(piece.subarray(from, at))
        hand(ONLY_LF)
        from = at
      }
      if (this.#lineStart) {
        this.#lineStart = false
        if (this.#dots && piece[at] === DOT) {
          if (at > from) hand(piece.subarray(from, at))
          hand(ONLY_DOT)
          from = at++
          continue
        }
      }
      while (at < length && (piece[at] ?? 0) > CR) at++
      if (at === length) break
      const octet = piece[at]
      if (octet === CR) this.#afterCr = true
      else if (octet === LF) {
        if (at > from) hand(piece.subarray(from, at))
        hand(CRLF)
        from = at + 1
        this.#lineStart = true
      }
      at++
    }
    if (length > from) hand(from === 0 ? piece : piece.subarray(from))
  }

  /** The message is over: ends its last line, and with dots the message. */
  end(hand: (octets: Buffer) => void): void {
    if (this.#afterCr) hand(ONLY_LF)
    else if (!this.#lineStart) hand(CRLF)
    if (this.#dots) hand(END)
  }
}
