// Lines as they drip in. Not node:readline: that also ends a line at U+2028, which JSON leaves as it is.

/** Puts pieces of text together and cuts them into lines. */
export class Lines {
  readonly #max: number
  #pieces: string[] = []
  #length = 0
  #overflown = false

  /** `max`: characters of the longest line. */
  constructor(max: number) {
    this.#max = max
  }

  /** A line was longer than allowed: nothing that comes after it is taken any more. */
  get overflown(): boolean {
    return this.#overflown
  }

  /** Takes a piece; gives the lines that it ends, without their LF. */
  push(piece: string): string[] {
    if (this.#overflown) return []
    const [first = '', ...rest] = piece.split('\n')
    this.#keep(first)
    const lines: string[] = []
    for (const next of rest) {
      if (this.#overflown) break
      lines.push(this.#pieces.join(''))
      this.#pieces = []
      this.#length = 0
      this.#keep(next)
    }
    return lines
  }

  #keep(text: string): void {
    this.#length += text.length
    if (this.#length > this.#max) {
      this.#overflown = true
      this.#pieces = []
    } else if (text !== '') this.#pieces.push(text)
  }
}
