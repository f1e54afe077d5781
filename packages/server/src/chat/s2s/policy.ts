// Which other domains are spoken with, and what they must show.

import type { S2sConfig } from './config.ts'

/** Patterns as the config has them: a domain, or `*.` and a domain for all below it. */
class Patterns {
  readonly #exact = new Set<string>()
  readonly #below = new Set<string>()

  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern.startsWith('*.')) this.#below.add(pattern.slice(2))
      else this.#exact.add(pattern)
    }
  }

  has(domain: string): boolean {
    if (this.#exact.has(domain)) return true
    if (this.#below.size === 0) return false
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1))
      if (this.#below.has(domain.slice(dot + 1))) return true
    return false
  }
}

export class Policy {
  readonly #blocked: Patterns
  readonly #allowed: Patterns | undefined
  readonly #secure: Patterns
  readonly #insecure: Patterns
  readonly #requireCertificate: boolean

  constructor(config: S2sConfig) {
    this.#blocked = new Patterns(config['blocked-domains'])
    this.#allowed = config['allowed-domains'] && new Patterns(config['allowed-domains'])
    this.#secure = new Patterns(config['secure-domains'])
    this.#insecure = new Patterns(config['insecure-domains'])
    this.#requireCertificate = config['require-certificate']
  }

  /** This domain (prepared) is spoken with. */
  permits(domain: string): boolean {
    return !this.#blocked.has(domain) && this.#allowed?.has(domain) !== false
  }

  /** Its server must show a certificate for it that can be verified. */
  needsCertificate(domain: string): boolean {
    return this.#secure.has(domain) || (this.#requireCertificate && !this.#insecure.has(domain))
  }
}
