// RFC 7208 §4.5, §4.6 and §12: SPF records, parsed whole before anything of them is evaluated.

import { LRUCache } from 'lru-cache'
import { type Octets, parseNetwork } from './address.ts'
import { type MacroString, parseDomainSpec, parseMacros } from './macro.ts'

export type Qualified = 'pass' | 'fail' | 'softfail' | 'neutral'

/** `-a:mail.example.org/24`. `text` is the term as published, for people. */
export type Mechanism = {
  readonly result: Qualified
  readonly text: string
} & (
  | { readonly kind: 'all' }
  | { readonly kind: 'include' | 'exists'; readonly domain: MacroString }
  | { readonly kind: 'ptr'; readonly domain: MacroString | undefined }
  | {
      readonly kind: 'a' | 'mx'
      readonly domain: MacroString | undefined
      /** Prefix lengths for either family. */
      readonly bits4: number
      readonly bits6: number
    }
  | { readonly kind: 'ip'; readonly network: Octets; readonly bits: number }
)

export interface SpfRecord {
  readonly mechanisms: readonly Mechanism[]
  readonly redirect: MacroString | undefined
  readonly explanation: MacroString | undefined
}

/** A record that cannot be read: a permerror. The message says which term. */
export class SpfSyntaxError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SpfSyntaxError'
  }
}

/** RFC 7208 §3.4 advises 450; large senders have kilobytes. What is longer is nobody's policy. */
const RECORD_LENGTH = 8192
const MAX_TERMS = 256

const QUALIFIERS: Readonly<Record<string, Qualified>> = { '+': 'pass', '-': 'fail', '~': 'softfail', '?': 'neutral' }

/** RFC 7208 §4.5: the version, alone or with a space after it. */
export const isSpfRecord = (text: string): boolean => /^v=spf1(?: |$)/i.test(text)

/** Parses a record that `isSpfRecord`. Throws `SpfSyntaxError`. */
export function parseSpfRecord(text: string): SpfRecord {
  if (text.length > RECORD_LENGTH) throw new SpfSyntaxError(`the record is longer than ${RECORD_LENGTH}`)
  const mechanisms: Mechanism[] = []
  let redirect: MacroString | undefined
  let explanation: MacroString | undefined
  const terms = text.slice(6).split(' ').filter(Boolean)
  if (terms.length > MAX_TERMS) throw new SpfSyntaxError(`the record has more than ${MAX_TERMS} terms`)
  for (const term of terms) {
    const modifier = /^([a-z][a-z0-9_.-]*)=(.*)$/is.exec(term)
    if (modifier === null) {
      mechanisms.push(mechanism(term))
      continue
    }
    const [, name = '', value = ''] = modifier
    switch (name.toLowerCase()) {
      case 'redirect':
        if (redirect !== undefined) throw new SpfSyntaxError('redirect stands there twice')
        redirect = domainSpec(value, term)
        break
      case 'exp':
        if (explanation !== undefined) throw new SpfSyntaxError('exp stands there twice')
        explanation = domainSpec(value, term)
        break
      default:
        // RFC 7208 §6: unknown modifiers are ignored, yet must be well-formed.
        if (parseMacros(value) === undefined) throw new SpfSyntaxError(`cannot read ${shown(term)}`)
    }
  }
  return { mechanisms, redirect, explanation }
}

function mechanism(text: string): Mechanism {
  const [, qualifier = '', name = '', rest = ''] = /^([+\-~?]?)([a-z0-9]+)(.*)$/is.exec(text) ?? []
  const result = QUALIFIERS[qualifier] ?? 'pass'
  const broken = new SpfSyntaxError(`cannot read ${shown(text)}`)
  const base = { result, text }
  switch (name.toLowerCase()) {
    case 'all':
      if (rest !== '') throw broken
      return { ...base, kind: 'all' }
    case 'include':
      return { ...base, kind: 'include', domain: domainSpec(argument(rest) ?? '', text) }
    case 'exists':
      return { ...base, kind: 'exists', domain: domainSpec(argument(rest) ?? '', text) }
    case 'ptr': {
      const domain = argument(rest)
      if (domain === undefined && rest !== '') throw broken
      return { ...base, kind: 'ptr', domain: domain === undefined ? undefined : domainSpec(domain, text) }
    }
    case 'a':
      return { ...base, kind: 'a', ...withPrefixes(rest, text) }
    case 'mx':
      return { ...base, kind: 'mx', ...withPrefixes(rest, text) }
    case 'ip4':
      return { ...base, kind: 'ip', ...network(rest, 4, 32, text) }
    case 'ip6':
      return { ...base, kind: 'ip', ...network(rest, 16, 128, text) }
    default:
      throw new SpfSyntaxError(`there is no mechanism ${shown(text)}`)
  }
}

const argument = (rest: string): string | undefined => (rest.startsWith(':') ? rest.slice(1) : undefined)

function domainSpec(value: string, term: string): MacroString {
  const parsed = parseDomainSpec(value)
  if (parsed === undefined) throw new SpfSyntaxError(`cannot read the domain in ${shown(term)}`)
  return parsed
}

/** `[":" domain-spec] ["/" bits] ["//" bits]` */
function withPrefixes(rest: string, term: string) {
  const [, target = '', four, six] = /^(.*?)(?:\/([0-9]+))?(?:\/\/([0-9]+))?$/s.exec(rest) ?? []
  const domain = argument(target)
  if (domain === undefined && target !== '') throw new SpfSyntaxError(`cannot read ${shown(term)}`)
  return {
    domain: domain === undefined ? undefined : domainSpec(domain, term),
    bits4: four === undefined ? 32 : prefix(four, 32, term),
    bits6: six === undefined ? 128 : prefix(six, 128, term),
  }
}

function network(rest: string, octets: number, most: number, term: string) {
  const [, address = '', bits] = /^:([^/]*)(?:\/([0-9]+))?$/s.exec(rest) ?? []
  const parsed = parseNetwork(address)
  if (parsed === undefined || parsed.length !== octets) throw new SpfSyntaxError(`no address in ${shown(term)}`)
  return { network: parsed, bits: bits === undefined ? most : prefix(bits, most, term) }
}

function prefix(text: string, most: number, term: string): number {
  // RFC 7208 §12: no leading zeros.
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(text) || Number(text) > most)
    throw new SpfSyntaxError(`no such prefix length in ${shown(term)}`)
  return Number(text)
}

/** A term as text for logs and header fields: it came from a stranger. */
const shown = (term: string): string => JSON.stringify(term.slice(0, 80).replace(/[^\x20-\x7e]/g, '?'))

/** Parsed records by their text, so that what many mails ask for is parsed once. */
export class SpfRecords {
  readonly #parsed: LRUCache<string, SpfRecord | SpfSyntaxError>

  constructor(max = 1000) {
    this.#parsed = new LRUCache({ max })
  }

  /** As `parseSpfRecord`. */
  parse(text: string): SpfRecord {
    let parsed = this.#parsed.get(text)
    if (parsed === undefined) {
      try {
        parsed = parseSpfRecord(text)
      } catch (error) {
        if (!(error instanceof SpfSyntaxError)) throw error
        parsed = error
      }
      if (text.length <= RECORD_LENGTH) this.#parsed.set(text, parsed)
    }
    if (parsed instanceof SpfSyntaxError) throw parsed
    return parsed
  }
}
