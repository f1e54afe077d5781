// RFC 8446 §4.1.2, RFC 7301: which protocols a client names before the handshake. Nothing else is read of it.

/** The protocols that a ClientHello names (none without ALPN); `more` where it has not come whole, `bad` where it is none. */
export type ClientHello = 'more' | 'bad' | { readonly alpn: readonly string[] }

/** The content type of a handshake record: what TLS begins with. */
export const TLS_HANDSHAKE = 0x16

const CLIENT_HELLO = 1
const ALPN = 16
/** Octets of a ClientHello that are looked at; browsers send some 2000, with post-quantum keys. */
const LONGEST = 16_384
const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4

/** Reads the first octets of a connection. */
export function readClientHello(octets: Buffer): ClientHello {
  const message = messageOf(octets)
  if (message === 'more' || message === 'bad') return message
  const reader = new Reader(message)
  try {
    // Version, random, session id, cipher suites, compression methods.
    reader.skip(2 + 32)
    reader.skip(reader.number(1))
    reader.skip(reader.number(2))
    reader.skip(reader.number(1))
    if (reader.left === 0) return { alpn: [] }
    const extensions = reader.part(2)
    while (extensions.left > 0) {
      const type = extensions.number(2)
      const content = extensions.part(2)
      if (type === ALPN) return { alpn: namesOf(content.part(2)) }
    }
    return { alpn: [] }
  } catch (error) {
    if (error instanceof RangeError) return 'bad'
    throw error
  }
}

/** The message, put together from its records (RFC 8446 §5.1). */
function messageOf(octets: Buffer): 'more' | 'bad' | Buffer {
  const pieces: Buffer[] = []
  let size = 0
  let wanted = HANDSHAKE_HEADER
  for (let at = 0; size < wanted;) {
    if (at + RECORD_HEADER > octets.length) return octets[at] === undefined || isRecord(octets, at) ? 'more' : 'bad'
    if (!isRecord(octets, at)) return 'bad'
    const length = octets.readUInt16BE(at + 3)
    if (length === 0 || length > LONGEST) return 'bad'
    const piece = octets.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length)
    pieces.push(piece)
    size += piece.length
    const message = pieces.length === 1 ? piece : Buffer.concat(pieces)
    if (size >= HANDSHAKE_HEADER) {
      if (message[0] !== CLIENT_HELLO) return 'bad'
      wanted = HANDSHAKE_HEADER + message.readUIntBE(1, 3)
      if (wanted > LONGEST) return 'bad'
    }
    if (piece.length < length && size < wanted) return 'more'
    if (size >= wanted) return message.subarray(HANDSHAKE_HEADER, wanted)
    at += RECORD_HEADER + length
  }
  return 'bad'
}

const isRecord = (octets: Buffer, at: number): boolean =>
  octets[at] === TLS_HANDSHAKE && (octets[at + 1] === undefined || octets[at + 1] === 3)

function namesOf(list: Reader): string[] {
  const names: string[] = []
  while (list.left > 0) names.push(list.take(list.number(1)).toString('latin1'))
  return names
}

/** Throws a RangeError where something is longer than what holds it. */
class Reader {
  readonly #octets: Buffer
  #at = 0

  constructor(octets: Buffer) {
    this.#octets = octets
  }

  get left(): number {
    return this.#octets.length - this.#at
  }

  number(octets: 1 | 2): number {
    return this.take(octets).readUIntBE(0, octets)
  }

  skip(length: number): void {
    this.take(length)
  }

  take(length: number): Buffer {
    if (length > this.left) throw new RangeError('cut off')
    this.#at += length
    return this.#octets.subarray(this.#at - length, this.#at)
  }

  /** What a length of so many octets stands before. */
  part(octets: 1 | 2): Reader {
    return new Reader(this.take(this.number(octets)))
  }
}
