// RFC 7517: the keys that sign tokens, from a file or an address

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import type { Clock } from '../../kernel/clock.ts'
import { fetchText } from '../../net/fetch-text.ts'

const MOST_OCTETS = 262_144
const MOST_KEYS = 100
/** A token that names an unknown key makes them be fetched anew, so often at most. */
const UNKNOWN_KEY_MS = 60_000

const keySet = v.object({
  keys: v.pipe(
    v.array(
      v.looseObject({
        kty: v.string(),
        kid: v.optional(v.string()),
        use: v.optional(v.string()),
        alg: v.optional(v.string()),
      }),
    ),
    v.maxLength(MOST_KEYS),
  ),
})

export interface SigningKey {
  readonly id: string | undefined
  readonly algorithm: string | undefined
  readonly key: KeyObject
}

export interface KeySource {
  /** An address, or the path of a file. */
  readonly from: string
  /** How old they may become. Milliseconds. */
  readonly life: number
  readonly timeout: number
  readonly clock: Clock
}

export class SigningKeys {
  readonly #source: KeySource
  #keys: readonly SigningKey[] = []
  #fetched = -Infinity
  #fetching: Promise<void> | undefined

  constructor(source: KeySource) {
    this.#source = source
  }

  /** The keys of that id; all where none is named. Rejects where they cannot be had now: what is known becomes too old, or is not enough. */
  async find(id: string | undefined): Promise<readonly SigningKey[]> {
    const { clock, life } = this.#source
    const age = clock.now() - this.#fetched
    if (age >= life) await this.#fetch()
    else if (id !== undefined && age >= UNKNOWN_KEY_MS && !this.#keys.some((key) => key.id === id)) await this.#fetch()
    return id === undefined ? this.#keys : this.#keys.filter((key) => key.id === id)
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#read().finally(() => (this.#fetching = undefined))
    return this.#fetching
  }

  async #read(): Promise<void> {
    const { from, timeout, clock } = this.#source
    const text = /^https?:/.test(from)
      ? await fetchText(from, { headers: { accept: 'application/json' } }, { clock, timeout, most: MOST_OCTETS })
      : await readFile(from, 'utf8')
    const { keys } = v.parse(keySet, JSON.parse(text))
    this.#keys = keys.flatMap((jwk) => {
      const key = jwk.use === 'enc' ? undefined : readKey(jwk)
      return key === undefined ? [] : [{ id: jwk.kid, algorithm: jwk.alg, key }]
    })
    this.#fetched = clock.now()
  }
}

/** Undefined for keys of a kind that we do not know. Symmetric ones are none: whoever could check a token could make one. */
function readKey(jwk: JsonWebKey & { readonly kty: string }): KeyObject | undefined {
  if (!['RSA', 'EC', 'OKP'].includes(jwk.kty)) return undefined
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    return undefined
  }
}
