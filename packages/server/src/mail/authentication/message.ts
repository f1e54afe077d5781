// RFC 6376 §3.4 and §3.7: a message as signatures see it: fields in canonical form, and the hash of its body.

import { setImmediate as turn } from 'node:timers/promises'
import { Headers } from '@aviso/mime'
import { type BodyHash, bodyHasher, type Canonicalization } from './dkim/body.ts'

/** Octets between two turns of the event loop: some milliseconds at most. */
const SLICE = 512 * 1024

/** The body whole, or a way to read it from its start, as often as asked. */
export type BodySource = Uint8Array | (() => AsyncIterable<Uint8Array>)

/** One field of a header. */
export class Field {
  /** Lower case. */
  readonly name: string
  /** As it stands in the message, without its last line end, one character per octet. */
  readonly raw: string
  #relaxed: string | undefined

  constructor(name: string, raw: string) {
    this.name = name.toLowerCase()
    this.raw = raw.endsWith('\r\n') ? raw.slice(0, -2) : raw.endsWith('\n') ? raw.slice(0, -1) : raw
  }

  /** A field as text, `Name: value`. */
  static of(text: string): Field {
    return new Field(text.slice(0, text.indexOf(':')).trimEnd(), Buffer.from(text, 'utf8').toString('latin1'))
  }

  /** In canonical form, without a line end. */
  canonical(canonicalization: Canonicalization): string {
    if (canonicalization === 'simple') return this.raw
    this.#relaxed ??= relaxedField(this.raw)
    return this.#relaxed
  }

  /** The value as UTF-8 text, folded as it came. */
  get value(): string {
    const text = this.raw.slice(this.raw.indexOf(':') + 1)
    return /[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text
  }
}

/** RFC 6376 §3.4.2, on one character per octet. */
export function relaxedField(raw: string): string {
  const colon = raw.indexOf(':')
  const name = raw
    .slice(0, colon)
    .replace(/[ \t]+$/, '')
    .toLowerCase()
  let from = colon + 1
  let to = raw.length
  while (from < to && isBlank(raw.charCodeAt(from))) from++
  while (to > from && isBlank(raw.charCodeAt(to - 1))) to--
  return `${name}:${raw.slice(from, to).replace(/[ \t\r\n]+/g, ' ')}`
}

const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 13 || code === 10

/** A message to be verified or signed. Cheap to make; canonical forms and hashes are made when they are first asked for, and kept. */
export class Message {
  /** In order, first on top. Lines that are no field are left out. */
  readonly fields: readonly Field[]
  readonly #body: BodySource
  readonly #hashes = new Map<Canonicalization, Promise<BodyHash>>()
  #named: ReadonlyMap<string, readonly Field[]> | undefined

  constructor(fields: readonly Field[], body: BodySource) {
    this.fields = fields
    this.#body = body
  }

  /** A message in one piece; line ends are CRLF. `header`: what was parsed of the same octets. */
  static of(bytes: Uint8Array, header: Headers = Headers.parse(bytes)): Message {
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const fields: Field[] = []
    let end = 0
    for (const field of header.fields()) {
      end = field.end
      if (field.name !== '') fields.push(new Field(field.name, buffer.toString('latin1', field.start, field.end)))
    }
    return new Message(fields, buffer.subarray(bodyStart(buffer, end)))
  }

  /** A header section and the body apart from it. */
  static parts(head: Uint8Array, header: Headers, body: BodySource): Message {
    return new Message(Message.of(head, header).fields, body)
  }

  /** The fields of that name (lower case), first on top. */
  named(name: string): readonly Field[] {
    this.#named ??= Map.groupBy(this.fields, (field) => field.name)
    return this.#named.get(name) ?? []
  }

  /** The body's hash in each of these forms, all in one pass over it. */
  async bodyHashes(canonicalizations: Iterable<Canonicalization>): Promise<ReadonlyMap<Canonicalization, BodyHash>> {
    const wanted = new Set(canonicalizations)
    const missing = [...wanted].filter((canonicalization) => !this.#hashes.has(canonicalization))
    if (missing.length > 0) {
      const pass = this.#hash(missing)
      for (const canonicalization of missing) {
        const hash = pass.then((hashes) => hashes.get(canonicalization) as BodyHash)
        // Whoever asked hears of a failure below.
        hash.catch(() => {})
        this.#hashes.set(canonicalization, hash)
      }
    }
    const found = new Map<Canonicalization, BodyHash>()
    for (const canonicalization of wanted)
      found.set(canonicalization, await (this.#hashes.get(canonicalization) as Promise<BodyHash>))
    return found
  }

  async #hash(canonicalizations: readonly Canonicalization[]): Promise<ReadonlyMap<Canonicalization, BodyHash>> {
    const hashers = canonicalizations.map(
      (canonicalization) => [canonicalization, bodyHasher(canonicalization)] as const,
    )
    let since = 0
    const take = (slice: Uint8Array): void => {
      for (const [, hasher] of hashers) hasher.update(slice)
      since += slice.length
    }
    const chunks = this.#body instanceof Uint8Array ? [this.#body] : this.#body()
    for await (const chunk of chunks)
      for (let from = 0; from < chunk.length; from += SLICE) {
        if (since >= SLICE) {
          since = 0
          await turn()
        }
        take(chunk.subarray(from, from + SLICE))
      }
    return new Map(hashers.map(([canonicalization, hasher]) => [canonicalization, hasher.finish()]))
  }
}

function bodyStart(buffer: Buffer, end: number): number {
  if (buffer[end] === 0x0d && buffer[end + 1] === 0x0a) return end + 2
  return buffer[end] === 0x0a ? end + 1 : end
}

/**
 * What a signature over `names` covers (RFC 6376 §5.4.2): for each name the lowest field of that name not yet taken; a name without one is nothing.
 * `skip` is a field that cannot be covered by itself.
 */
export function selectFields(message: Message, names: readonly string[], skip?: Field): readonly Field[] {
  const taken = new Map<string, number>()
  const selected: Field[] = []
  for (const name of names) {
    const fields = message.named(name)
    let at = taken.get(name) ?? fields.length
    at--
    if (skip !== undefined && at >= 0 && fields[at] === skip) at--
    taken.set(name, Math.max(at, 0))
    const field = at < 0 ? undefined : fields[at]
    if (field !== undefined) selected.push(field)
  }
  return selected
}

/** The octets that a signature signs: the fields, and the signature's own without the value of `b=` and without a line end (RFC 6376 §3.7). */
export function signedOctets(fields: readonly Field[], signature: Field, canonicalization: Canonicalization): Buffer {
  let text = ''
  for (const field of fields) text += `${field.canonical(canonicalization)}\r\n`
  const bare = withoutSignature(signature.raw)
  text += canonicalization === 'simple' ? bare : relaxedField(bare)
  return Buffer.from(text, 'latin1')
}

/** The field with the value of its `b=` tag, and the white space around it, taken out. */
function withoutSignature(raw: string): string {
  const colon = raw.indexOf(':') + 1
  return raw.slice(0, colon) + raw.slice(colon).replace(/(^|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*/, '$1$2')
}
