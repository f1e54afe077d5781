// RFC 7208: Sender Policy Framework. The check_host() function, with its limits.

import { DnsError, type Answer, type Resolver } from '../../../net/dns/contracts.ts'
import { asDomain, domainPart, isInside } from '../domain.ts'
import { inNetwork, type Octets, parseIp } from './address.ts'
import { expandMacros, type MacroString, type MacroValues, parseMacros } from './macro.ts'
import {
  isSpfRecord,
  type Mechanism,
  parseSpfRecord,
  type Qualified,
  type SpfRecords,
  SpfSyntaxError,
} from './record.ts'

export type SpfStatus = 'none' | Qualified | 'temperror' | 'permerror'

export interface SpfQuestion {
  /** The client's address in text form. */
  readonly ip: string
  /** The name in HELO or EHLO. */
  readonly helo: string
  /** The reverse-path, `local@domain`; empty for `<>`, whose place `postmaster@` and the HELO name take (RFC 7208 §2.4). */
  readonly sender: string
  readonly resolver: Pick<Resolver, 'a' | 'aaaa' | 'mx' | 'txt' | 'reverse'>
  /** This host's name, for explanations. */
  readonly receiver?: string
  /** Milliseconds since the epoch, for explanations. */
  readonly now?: number
  /** Parsed records to share among questions. */
  readonly records?: SpfRecords
  readonly signal?: AbortSignal
}

export interface SpfResult {
  readonly status: SpfStatus
  /** Whose policy was asked, as A-labels; as it came where it is no domain. */
  readonly domain: string
  readonly identity: 'mailfrom' | 'helo'
  /** What decided, for people: printable ASCII. */
  readonly reason: string
  /** The term that matched, as published. */
  readonly mechanism?: string
  /** What the domain says to those that it refuses (exp=); printable ASCII, never longer than 400. A stranger wrote it. */
  readonly explanation?: string
  /** Terms that asked the DNS (RFC 7208 §4.6.4). */
  readonly lookups: number
}

/** RFC 7208 §4.6.4. */
const MAX_LOOKUPS = 10
const MAX_VOID = 2
const MAX_NAMES = 10
const EXPLANATION_LENGTH = 400

/** Ends the evaluation with a result that no qualifier gives. */
class Stop extends Error {
  readonly status: 'temperror' | 'permerror'
  constructor(status: Stop['status'], reason: string) {
    super(reason)
    this.status = status
  }
}

/** Asks whether the client at `ip` may send for `sender`. Rejects only when `signal` says so; all else, DNS failures too, is a result. */
export async function checkHost(question: SpfQuestion): Promise<SpfResult> {
  const fromSender = domainPart(question.sender)
  const identity = question.sender === '' ? 'helo' : 'mailfrom'
  const raw = fromSender ?? question.helo
  const domain = asDomain(raw)
  const ip = parseIp(question.ip)
  const shownDomain = domain ?? raw.replace(/[^\x21-\x7e]/g, '?').slice(0, 253)
  if (ip === undefined) return { status: 'none', domain: shownDomain, identity, reason: 'no IP address', lookups: 0 }
  // RFC 7208 §4.3: what is no domain name of several labels has no policy.
  if (domain === undefined || !domain.includes('.'))
    return { status: 'none', domain: shownDomain, identity, reason: 'not a full domain name', lookups: 0 }
  const local = fromSender === undefined ? '' : question.sender.slice(0, -fromSender.length - 1)
  const evaluation = new Evaluation(question, ip, local === '' ? 'postmaster' : local, domain)
  const outcome = await evaluation.run()
  return { ...outcome, domain, identity, lookups: evaluation.lookups }
}

interface Outcome {
  readonly status: SpfStatus
  readonly reason: string
  readonly mechanism?: string
  readonly explanation?: string
}

class Evaluation {
  readonly #question: SpfQuestion
  readonly #ip: Octets
  readonly #local: string
  readonly #origin: string
  #validated: Promise<readonly string[]> | undefined
  lookups = 0
  #void = 0

  constructor(question: SpfQuestion, ip: Octets, local: string, origin: string) {
    this.#question = question
    this.#ip = ip
    this.#local = local
    this.#origin = origin
  }

  async run(): Promise<Outcome> {
    try {
      return await this.#evaluate(this.#origin, true)
    } catch (error) {
      if (error instanceof Stop) return { status: error.status, reason: error.message }
      throw error
    }
  }

  /** The policy of one domain. `explain`: a fail of it is the final one, so its explanation counts. */
  async #evaluate(domain: string, explain: boolean): Promise<Outcome> {
    const text = await this.#recordOf(domain)
    if (text === undefined) return { status: 'none', reason: `${domain} publishes no SPF record` }
    const record = this.#parsed(text, domain)
    for (const mechanism of record.mechanisms) {
      if (!(await this.#matches(mechanism, domain))) continue
      const outcome = { status: mechanism.result, mechanism: mechanism.text, reason: `${domain}: ${mechanism.text}` }
      if (mechanism.result !== 'fail' || !explain || record.explanation === undefined) return outcome
      const explanation = await this.#explanation(record.explanation, domain)
      return explanation === undefined ? outcome : { ...outcome, explanation }
    }
    if (record.redirect === undefined) return { status: 'neutral', reason: `${domain}: nothing matches` }
    this.#countLookup()
    const target = await this.#name(record.redirect, domain)
    const outcome =
      target !== undefined && asDomain(target) !== undefined ? await this.#evaluate(target, explain) : undefined
    if (outcome === undefined || outcome.status === 'none')
      throw new Stop('permerror', `${domain}: redirect leads to no SPF record`)
    return outcome
  }

  #parsed(text: string, domain: string) {
    try {
      return this.#question.records?.parse(text) ?? parseSpfRecord(text)
    } catch (error) {
      if (error instanceof SpfSyntaxError) throw new Stop('permerror', `${domain}: ${error.message}`)
      throw error
    }
  }

  async #recordOf(domain: string): Promise<string | undefined> {
    const { records } = await this.#asked(this.#question.resolver.txt(domain, this.#question.signal))
    const found = records.filter(isSpfRecord)
    if (found.length > 1) throw new Stop('permerror', `${domain} publishes ${found.length} SPF records`)
    return found[0]
  }

  async #matches(mechanism: Mechanism, domain: string): Promise<boolean> {
    switch (mechanism.kind) {
      case 'all':
        return true
      case 'ip':
        return inNetwork(this.#ip, mechanism.network, mechanism.bits)
      case 'include':
        return this.#includes(mechanism.domain, domain)
      case 'exists': {
        this.#countLookup()
        const name = await this.#name(mechanism.domain, domain)
        if (name === undefined) return false
        // RFC 7208 §5.7: A, also for clients that come by IPv6.
        const { records } = await this.#asked(this.#question.resolver.a(name, this.#question.signal), true)
        return records.length > 0
      }
      case 'a': {
        this.#countLookup()
        const name = await this.#target(mechanism.domain, domain)
        return name !== undefined && (await this.#hasAddress(name, mechanism))
      }
      case 'mx': {
        this.#countLookup()
        const name = await this.#target(mechanism.domain, domain)
        if (name === undefined) return false
        const { records } = await this.#asked(this.#question.resolver.mx(name, this.#question.signal), true)
        if (records.length > MAX_NAMES) throw new Stop('permerror', `${domain}: ${name} has more than 10 MX records`)
        for (const { exchange } of records)
          if (exchange !== '' && (await this.#hasAddress(exchange, mechanism))) return true
        return false
      }
      case 'ptr': {
        this.#countLookup()
        const name = asDomain((await this.#target(mechanism.domain, domain)) ?? '')
        if (name === undefined) return false
        return (await this.#validatedNames()).some((candidate) => isInside(candidate, name))
      }
    }
  }

  async #includes(spec: MacroString, domain: string): Promise<boolean> {
    this.#countLookup()
    const target = await this.#name(spec, domain)
    const { status } =
      target !== undefined && asDomain(target) !== undefined
        ? await this.#evaluate(target, false)
        : { status: 'none' as const }
    if (status === 'none') throw new Stop('permerror', `${domain}: what it includes has no SPF record`)
    return status === 'pass'
  }

  async #hasAddress(name: string, { bits4, bits6 }: { readonly bits4: number; readonly bits6: number }) {
    const { records } = await this.#addresses(name, true)
    return records.some((record) => {
      const address = parseIp(record)
      return address !== undefined && inNetwork(this.#ip, address, address.length === 4 ? bits4 : bits6)
    })
  }

  #addresses(name: string, counted: boolean): Promise<Answer<string>> {
    const { resolver, signal } = this.#question
    return this.#asked(this.#ip.length === 4 ? resolver.a(name, signal) : resolver.aaaa(name, signal), counted)
  }

  /** The names that the client's address has and that have the address (RFC 7208 §5.5), lower case. A name that cannot be looked up is none. */
  #validatedNames(): Promise<readonly string[]> {
    this.#validated ??= (async () => {
      const validated: string[] = []
      let names: readonly string[]
      try {
        names = (await this.#asked(this.#question.resolver.reverse(this.#question.ip, this.#question.signal), true))
          .records
      } catch (error) {
        if (error instanceof Stop && error.status === 'temperror') return []
        throw error
      }
      for (const raw of names.slice(0, MAX_NAMES)) {
        const name = asDomain(raw)
        if (name === undefined) continue
        try {
          const { records } = await this.#addresses(name, false)
          if (records.some((record) => inNetwork(this.#ip, parseIp(record) ?? new Uint8Array(), this.#ip.length * 8)))
            validated.push(name)
        } catch (error) {
          if (!(error instanceof Stop)) throw error
        }
      }
      return validated
    })()
    return this.#validated
  }

  async #explanation(spec: MacroString, domain: string): Promise<string | undefined> {
    try {
      const name = await this.#name(spec, domain)
      if (name === undefined) return undefined
      const { records } = await this.#asked(this.#question.resolver.txt(name, this.#question.signal))
      const [text] = records
      // RFC 7208 §6.2: any trouble means that there is no explanation.
      if (text === undefined || records.length !== 1) return undefined
      const macros = parseMacros(text, true)
      if (macros === undefined) return undefined
      const explanation = await expandMacros(macros, this.#values(domain))
      return /^[\x20-\x7e]*$/.test(explanation) ? explanation.slice(0, EXPLANATION_LENGTH) : undefined
    } catch (error) {
      if (error instanceof Stop) return undefined
      throw error
    }
  }

  async #target(spec: MacroString | undefined, domain: string): Promise<string | undefined> {
    return spec === undefined ? domain : this.#name(spec, domain)
  }

  /** The expanded name, labels cut from the left until it fits (RFC 7208 §7.3); undefined when no name can be made of it. */
  async #name(spec: MacroString, domain: string): Promise<string | undefined> {
    const [only] = spec
    let name = spec.length === 1 && typeof only === 'string' ? only : await expandMacros(spec, this.#values(domain))
    // RFC 8616 §4: a local part beyond ASCII matches no name.
    if (/[^\x20-\x7e]/.test(name)) return undefined
    if (name.endsWith('.')) name = name.slice(0, -1)
    while (name.length > 253) {
      const dot = name.indexOf('.')
      if (dot < 0) return undefined
      name = name.slice(dot + 1)
    }
    return name === '' ? undefined : name
  }

  #values(domain: string): MacroValues {
    const { helo, receiver = 'unknown', now = 0 } = this.#question
    return {
      ip: this.#ip,
      local: this.#local,
      origin: this.#origin,
      domain,
      helo: helo.slice(0, 255),
      receiver,
      now,
      validatedName: async () => {
        const names = await this.#validatedNames()
        return (
          names.find((name) => name === domain) ?? names.find((name) => isInside(name, domain)) ?? names[0] ?? 'unknown'
        )
      },
    }
  }

  #countLookup(): void {
    if (++this.lookups > MAX_LOOKUPS) throw new Stop('permerror', `more than ${MAX_LOOKUPS} terms ask the DNS`)
  }

  /** The answer; no answer is a temperror. `counted`: an empty one counts as void (RFC 7208 §4.6.4). */
  async #asked<T>(answer: Promise<Answer<T>>, counted = false): Promise<Answer<T>> {
    let found: Answer<T>
    try {
      found = await answer
    } catch (error) {
      if (error instanceof DnsError) throw new Stop('temperror', error.message)
      throw error
    }
    if (counted && found.records.length === 0 && ++this.#void > MAX_VOID)
      throw new Stop('permerror', `more than ${MAX_VOID} terms name what is not in the DNS`)
    return found
  }
}
