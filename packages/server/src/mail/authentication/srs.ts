// The Sender Rewriting Scheme: a reverse-path of our own for mail that is forwarded, from which a notification finds its way back.
// There is no RFC; the form is that of http://www.libsrs2.org/srs/srs.pdf, with a longer keyed hash.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { MailAddress } from '@aviso/mime'
import { asDomain } from './domain.ts'

export interface SrsOptions {
  /** The domain whose mail comes back here. */
  readonly domain: string
  /** The first one makes; all of them are believed, so that a secret can be changed. At least 16 octets. */
  readonly secrets: readonly Uint8Array[]
  /** Days that an address is good for; default 21. */
  readonly days?: number
}

/** `expired` and `forged` are to be refused; `foreign` is no address of this scheme. */
export type SrsReversed =
  { readonly kind: 'address'; readonly address: MailAddress } | { readonly kind: 'expired' | 'forged' | 'foreign' }

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
/** Characters of the hash: 40 bits, as nobody can try many of them. Upper or lower case, as addresses on their way may lose it. */
const HASH = 8
/** Two base32 digits of days: it goes round after some three years. */
const ROUND = 1024
const DAY = 86_400_000

/** Makes and reads the addresses of one domain. */
export class Srs {
  readonly #domain: string
  readonly #secrets: readonly Uint8Array[]
  readonly #days: number

  /** Throws RangeError for a domain that is none, or a secret that is too short. */
  constructor({ domain, secrets, days = 21 }: SrsOptions) {
    const normal = asDomain(domain)
    if (normal === undefined) throw new RangeError(`no domain: ${domain}`)
    if (secrets.length === 0 || secrets.some((secret) => secret.length < 16))
      throw new RangeError('an SRS secret needs at least 16 octets')
    if (!(days >= 1 && days < ROUND)) throw new RangeError(`days must be between 1 and ${ROUND - 1}`)
    this.#domain = normal
    this.#secrets = secrets
    this.#days = days
  }

  /**
   * The reverse-path to forward with; `sender` itself when it is in our domain already. Undefined when none can be made, as it would be longer than an
   * address may be (RFC 5321 §4.5.3.1.1). `now` in milliseconds.
   */
  forward(sender: MailAddress, now: number): MailAddress | undefined {
    if (sender.domain === this.#domain) return sender
    const again = /^SRS([01])([=+-])(.*)$/is.exec(sender.local)
    if (again !== null) {
      const [, number, separator = '=', rest = ''] = again
      if (number === '0') return this.#guarded(sender.domain, `${separator}${rest}`)
      // SRS1 of another forwarder: its first hop is kept, our hash goes in the place of its own.
      const [, hop, opaque] = /^[^=]+=([^=]+)=([=+-].*)$/s.exec(rest) ?? []
      if (hop !== undefined && opaque !== undefined) return this.#guarded(hop, opaque)
    }
    const stamp = stampOf(now)
    const body = `${stamp}=${sender.domain}=${sender.local}`
    return MailAddress.of(`SRS0=${this.#hash(body)}=${body}`, this.#domain)
  }

  /** SRS1: the address of the first forwarder, which knows the way back, in ours. */
  #guarded(hop: string, opaque: string): MailAddress | undefined {
    const body = `${hop}=${opaque}`
    return MailAddress.of(`SRS1=${this.#hash(body)}=${body}`, this.#domain)
  }

  /** Where mail to `recipient`, an address of our domain, goes. */
  reverse(recipient: MailAddress, now: number): SrsReversed {
    if (recipient.domain !== this.#domain) return { kind: 'foreign' }
    const [, number, rest = ''] = /^SRS([01])[=+-](.*)$/is.exec(recipient.local) ?? []
    if (number === undefined) return { kind: 'foreign' }
    const [, hash = '', body = ''] = /^([^=]+)=(.*)$/s.exec(rest) ?? []
    if (!this.#believed(hash, body)) return { kind: 'forged' }
    if (number === '1') {
      const [, hop = '', opaque = ''] = /^([^=]+)=([=+-].*)$/s.exec(body) ?? []
      return addressed(`SRS0${opaque}`, hop)
    }
    const [, stamp = '', domain = '', local = ''] = /^([^=]+)=([^=]+)=(.*)$/s.exec(body) ?? []
    if (!this.#fresh(stamp, now)) return { kind: 'expired' }
    return addressed(local, domain)
  }

  #fresh(stamp: string, now: number): boolean {
    const [high, low] = [...stamp.toUpperCase()].map((digit) => BASE32.indexOf(digit))
    if (stamp.length !== 2 || high === undefined || low === undefined || high < 0 || low < 0) return false
    const age = (Math.floor(now / DAY) - (high * 32 + low) + 2 * ROUND) % ROUND
    // A day ahead: another machine's clock.
    return age <= this.#days || age === ROUND - 1
  }

  #believed(hash: string, body: string): boolean {
    const given = Buffer.from(hash.toUpperCase())
    return this.#secrets.some((secret) => {
      const right = Buffer.from(hashOf(secret, body))
      return right.length === given.length && timingSafeEqual(right, given)
    })
  }

  #hash(body: string): string {
    return hashOf(this.#secrets[0] as Uint8Array, body)
  }
}

function addressed(local: string, domain: string): SrsReversed {
  const address = MailAddress.of(local, domain)
  return address === undefined ? { kind: 'forged' } : { kind: 'address', address }
}

function stampOf(now: number): string {
  const day = Math.floor(now / DAY) % ROUND
  return `${BASE32[day >> 5] ?? ''}${BASE32[day & 31] ?? ''}`
}

function hashOf(secret: Uint8Array, body: string): string {
  const digest = createHmac('sha256', secret).update(body.toLowerCase()).digest()
  let text = ''
  for (let i = 0; i < HASH; i++) text += BASE32[(digest[i] ?? 0) & 31] ?? ''
  return text
}
