// Large messages that come in pieces, as one request to the server must not fill its memory: held until they are whole.

/** Messages that may be on their way at the same time. */
const MAX_STAGED = 4

export class Staging {
  /** The memory of each, and how much of it has come. */
  readonly #staged = new Map<string, { readonly bytes: Buffer; filled: number }>()

  /**
   * Adds a piece of a message of `octets` octets. The oldest messages go when too many are on their way: their senders have gone. False when the message has more than was said; it is
   * forgotten then.
   */
  add(token: string, piece: Uint8Array, octets: number): boolean {
    let staged = this.#staged.get(token)
    if (staged === undefined) {
      // All of it at once: pieces put together at the end would take twice the memory.
      staged = { bytes: Buffer.allocUnsafeSlow(octets), filled: 0 }
      this.#staged.set(token, staged)
      const [oldest] = this.#staged.keys()
      if (this.#staged.size > MAX_STAGED && oldest !== undefined) this.#staged.delete(oldest)
    }
    if (staged.filled + piece.byteLength > staged.bytes.byteLength) {
      this.#staged.delete(token)
      return false
    }
    staged.bytes.set(piece, staged.filled)
    staged.filled += piece.byteLength
    return true
  }

  /** The message, which is not held any more; undefined when it is not (or no longer) here, or not all of it. */
  take(token: string): Uint8Array | undefined {
    const staged = this.#staged.get(token)
    this.#staged.delete(token)
    return staged?.filled === staged?.bytes.byteLength ? staged?.bytes : undefined
  }
}
