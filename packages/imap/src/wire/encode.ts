// RFC 9051 §9: strings as octets on the wire.

/** True when the octets can stand between quotes: no NUL, CR, LF, 8-bit. */
function quotable(octets: Uint8Array): boolean {
  if (octets.length > 1024) return false
  for (let i = 0; i < octets.length; i++) {
    const byte = octets[i] ?? 0
    if (byte === 0 || byte === 0x0d || byte === 0x0a || byte >= 0x80) return false
  }
  return true
}

/** `string`: quoted where the octets allow it, else a literal. */
export function encodeString(octets: Uint8Array): Uint8Array {
  if (!quotable(octets)) return encodeLiteral(octets)
  let extra = 0
  for (let i = 0; i < octets.length; i++) if (octets[i] === 0x22 || octets[i] === 0x5c) extra++
  const out = new Uint8Array(octets.length + extra + 2)
  out[0] = 0x22
  let to = 1
  for (let i = 0; i < octets.length; i++) {
    const byte = octets[i] ?? 0
    if (byte === 0x22 || byte === 0x5c) out[to++] = 0x5c
    out[to++] = byte
  }
  out[to] = 0x22
  return out
}

export function encodeLiteral(octets: Uint8Array): Uint8Array {
  const head = Buffer.from(`{${octets.length}}\r\n`, 'latin1')
  const out = new Uint8Array(head.length + octets.length)
  out.set(head)
  out.set(octets, head.length)
  return out
}

/** `nstring` of text held as one character per octet (how @aviso/mime hands header text), undefined is NIL. */
export function encodeNil(octets: Uint8Array | undefined): Uint8Array {
  return octets === undefined ? NIL : encodeString(octets)
}

const NIL: Uint8Array = Buffer.from('NIL', 'latin1')

/** An ASCII text in quotes. */
export const quote = (text: string): string =>
  text.includes('"') || text.includes('\\') ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`

/** What can stand between quotes: as `quotable` has it. */
const QUOTABLE = /^[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1024}$/

/** `string` of a text: one in quotes as text, a literal, which has what is beyond ASCII as UTF-8, as octets. */
export const stringOf = (text: string): Uint8Array | string =>
  QUOTABLE.test(text) ? quote(text) : encodeString(Buffer.from(text))

/** `astring` of ASCII text: bare when it is a plain word, else in quotes. `NIL` is always in quotes. */
export function astring(text: string): string {
  return /^[A-Za-z0-9!#$&'+,\-./:;<=>?@^_`|~[]+$/.test(text) && text.toUpperCase() !== 'NIL' ? text : quote(text)
}

/** `astring` of any text, as one string for `ResponseStream.text`: a literal where quotes cannot hold it. */
export function astringOf(text: string): string {
  if (/^[\x20-\x7e]{0,1024}$/.test(text)) return astring(text)
  return Buffer.from(encodeLiteral(Buffer.from(text.toWellFormed()))).toString('latin1')
}

/** Human text behind a response code: one line of ASCII. */
export function humanText(text: string): string {
  let out = ''
  for (const char of text.length > 500 ? text.slice(0, 500) : text) out += char >= ' ' && char <= '~' ? char : '?'
  return out === '' ? 'Done' : out
}

/** Octets on their way to the wire or into the store, gathered as text as long as they are latin1: one copy then makes octets of all of it. */
export class Gathering {
  readonly #pieces: Uint8Array[] = []
  #text = ''

  /** Strings are latin1. */
  add(piece: Uint8Array | string): this {
    if (typeof piece === 'string') {
      this.#text += piece
      return this
    }
    this.#flush()
    this.#pieces.push(piece)
    return this
  }

  /** All that the other one has. */
  addAll(other: Gathering): this {
    if (other.#pieces.length > 0) {
      this.#flush()
      for (const piece of other.#pieces) this.#pieces.push(piece)
    }
    this.#text += other.#text
    return this
  }

  octets(): Uint8Array {
    if (this.#pieces.length === 0) return Buffer.from(this.#text, 'latin1')
    this.#flush()
    return Buffer.concat(this.#pieces)
  }

  #flush(): void {
    if (this.#text !== '') this.#pieces.push(Buffer.from(this.#text, 'latin1'))
    this.#text = ''
  }
}
