// The keys that this server signs with: made when they are first needed, followed by others when an administrator says so.

import { LRUCache } from 'lru-cache'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Resolver } from '../../net/dns/contracts.ts'
import { type Calls, CORE_TOPIC, LOST, type Store } from '../../store/contracts.ts'
import { asDomain } from '../authentication/domain.ts'
import type { SigningKey } from '../authentication/dkim/sign.ts'
import { algorithmOf, type KeyKind, newPrivateKey, publicRecord, readPrivateKey } from './generate.ts'
import { keyStore, KEYS_CHANGED, type StoredKey } from './store.ts'

/** A key and when it signs. Times in milliseconds. */
export interface Key extends SigningKey {
  readonly kind: KeyKind
  readonly starts: number
  readonly ends: number | null
  /** Where its record stands, and its text. */
  readonly name: string
  readonly record: string
}

export const DEFAULT_KINDS: readonly KeyKind[] = ['rsa2048', 'ed25519']

/** Signatures may be checked this long after they were made: as long as mail waits in queues. */
export const KEEP_PUBLISHED = 7 * 86_400_000

/** Domains whose keys are held in memory. */
const MAX_DOMAINS = 10_000
/** Milliseconds after which a DNS answer about our own key is asked for anew. */
const PUBLISHED_FOR = 60_000

export const Keys = serviceKey<Keyring>('mail-keyring')

/** The keys of this server's domains. Methods reject with a `StoreError` when they cannot be had now. */
export class Keyring {
  readonly #scope: Scope
  readonly #store: Calls<(typeof keyStore)['operations']>
  readonly #keys = new LRUCache<string, Promise<readonly Key[]>>({ max: MAX_DOMAINS })
  readonly #published = new LRUCache<string, { readonly until: number; readonly answer: Promise<boolean> }>({
    max: MAX_DOMAINS,
  })

  constructor(scope: Scope, store: Store) {
    this.#scope = scope
    this.#store = store.core(keyStore)
    scope.defer(
      store.bus.subscribe(CORE_TOPIC, ({ kind }) => {
        if (kind === KEYS_CHANGED || kind === LOST) this.#keys.clear()
      }),
    )
  }

  /** The keys that sign for `domain` now, one of each kind, RSA first, as it is what everybody can verify; those that are missing are made. */
  async signing(domain: string, kinds: readonly KeyKind[] = DEFAULT_KINDS): Promise<readonly Key[]> {
    const algorithms = new Set(kinds.map(algorithmOf))
    let keys = await this.keys(domain)
    const missing = kinds.filter((kind) => !keys.some(({ algorithm }) => algorithm === algorithmOf(kind)))
    if (missing.length > 0) keys = await this.#make(domain, missing)
    const now = this.#scope.clock.now()
    return keys
      .filter(
        ({ algorithm, starts, ends }) => algorithms.has(algorithm) && starts <= now && (ends === null || ends > now),
      )
      .toSorted((a, b) => (a.algorithm < b.algorithm ? 1 : -1))
  }

  /** All keys of the domain, also those that do not sign yet or any more, in the order in which they begin. */
  keys(domain: string): Promise<readonly Key[]> {
    let keys = this.#keys.get(domain)
    if (keys === undefined) {
      keys = this.#store.keys({ domain }).then((stored) => stored.map(keyOf))
      this.#keep(domain, keys)
    }
    return keys
  }

  /** Domains that have keys. */
  domains(): Promise<readonly string[]> {
    return this.#store.domains()
  }

  /** Makes keys that follow those in use at `starts`; the same kinds as those, unless told. */
  async follow(domain: string, starts: number, kinds?: readonly KeyKind[]): Promise<readonly Key[]> {
    const now = this.#scope.clock.now()
    const before = (await this.keys(domain)).filter(({ ends }) => ends === null || ends > now)
    const wanted = kinds ?? (before.length === 0 ? DEFAULT_KINDS : [...new Set(before.map(({ kind }) => kind))])
    const made = await this.#fresh(domain, wanted, starts)
    await this.#store.follow({ keys: made })
    this.#keys.delete(domain)
    return made.map(keyOf)
  }

  /** Takes in a key that was made elsewhere; it signs at once, in the place of the one in use. Throws RangeError for what is no key or no selector. */
  async import(domain: string, selector: string, pem: string): Promise<Key> {
    const name = asDomain(selector)
    if (name === undefined) throw new RangeError(`'${selector}' is no selector`)
    const { key, algorithm } = readPrivateKey(pem)
    const now = this.#scope.clock.now()
    const stored: StoredKey = {
      domain,
      selector: name,
      algorithm,
      privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      created: now,
      starts: now,
      ends: null,
    }
    await this.#store.remove({ domain, selector: name })
    await this.#store.follow({ keys: [stored] })
    this.#keys.delete(domain)
    return keyOf(stored)
  }

  /** Erases a key. Tells whether there was one. */
  async remove(domain: string, selector: string): Promise<boolean> {
    const gone = await this.#store.remove({ domain, selector })
    this.#keys.delete(domain)
    return gone
  }

  /** Whether the DNS has the key. Rejects with `DnsError`. */
  async published({ name, record }: Key, resolver: Pick<Resolver, 'txt'>): Promise<boolean> {
    const now = this.#scope.clock.now()
    const known = this.#published.get(name)
    if (known !== undefined && known.until > now) return known.answer
    const answer = resolver.txt(name).then(({ records }) => records.some((text) => keyIn(text) === keyIn(record)))
    answer.catch(() => this.#published.delete(name))
    this.#published.set(name, { until: now + PUBLISHED_FOR, answer })
    return answer
  }

  /** A secret that is made once and kept: for what only this server must be able to make. */
  secret(name: string): Promise<Uint8Array> {
    return this.#store.secret({ name, fresh: this.#scope.random.bytes(32) })
  }

  #keep(domain: string, keys: Promise<readonly Key[]>): void {
    this.#keys.set(domain, keys)
    keys.catch(() => {
      if (this.#keys.peek(domain) === keys) this.#keys.delete(domain)
    })
  }

  readonly #making = new Map<string, Promise<readonly Key[]>>()

  /** Makes the first keys of a domain; once, however many mails ask at the same time. */
  #make(domain: string, kinds: readonly KeyKind[]): Promise<readonly Key[]> {
    const under = `${domain} ${kinds.join(' ')}`
    let making = this.#making.get(under)
    if (making === undefined) {
      making = (async () => {
        const keys = await this.#fresh(domain, kinds, this.#scope.clock.now())
        const stored = (await this.#store.first({ keys })).map(keyOf)
        this.#keep(domain, Promise.resolve(stored))
        this.#scope.log.info(
          { event: 'dkim-keys-made', domain, selectors: keys.map(({ selector }) => selector) },
          'new DKIM keys: publish them (aviso dkim show)',
        )
        return stored
      })().finally(() => this.#making.delete(under))
      this.#making.set(under, making)
    }
    return making
  }

  async #fresh(domain: string, kinds: readonly KeyKind[], starts: number): Promise<readonly StoredKey[]> {
    const taken = new Set((await this.keys(domain)).map(({ selector }) => selector))
    const now = this.#scope.clock.now()
    return Promise.all(
      kinds.map(async (kind) => ({
        domain,
        selector: freeSelector(kind, now, taken),
        algorithm: algorithmOf(kind),
        privateKey: await newPrivateKey(kind),
        created: now,
        starts,
        ends: null,
      })),
    )
  }
}

/** `20260101r`: the day and the kind; with a number behind it for the second one of a day. */
function freeSelector(kind: KeyKind, now: number, taken: Set<string>): string {
  const base = `${new Date(now).toISOString().slice(0, 10).replaceAll('-', '')}${kind === 'ed25519' ? 'e' : 'r'}`
  let selector = base
  for (let i = 2; taken.has(selector); i++) selector = `${base}${i}`
  taken.add(selector)
  return selector
}

function keyOf({ domain, selector, privateKey, starts, ends }: StoredKey): Key {
  const { key, algorithm, kind } = readPrivateKey(privateKey)
  const name = `${selector}._domainkey.${domain}`
  return { domain, selector, algorithm, key, kind, starts, ends, name, record: publicRecord(key) }
}

const keyIn = (record: string): string | undefined => /(?:^|;)\s*p\s*=([^;]*)/.exec(record)?.[1]?.replace(/\s+/g, '')
