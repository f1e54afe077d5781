// RFC 1928, as far as XEP-0065 §6.3.2 uses it: no authentication, CONNECT, and a "host name" that names a bytestream

const VERSION = 5
const NO_AUTHENTICATION = 0
const NONE_ACCEPTABLE = 0xff
const CONNECT = 1
const DOMAIN_NAME = 3

/** RFC 1928 §6. */
export const REPLY = {
  succeeded: 0,
  'general-failure': 1,
  'not-allowed': 2,
  'command-not-supported': 7,
  'address-type-not-supported': 8,
} as const

/** What comes next in a handshake: more octets, an answer after which it goes on, the bytestream that is asked for, or its end with a last answer. */
export type Step =
  | { readonly kind: 'more' }
  | { readonly kind: 'answer'; readonly octets: Buffer }
  | { readonly kind: 'request'; readonly name: string }
  | { readonly kind: 'end'; readonly octets: Buffer | undefined }

/** The longest handshake: a greeting with all methods, and a request with the longest name. */
const MAX_OCTETS = 2 + 255 + 7 + 255

/** A client's side of the handshake, read as it comes. Who sends more than it takes is at fault: nobody may speak before he is answered. */
export class Handshake {
  #octets: Buffer = Buffer.alloc(0)
  #greeted = false

  /** Takes octets; call `next` until it wants more. */
  feed(octets: Uint8Array): void {
    this.#octets = Buffer.concat([this.#octets, octets.subarray(0, MAX_OCTETS + 1 - this.#octets.length)])
  }

  next(): Step {
    if (this.#octets.length > MAX_OCTETS) return { kind: 'end', octets: undefined }
    if (this.#octets.length > 0 && this.#octets[0] !== VERSION) return { kind: 'end', octets: undefined }
    return this.#greeted ? this.#request() : this.#greeting()
  }

  #greeting(): Step {
    const count = this.#octets[1]
    if (count === undefined || this.#octets.length < 2 + count) return { kind: 'more' }
    const methods = this.#octets.subarray(2, 2 + count)
    this.#octets = this.#octets.subarray(2 + count)
    this.#greeted = true
    if (!methods.includes(NO_AUTHENTICATION)) return { kind: 'end', octets: Buffer.from([VERSION, NONE_ACCEPTABLE]) }
    return { kind: 'answer', octets: Buffer.from([VERSION, NO_AUTHENTICATION]) }
  }

  #request(): Step {
    const [, command, , kind, length] = this.#octets
    if (kind === undefined) return { kind: 'more' }
    if (command !== CONNECT) return { kind: 'end', octets: reply('command-not-supported') }
    if (kind !== DOMAIN_NAME) return { kind: 'end', octets: reply('address-type-not-supported') }
    if (length === undefined || this.#octets.length < 7 + length) return { kind: 'more' }
    const name = this.#octets.toString('latin1', 5, 5 + length)
    return { kind: 'request', name }
  }
}

/** The answer to a request: the address is the one that was asked for (XEP-0065 §6.3.2). */
export function reply(outcome: keyof typeof REPLY, name = ''): Buffer {
  const address = Buffer.from(name, 'latin1')
  return Buffer.concat([
    Buffer.from([VERSION, REPLY[outcome], 0, DOMAIN_NAME, address.length]),
    address,
    Buffer.from([0, 0]),
  ])
}
