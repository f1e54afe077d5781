// RFC 1034 §5.3.1: a stub resolver. It asks recursive servers, believes only what answers its question, and remembers the answers for as long as they say.

import { isIPv4 } from 'node:net'
import type { Answer as PacketRecord } from 'dns-packet'
import { LRUCache } from 'lru-cache'
import type { Scope } from '../../kernel/scope.ts'
import { type Answer, DnsError, type MxRecord, type Resolver, type SrvRecord, type TlsaRecord } from './contracts.ts'
import { dnsName, reverseName } from './names.ts'
import { FORMERR, makeQuery, NOERROR, NOTIMP, NXDOMAIN, type QuestionType, type Reading, SERVFAIL } from './packet.ts'
import { follow, MAX_CNAMES, negativeTtl, readers } from './records.ts'
import { type DnsConfig, localhostAddresses, type ServerList } from './servers.ts'
import { askByTcp, askByUdp, type DnsServer, ExchangeError, type ExchangeTerms } from './transport.ts'

type Reply = Extract<Reading, { readonly kind: 'reply' }>

type Read<Data> = (records: readonly PacketRecord[]) => readonly Data[]

/** An answer as it is kept, with the time that it ends. */
interface Kept<Data> extends Omit<Answer<Data>, 'ttl'> {
  /** In the clock's monotonic milliseconds. */
  readonly until: number
}

/** Questions on the wire at the same time; others wait their turn. Each holds a socket. */
const MAX_OPEN = 256
/** Milliseconds that a server which did not answer is asked last. */
const SHUNNED = 30_000

type Settings = Pick<DnsConfig, 'timeout' | 'tries' | 'deadline' | 'cache'>

export class StubResolver implements Resolver {
  readonly #scope: Scope
  readonly #servers: ServerList
  readonly #settings: Settings
  readonly #cache: LRUCache<string, Kept<unknown>>
  /** Questions being asked: whoever has the same one waits with them. */
  readonly #asking = new Map<string, Promise<Kept<unknown>>>()
  readonly #shunned = new Map<string, number>()
  readonly #waiting: (() => void)[] = []
  #open = 0

  constructor(scope: Scope, servers: ServerList, settings: Settings) {
    this.#scope = scope
    this.#servers = servers
    this.#settings = settings
    this.#cache = new LRUCache({ maxSize: Math.max(1, settings.cache), sizeCalculation: weight })
  }

  a(name: string, signal?: AbortSignal): Promise<Answer<string>> {
    return this.#addresses(name, 'A', signal)
  }

  aaaa(name: string, signal?: AbortSignal): Promise<Answer<string>> {
    return this.#addresses(name, 'AAAA', signal)
  }

  mx(name: string, signal?: AbortSignal): Promise<Answer<MxRecord>> {
    return this.#ask(dnsName(name), 'MX', readers.mx, signal)
  }

  txt(name: string, signal?: AbortSignal): Promise<Answer<string>> {
    return this.#ask(dnsName(name), 'TXT', readers.txt, signal)
  }

  srv(name: string, signal?: AbortSignal): Promise<Answer<SrvRecord>> {
    return this.#ask(dnsName(name), 'SRV', readers.srv, signal)
  }

  tlsa(name: string, signal?: AbortSignal): Promise<Answer<TlsaRecord>> {
    return this.#ask(dnsName(name), 'TLSA', readers.tlsa, signal)
  }

  cname(name: string, signal?: AbortSignal): Promise<Answer<string>> {
    return this.#ask(dnsName(name), 'CNAME', readers.names, signal)
  }

  reverse(address: string, signal?: AbortSignal): Promise<Answer<string>> {
    return this.#ask(reverseName(address), 'PTR', readers.names, signal)
  }

  async #addresses(text: string, type: 'A' | 'AAAA', signal: AbortSignal | undefined): Promise<Answer<string>> {
    const name = dnsName(text)
    const local = name === undefined ? undefined : localhostAddresses(name)
    if (name === undefined || local === undefined) return this.#ask(name, type, readers.address, signal)
    const records = local.filter((address) => isIPv4(address) === (type === 'A'))
    return { records, exists: true, secure: false, name, ttl: 3600 }
  }

  async #ask<Data>(
    name: string | undefined,
    type: QuestionType,
    read: Read<Data>,
    signal: AbortSignal | undefined,
  ): Promise<Answer<Data>> {
    signal?.throwIfAborted()
    if (name === undefined) return { records: [], exists: false, secure: false, name: '', ttl: 0 }
    const { until, ...answer } = await abortable(this.#find(name, type, read), signal)
    return { ...answer, ttl: Math.max(0, Math.floor((until - this.#scope.clock.monotonic()) / 1000)) }
  }

  #find<Data>(name: string, type: QuestionType, read: Read<Data>): Promise<Kept<Data>> {
    const key = `${type} ${name}`
    // Each type has one reader: what is kept under this key came out of `read`.
    const kept = this.#cache.get(key) as Kept<Data> | undefined
    if (kept !== undefined && kept.until > this.#scope.clock.monotonic()) {
      this.#count('kept')
      return Promise.resolve(kept)
    }
    const asking = this.#asking.get(key) as Promise<Kept<Data>> | undefined
    if (asking !== undefined) return asking
    const question = this.#resolve(name, type, read).finally(() => this.#asking.delete(key))
    this.#asking.set(key, question)
    question.then(
      (answer) => {
        this.#count('answered')
        if (answer.until > this.#scope.clock.monotonic()) this.#cache.set(key, answer)
        else this.#cache.delete(key)
      },
      (error: unknown) => this.#count(error instanceof DnsError ? error.code : 'error'),
    )
    return question
  }

  /** Asks until the CNAMEs have an end. Recursive servers answer with the whole way; one that leaves out its rest is asked for it. */
  async #resolve<Data>(name: string, type: QuestionType, read: Read<Data>): Promise<Kept<Data>> {
    const deadline = this.#scope.clock.monotonic() + this.#settings.deadline
    let at = name
    let secure = true
    let ttl = Infinity
    let steps = 0
    for (;;) {
      const { reply, trusted } = await this.#askServers(at, type, deadline)
      const found = follow(reply.answers, at, type)
      if (found === undefined) throw new DnsError('bad-answer', name)
      secure &&= trusted && reply.authentic
      ttl = Math.min(ttl, found.ttl)
      steps += found.steps
      const negative = found.records.length > 0 ? undefined : negativeTtl(reply.authorities)
      const whole = found.records.length > 0 || found.steps === 0 || negative !== undefined || reply.rcode === NXDOMAIN
      if (whole) {
        if (found.records.length === 0) ttl = Math.min(ttl, negative ?? 0)
        return {
          records: read(found.records),
          exists: reply.rcode !== NXDOMAIN || found.records.length > 0,
          secure,
          name: found.name,
          until: this.#scope.clock.monotonic() + ttl * 1000,
        }
      }
      if (steps > MAX_CNAMES) throw new DnsError('bad-answer', name)
      at = found.name
    }
  }

  /** One question to the servers, one after the other, in rounds. Rejects with a DnsError that tells what went wrong last, a server's refusal before a silence. */
  async #askServers(
    name: string,
    type: QuestionType,
    deadline: number,
  ): Promise<{ readonly reply: Reply; readonly trusted: boolean }> {
    let failure = new DnsError('timeout', name)
    const refused = new Set<DnsServer>()
    const servers = this.#inOrder()
    for (let round = 0; round < this.#settings.tries; round++)
      for (const server of servers) {
        const left = deadline - this.#scope.clock.monotonic()
        if (refused.has(server)) continue
        if (left <= 0 || this.#scope.signal.aborted) throw failure
        try {
          const reply = await this.#askServer(server, name, type, Math.min(left, this.#settings.timeout))
          if (reply.rcode === NOERROR || reply.rcode === NXDOMAIN) return { reply, trusted: server.trusted }
          failure = new DnsError(reply.rcode === SERVFAIL ? 'server-failure' : 'refused', name)
          refused.add(server)
        } catch (error) {
          if (!(error instanceof ExchangeError)) throw error
          this.#shunned.set(keyOf(server), this.#scope.clock.monotonic() + SHUNNED)
          if (failure.code === 'timeout' || failure.code === 'unreachable')
            failure = new DnsError(error.code, name, { cause: error })
        }
      }
    throw failure
  }

  /** Those that did not answer lately come last. */
  #inOrder(): readonly DnsServer[] {
    const now = this.#scope.clock.monotonic()
    const shunned = (server: DnsServer): boolean => (this.#shunned.get(keyOf(server)) ?? 0) > now
    const servers = this.#servers.current()
    return [...servers.filter((server) => !shunned(server)), ...servers.filter(shunned)]
  }

  async #askServer(server: DnsServer, name: string, type: QuestionType, timeout: number): Promise<Reply> {
    const { clock, random, signal } = this.#scope
    await this.#turn()
    const until = clock.monotonic() + timeout
    const terms = (): ExchangeTerms => ({ timeout: Math.max(1, until - clock.monotonic()), clock, signal })
    try {
      let edns = true
      for (;;) {
        const query = makeQuery(random, name, type, edns)
        let reading = await askByUdp(server, query, terms())
        // What was cut off, or is not to be believed as it came, is asked for on a connection.
        if (reading.kind !== 'reply') reading = await askByTcp(server, query, terms())
        if (reading.kind === 'doubtful' || reading.kind === 'truncated' || reading.kind === 'broken')
          reading = await this.#plainly(server, reading, name, type, terms())
        // RFC 6891 §7: a server that does not know EDNS.
        if (!edns || (reading.rcode !== FORMERR && reading.rcode !== NOTIMP)) return reading
        edns = false
      }
    } finally {
      this.#open--
      this.#waiting.shift()?.()
    }
  }

  /** A server that does not keep the spelling even on a connection is asked in lower case there. */
  async #plainly(
    server: DnsServer,
    reading: Exclude<Reading, Reply>,
    name: string,
    type: QuestionType,
    terms: ExchangeTerms,
  ): Promise<Reply> {
    if (reading.kind === 'doubtful') {
      const zeroes = { bytes: (length: number) => this.#scope.random.bytes(length).fill(0, 2) }
      const again = await askByTcp(server, makeQuery(zeroes, name, type), terms)
      if (again.kind === 'reply') return again
    }
    throw new ExchangeError('bad-answer')
  }

  async #turn(): Promise<void> {
    while (this.#open >= MAX_OPEN) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#open++
  }

  #count(outcome: string): void {
    this.#scope.metrics
      .counter('aviso_dns_questions_total', 'Questions to the DNS, by what became of them', ['outcome'])
      .inc({ outcome })
  }
}

const keyOf = ({ host, port }: DnsServer): string => `${host} ${port}`

/** What an answer takes in memory, roughly, in octets. */
function weight({ records, name }: Kept<unknown>, key: string): number {
  let octets = 400 + 2 * (key.length + name.length)
  for (const record of records) {
    octets += 200
    if (typeof record === 'string') octets += 2 * record.length
    else if (typeof record === 'object' && record !== null && 'data' in record && record.data instanceof Uint8Array)
      octets += record.data.byteLength
  }
  return octets
}

/** The promise, or the signal's reason if that comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
