// RFC 5321 §4.1.1.4: the end of DATA is CRLF "." CRLF and nothing else. Anything more forgiving lets a message smuggle another one in.

const TERMINATOR = Buffer.from('\r\n.\r\n', 'latin1')
const CR = 0x0d

/** Finds the end of DATA in octets that arrive in pieces. One scanner serves one message. */
export class TerminatorScanner {
  /** Octets of the terminator matched so far. It begins behind the CRLF of the DATA command: a message may be empty. */
  #matched = 2

  /** The place in `chunk` just behind the terminator, or -1 when the message goes on. */
  scan(chunk: Buffer): number {
    let at = 0
    while (this.#matched > 0 && at < chunk.length) {
      const octet = chunk[at++]
      if (octet === TERMINATOR[this.#matched]) this.#matched++
      else this.#matched = octet === CR ? 1 : 0
      if (this.#matched === TERMINATOR.length) return at
    }
    if (at === chunk.length) return -1
    const found = chunk.indexOf(TERMINATOR, at)
    if (found >= 0) return found + TERMINATOR.length
    this.#matched = beginningAtEnd(chunk, at)
    return -1
  }
}

/** How many of the last octets (from `start` on) are a beginning of the terminator. */
function beginningAtEnd(chunk: Buffer, start: number): number {
  for (let length = Math.min(TERMINATOR.length - 1, chunk.length - start); length > 0; length--) {
    if (TERMINATOR.compare(chunk, chunk.length - length, chunk.length, 0, length) === 0) return length
  }
  return 0
}
