// A DNS of a few names, for tests: what a zone says, who does not answer, and what was asked.

import { type Answer, DnsError, type MxRecord, type Resolver } from '../../../src/net/dns/contracts.ts'

/** The records of one name; `'timeout'` or `'servfail'`: nobody answers for it. */
export interface Names {
  readonly a?: readonly string[] | 'timeout'
  readonly aaaa?: readonly string[] | 'timeout'
  readonly mx?: readonly (readonly [preference: number, exchange: string])[] | 'timeout'
  readonly txt?: readonly string[] | string | { readonly fails: DnsError['code'] }
  readonly ptr?: readonly string[] | 'timeout'
}

/** A resolver that answers from `zone`. Names of the zone in any case; `asked` holds every question as `type name`. */
export class ZoneResolver implements Resolver {
  readonly asked: string[] = []
  readonly #zone: ReadonlyMap<string, Names>

  constructor(zone: Readonly<Record<string, Names>>) {
    this.#zone = new Map(Object.entries(zone).map(([name, records]) => [name.toLowerCase(), records]))
  }

  a(name: string): Promise<Answer<string>> {
    return this.#answer('a', name, (names) => names.a)
  }

  aaaa(name: string): Promise<Answer<string>> {
    return this.#answer('aaaa', name, (names) => names.aaaa)
  }

  mx(name: string): Promise<Answer<MxRecord>> {
    return this.#answer('mx', name, ({ mx }) =>
      typeof mx === 'string' ? mx : mx?.map(([preference, exchange]) => ({ preference, exchange })),
    )
  }

  txt(name: string): Promise<Answer<string>> {
    return this.#answer('txt', name, ({ txt }) => {
      if (typeof txt === 'string') return [txt]
      return txt !== undefined && 'fails' in txt ? txt.fails : txt
    })
  }

  srv(name: string): Promise<Answer<never>> {
    return this.#answer('srv', name, () => undefined)
  }

  tlsa(name: string): Promise<Answer<never>> {
    return this.#answer('tlsa', name, () => undefined)
  }

  cname(name: string): Promise<Answer<string>> {
    return this.#answer('cname', name, () => undefined)
  }

  reverse(address: string): Promise<Answer<string>> {
    return this.#answer('ptr', address, ({ ptr }) => ptr)
  }

  async #answer<T>(
    type: string,
    name: string,
    of: (names: Names) => readonly T[] | string | undefined,
  ): Promise<Answer<T>> {
    const key = name.toLowerCase().replace(/\.$/, '')
    this.asked.push(`${type} ${key}`)
    const names = this.#zone.get(key)
    const found = names === undefined ? undefined : of(names)
    if (typeof found === 'string') throw new DnsError(found === 'timeout' ? 'timeout' : 'server-failure', key)
    return {
      records: found ?? [],
      // A name with something below it exists (RFC 8020).
      exists: names !== undefined || [...this.#zone.keys()].some((other) => other.endsWith(`.${key}`)),
      secure: false,
      name: key,
      ttl: 60,
    }
  }
}
