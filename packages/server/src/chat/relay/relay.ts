// The relay for calls (TURN), which is another program's: tickets for it, and its configuration.

import { createHmac } from 'node:crypto'
import type { Scope } from '../../kernel/scope.ts'
import { serviceKey } from '../../kernel/scope.ts'
import { Store } from '../../store/contracts.ts'
import { secretsStore } from '../../store/secrets.store.ts'
import { coturnConfig } from './coturn.ts'
import type { ExternalService, RelayConfig } from './config.ts'

/** What lets a user in, until it expires. */
export interface Ticket {
  readonly username: string
  readonly password: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

export class Relay {
  readonly settings: RelayConfig
  readonly #scope: Scope
  #secret: Promise<string> | undefined

  constructor(scope: Scope, settings: RelayConfig) {
    this.#scope = scope
    this.settings = settings
  }

  /** The ways to it, as clients are told. */
  get services(): readonly ExternalService[] {
    const { host, port, tcp, 'tls-port': tlsPort } = this.settings
    return [
      { type: 'stun', host, port, transport: 'udp' },
      { type: 'turn', host, port, transport: 'udp' },
      ...(tcp ? [{ type: 'turn', host, port, transport: 'tcp' } as const] : []),
      ...(tlsPort === undefined ? [] : [{ type: 'turns', host, port: tlsPort, transport: 'tcp' } as const]),
    ]
  }

  /** draft-uberti-behave-turn-rest-00 §2.2: a name that says until when, and its HMAC. The account's id is in the relay's log, should somebody misuse it. */
  async ticket(account: string): Promise<Ticket> {
    const seconds = Math.floor((this.#scope.clock.now() + this.settings.ttl) / 1000)
    const username = `${seconds}:${account}`
    const password = createHmac('sha1', await this.secret())
      .update(username)
      .digest('base64')
    return { username, password, expires: seconds * 1000 }
  }

  /** Rejects with a `StoreError` where it cannot be had now. */
  secret(): Promise<string> {
    const { secret } = this.settings
    if (secret !== undefined) return Promise.resolve(secret)
    this.#secret ??= this.#scope
      .use(Store)
      .core(secretsStore)
      .get({ name: 'turn', fresh: this.#scope.random.bytes(32) })
      .then(
        (octets) => Buffer.from(octets).toString('hex'),
        (error: unknown) => {
          this.#secret = undefined
          throw error
        },
      )
    return this.#secret
  }

  /** The text of a configuration for coturn. */
  async coturn(): Promise<string> {
    return coturnConfig(this.settings, await this.secret())
  }
}

/** The relays of one generation, one for each set of domains. */
export class Relays {
  readonly #entries = new Set<{ readonly relay: Relay; covers(domain: string): boolean }>()

  /** The relay for a domain, or the first one. */
  of(domain: string | undefined): Relay | undefined {
    for (const { relay, covers } of this.#entries) if (domain === undefined || covers(domain)) return relay
    return undefined
  }

  /** Answers the way to leave again. */
  enter(relay: Relay, covers: (domain: string) => boolean): () => void {
    const entry = { relay, covers }
    this.#entries.add(entry)
    return () => void this.#entries.delete(entry)
  }
}

export const relays = serviceKey<Relays>('chat-relays')
