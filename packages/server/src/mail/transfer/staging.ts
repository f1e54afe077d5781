// Large messages that come in pieces, as one request to the server must not fill its memory: held until they are whole.

/** Messages that may be on their way at the same time. */
const MAX_STAGED = 4

export class Staging {
  readonly #staged = new Map<string, { readonly pieces: Uint8Array[]; octets: number }>()

  /**
   * Adds a piece of a message that may have `limit` octets. The oldest messages go when too many are on their way: their senders have gone. False when the message is too large; it is
   * forgotten then.
   */
  add(token: string, piece: Uint8Array, limit: number): boolean {
    let staged = this.#staged.get(token)
    if (staged === undefined) {
      staged = { pieces: [], octets: 0 }
      this.#staged.set(token, staged)
      const [oldest] = this.#staged.keys()
      if (this.#staged.size > MAX_STAGED && oldest !== undefined) this.#staged.delete(oldest)
    }
    staged.octets += piece.byteLength
    staged.pieces.push(piece)
    if (staged.octets <= limit) return true
    this.#staged.delete(token)
    return false
  }

  /** The message, which is not held any more; undefined when it is not (or no longer) here. */
  take(token: string): Uint8Array | undefined {
    const staged = this.#staged.get(token)
    this.#staged.delete(token)
    return staged === undefined ? undefined : Buffer.concat(staged.pieces)
  }
}
