// For tests: a resolver that answers from zones, without a network.

import { type Answer, DnsError, type Resolver } from '../contracts.ts'
import { dnsName, reverseName } from '../names.ts'
import { lookUp, type ZoneRecords, type Zones, type ZoneType } from './zones.ts'

/** A question that was asked of a {@link ZoneResolver}: `MX example.org`. */
export interface ZoneResolver extends Resolver {
  /** Every question so far, as `MX example.org`. */
  readonly asked: readonly string[]
}

/** A resolver over zones. It answers in the next turn of the event loop, is `secure` where they say so, and keeps nothing. */
export function zoneResolver(zones: Zones): ZoneResolver {
  const asked: string[] = []
  const ask = async <Data>(
    text: string | undefined,
    type: ZoneType,
    read: (records: ZoneRecords) => readonly Data[],
    signal: AbortSignal | undefined,
  ): Promise<Answer<Data>> => {
    signal?.throwIfAborted()
    const name = text === undefined ? undefined : dnsName(text)
    asked.push(`${type} ${name ?? text ?? ''}`)
    await new Promise((resolve) => setImmediate(resolve))
    signal?.throwIfAborted()
    if (name === undefined) return { records: [], exists: false, secure: false, name: text ?? '', ttl: 0 }
    const { failure, steps, ...answer } = lookUp(zones, name, type)
    if (failure !== undefined) throw new DnsError(FAILURES[failure], name)
    const last = steps.at(-1)
    const { exists, secure, ttl } = answer
    return { records: last?.type === type ? read(last.records) : [], exists, secure, name: answer.name, ttl }
  }
  return {
    asked,
    a: (name, signal) => ask(name, 'A', ({ A = [] }) => A, signal),
    aaaa: (name, signal) => ask(name, 'AAAA', ({ AAAA = [] }) => AAAA, signal),
    mx: (name, signal) =>
      ask(
        name,
        'MX',
        ({ MX = [] }) => MX.map(([preference, exchange]) => ({ preference, exchange: dnsName(exchange) ?? '' })),
        signal,
      ),
    txt: (name, signal) =>
      ask(name, 'TXT', ({ TXT = [] }) => TXT.map((text) => (typeof text === 'string' ? text : text.join(''))), signal),
    srv: (name, signal) =>
      ask(
        name,
        'SRV',
        ({ SRV = [] }) =>
          SRV.map(([priority, weight, port, target]) => ({ priority, weight, port, target: dnsName(target) ?? '' })),
        signal,
      ),
    tlsa: (name, signal) =>
      ask(
        name,
        'TLSA',
        ({ TLSA = [] }) =>
          TLSA.map(([usage, selector, matchingType, hex]) => ({
            usage,
            selector,
            matchingType,
            data: Buffer.from(hex, 'hex'),
          })),
        signal,
      ),
    cname: (name, signal) =>
      ask(name, 'CNAME', ({ CNAME }) => (CNAME === undefined ? [] : [dnsName(CNAME) ?? CNAME]), signal),
    reverse: (address, signal) =>
      ask(reverseName(address), 'PTR', ({ PTR = [] }) => PTR.map((name) => dnsName(name) ?? name), signal),
  }
}

const FAILURES = { SERVFAIL: 'server-failure', REFUSED: 'refused', silence: 'timeout' } as const
