// RFC 8305 §4, in spirit: at which addresses a server is tried, in which order, and from which of ours.

import { isIPv4, isIPv6 } from 'node:net'
import { DnsError, type Resolver } from './contracts.ts'

export type Families = 'both' | 'ipv4' | 'ipv6'

/** The addresses of a server. */
export interface HostAddresses {
  /** In the order in which they are to be tried. */
  readonly addresses: readonly string[]
  /** All answers were validated. */
  readonly secure: boolean
  /** Where they stand: the name asked for, or what its CNAMEs led to. */
  readonly name: string
}

/** Of each family; a server with more has enough with these. */
const MAX_OF_FAMILY = 4

/**
 * Looks the addresses of a host up. None is an answer too. Rejects with DnsError when the DNS does not answer for the families that are used; where one of two fails,
 * the other one serves.
 */
export async function hostAddresses(
  host: string,
  families: Families,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<HostAddresses> {
  const asks = [
    families === 'ipv4' ? undefined : resolver.aaaa(host, signal),
    families === 'ipv6' ? undefined : resolver.a(host, signal),
  ]
  const [six, four] = await Promise.all(
    asks.map(async (ask) => {
      try {
        return await ask
      } catch (error) {
        if (error instanceof DnsError) return error
        throw error
      }
    }),
  )
  const answers = [six, four].filter((found) => found !== undefined)
  const failed = answers.find((found) => found instanceof DnsError)
  const came = answers.flatMap((found) => (found instanceof DnsError ? [] : [found]))
  const some = came.some(({ records }) => records.length > 0)
  if (failed !== undefined && !some) throw failed
  const of = (found: (typeof answers)[number] | undefined): readonly string[] =>
    found === undefined || found instanceof DnsError ? [] : found.records.slice(0, MAX_OF_FAMILY)
  return {
    addresses: interleaved(of(six), of(four)),
    // An answer that was not to be had is not known to be secure.
    secure: failed === undefined && came.every(({ secure }) => secure),
    name: came[0]?.name ?? host,
  }
}

/** One of the first list, one of the second, and so on. */
export function interleaved<T>(first: readonly T[], second: readonly T[]): readonly T[] {
  const all: T[] = []
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    for (const list of [first, second]) if (i < list.length) all.push(list[i] as T)
  }
  return all
}

/** Which of our own addresses a connection to `address` is made from; undefined leaves it to the system. */
export function sourceFor(address: string, sources: readonly string[]): string | undefined {
  const same = isIPv6(address) ? isIPv6 : isIPv4
  return sources.find((source) => same(source))
}
