// Access tokens of another server: whom they name

import { createHash } from 'node:crypto'
import { configPath } from '../../kernel/config/folder.ts'
import type { Scope } from '../../kernel/scope.ts'
import { HashingQueue } from '../hashing.ts'
import { RecentMap } from '../recent.ts'
import { type Found, judge } from './claims.ts'
import type { OauthConfig } from './config.ts'
import { introspected } from './introspection.ts'
import { verifiedClaims } from './jwt.ts'
import { SigningKeys } from './keys.ts'

const REMEMBERED = 10_000
const AT_ONCE = 16
const WAITING = 256

export class AccessTokens {
  readonly config: OauthConfig
  readonly #scope: Scope
  readonly #keys: SigningKeys | undefined
  /** By the hash of a good token. */
  readonly #known = new RecentMap<string, { readonly found: Found; readonly until: number }>(REMEMBERED)
  readonly #asking = new HashingQueue(AT_ONCE, WAITING)

  constructor(scope: Scope, config: OauthConfig) {
    this.config = config
    this.#scope = scope
    const { jwt, timeout } = config
    if (jwt === undefined) return
    const from = /^https?:/.test(jwt.keys) ? jwt.keys : configPath(scope, jwt.keys)
    this.#keys = new SigningKeys({ from, life: jwt['keys-life'], timeout, clock: scope.clock })
  }

  /** True where clients of that protocol may come with a token. */
  serves(protocol: string): boolean {
    const wanted: readonly string[] = this.config.endpoints
    return wanted.includes(protocol)
  }

  /** Whom the token names. Rejects where that cannot be told now. */
  async find(token: string): Promise<Found> {
    const key = createHash('sha256').update(token).digest('base64')
    const now = this.#scope.clock.now()
    const known = this.#known.get(key)
    if (known !== undefined && known.until > now) return known.found
    const found = await this.#asking.run(() => this.#ask(token))
    if ('name' in found && this.config.remembered > 0)
      this.#known.set(key, { found, until: Math.min(now + this.config.remembered, found.expires ?? Infinity) })
    return found
  }

  async #ask(token: string): Promise<Found> {
    const { clock } = this.#scope
    const { introspection, jwt, timeout } = this.config
    if (introspection !== undefined) {
      const claims = await introspected(token, introspection, { clock, timeout })
      return typeof claims === 'string' ? { refused: claims } : judge(claims, this.config, clock.now(), false)
    }
    if (jwt === undefined || this.#keys === undefined) throw new Error('nobody can tell what tokens are good')
    const claims = await verifiedClaims(token, jwt.algorithms, this.#keys)
    return typeof claims === 'string' ? { refused: claims } : judge(claims, this.config, clock.now(), true)
  }
}
