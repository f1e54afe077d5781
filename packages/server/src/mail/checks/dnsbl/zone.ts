// RFC 5782: one list in the DNS

import { isIPv4 } from 'node:net'
import type { Clock } from '../../../kernel/clock.ts'
import { AddressSet } from '../../../net/addresses.ts'
import { DnsError, type Resolver } from '../../../net/dns/contracts.ts'
import { reverseName } from '../../../net/dns/names.ts'

/** What an answer is worth. */
export interface Rule {
  readonly responses: AddressSet
  readonly score: number
  readonly text: string | undefined
}

export interface ZoneOptions {
  readonly zone: string
  readonly rules: readonly Rule[]
  readonly ipv4: boolean
  readonly ipv6: boolean
  readonly hello: boolean
  readonly sender: boolean
  /** Milliseconds that one look-up may take. */
  readonly timeout: number
}

/** What a list says of one address or domain. */
export interface Listing {
  readonly zone: string
  /** 0: not listed. */
  readonly score: number
  readonly text: string | undefined
  /** The name that was asked for, whose TXT record tells why. */
  readonly question: string
}

/** Of each list, what it says when it does not want to answer: too many questions, a public resolver, no subscription. */
const REFUSALS = new AddressSet(['127.255.255.0/24'])

export class Zone {
  readonly options: ZoneOptions
  readonly #resolver: Resolver
  readonly #clock: Clock

  constructor(options: ZoneOptions, resolver: Resolver, clock: Clock) {
    this.options = options
    this.#resolver = resolver
    this.#clock = clock
  }

  /** The least and the most that an answer could be worth. */
  get range(): readonly [least: number, most: number] {
    const scores = this.options.rules.map(({ score }) => score)
    const sum = (which: (score: number) => boolean): number => scores.filter(which).reduce((a, b) => a + b, 0)
    return [sum((score) => score < 0), sum((score) => score > 0)]
  }

  /** Undefined when this list has nothing to say about such an address. Rejects with `DnsError`. */
  address(address: string): Promise<Listing> | undefined {
    if (!(isIPv4(address) ? this.options.ipv4 : this.options.ipv6)) return undefined
    const reversed = reverseName(address)?.replace(/\.(?:in-addr|ip6)\.arpa$/, '')
    return reversed === undefined ? undefined : this.#ask(`${reversed}.${this.options.zone}`)
  }

  /** Rejects with `DnsError`. */
  domain(domain: string): Promise<Listing> {
    return this.#ask(`${domain}.${this.options.zone}`)
  }

  /** The reason that the list gives, on one line of printable ASCII; undefined when it has none or it cannot be had now. */
  async reason(question: string): Promise<string | undefined> {
    try {
      const { records } = await this.#inTime(question, (signal) => this.#resolver.txt(question, signal))
      const text = records[0]
        ?.replace(/[^ -~]+/g, ' ')
        .trim()
        .slice(0, 200)
      return text === '' ? undefined : text
    } catch {
      return undefined
    }
  }

  /** RFC 5782 §5: each list holds test entries, and does not hold others. Resolves with what is wrong, undefined when nothing is. Rejects with `DnsError`. */
  async examine(): Promise<string | undefined> {
    const { ipv4, ipv6, hello, sender } = this.options
    const tests: [listed: string, unlisted: string][] = []
    if (ipv4) tests.push(['2.0.0.127', '1.0.0.127'])
    if (ipv6) tests.push([MAPPED_TEST, MAPPED_CLEAN])
    // A list of domains has TEST and not INVALID; one that holds both kinds may have the address only.
    if (!ipv4 && !ipv6 && (hello || sender)) tests.push(['test', 'invalid'])
    let alive = false
    for (const [listed, unlisted] of tests) {
      if (await this.#exists(unlisted)) return `it lists ${unlisted}, as if it listed everything`
      if (await this.#exists(listed)) alive = true
    }
    return alive || tests.length === 0 ? undefined : 'it does not list its test entry: it is not in service'
  }

  async #exists(label: string): Promise<boolean> {
    const question = `${label}.${this.options.zone}`
    const { records } = await this.#inTime(question, (signal) => this.#resolver.a(question, signal))
    return records.length > 0
  }

  async #ask(question: string): Promise<Listing> {
    const { zone, rules } = this.options
    const { records } = await this.#inTime(question, (signal) => this.#resolver.a(question, signal))
    if (records.some((record) => REFUSALS.has(record))) throw new DnsError('refused', question)
    const fitting = rules.filter(({ responses }) => records.some((record) => responses.has(record)))
    const score = fitting.reduce((sum, rule) => sum + rule.score, 0)
    return { zone, score, text: fitting.find(({ text }) => text !== undefined)?.text, question }
  }

  async #inTime<T>(question: string, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    const timer = this.#clock.timeout(this.options.timeout, () => abort.abort(new DnsError('timeout', question)))
    try {
      return await ask(abort.signal)
    } finally {
      timer.cancel()
    }
  }
}

/** `::ffff:127.0.0.2` and `::ffff:127.0.0.1`, by their nibbles. */
const mapped = (last: string): string => `${last}.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`
const MAPPED_TEST = mapped('2')
const MAPPED_CLEAN = mapped('1')
