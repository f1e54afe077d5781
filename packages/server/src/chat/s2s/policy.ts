// Which other domains are spoken with, and what they must show.

import { DomainPatterns } from '../core/address-list.ts'
import type { S2sConfig } from './config.ts'

export class Policy {
  readonly #blocked: DomainPatterns
  readonly #allowed: DomainPatterns | undefined
  readonly #secure: DomainPatterns
  readonly #insecure: DomainPatterns
  readonly #requireCertificate: boolean

  constructor(config: S2sConfig) {
    this.#blocked = new DomainPatterns(config['blocked-domains'])
    this.#allowed = config['allowed-domains'] && new DomainPatterns(config['allowed-domains'])
    this.#secure = new DomainPatterns(config['secure-domains'])
    this.#insecure = new DomainPatterns(config['insecure-domains'])
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
