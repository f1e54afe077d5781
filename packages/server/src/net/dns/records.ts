// What an answer says about a name: its CNAMEs followed, its records read, everything else in it left alone.

import type { Answer as PacketRecord } from 'dns-packet'
import type { MxRecord, SrvRecord, TlsaRecord } from './contracts.ts'
import { dnsName } from './names.ts'
import type { QuestionType } from './packet.ts'

/** More CNAMEs in a row than this are a mistake or a trap. */
export const MAX_CNAMES = 8

/** Seconds that an answer is kept at most (RFC 8767 §4 advises a week at most; who changes records expects a day). */
const MAX_TTL = 86_400
/** RFC 2308 §5: of "there is none", one to three hours. */
const MAX_NEGATIVE_TTL = 3600

/** Where the CNAMEs of an answer lead, and what stands there. */
export interface Found {
  readonly name: string
  /** Records of the type asked for that stand at `name`. */
  readonly records: readonly PacketRecord[]
  /** Seconds; of everything used. */
  readonly ttl: number
  /** CNAMEs followed. */
  readonly steps: number
}

/** Follows the CNAMEs of an answer from `name`. Undefined for one that contradicts itself or goes round in circles. Records of other names (of whatever domain) are not looked at. */
export function follow(answers: readonly PacketRecord[], name: string, type: QuestionType): Found | undefined {
  let at = name
  let ttl = MAX_TTL
  const seen = new Set<string>()
  for (;;) {
    const here = answers.filter(
      (record) => record.type !== 'OPT' && record.class === 'IN' && dnsName(record.name) === at,
    )
    const records = here.filter((record) => record.type === type)
    for (const record of records) ttl = Math.min(ttl, ttlOf(record))
    if (records.length > 0 || type === 'CNAME') return { name: at, records, ttl, steps: seen.size }
    const targets = new Set<string | undefined>()
    for (const record of here) {
      if (record.type !== 'CNAME') continue
      targets.add(dnsName(record.data))
      ttl = Math.min(ttl, ttlOf(record))
    }
    if (targets.size === 0) return { name: at, records, ttl, steps: seen.size }
    const [target] = targets
    seen.add(at)
    if (targets.size > 1 || target === undefined || seen.has(target) || seen.size > MAX_CNAMES) return undefined
    at = target
  }
}

/** RFC 2308 §5: seconds that "there is none" may be kept; undefined where the answer has no SOA, so that nothing says that it is whole. */
export function negativeTtl(authorities: readonly PacketRecord[]): number | undefined {
  for (const record of authorities)
    if (record.type === 'SOA') return Math.min(MAX_NEGATIVE_TTL, ttlOf(record), record.data.minimum ?? 0)
  return undefined
}

/** RFC 2181 §8: a TTL with its highest bit set counts as none. */
const ttlOf = (record: PacketRecord): number => {
  const ttl = 'ttl' in record ? (record.ttl ?? 0) : 0
  return ttl > 0x7fffffff ? 0 : ttl
}

/** Reads the data of records. Those that are no proper ones of their type (a name that is none) are left out. */
export const readers = {
  address: (records: readonly PacketRecord[]): string[] =>
    records.flatMap((record) => (record.type === 'A' || record.type === 'AAAA' ? [record.data] : [])),

  names: (records: readonly PacketRecord[]): string[] =>
    records.flatMap((record) => (record.type === 'PTR' || record.type === 'CNAME' ? (dnsName(record.data) ?? []) : [])),

  mx: (records: readonly PacketRecord[]): MxRecord[] =>
    records.flatMap((record) => {
      if (record.type !== 'MX') return []
      const exchange = nameOrRoot(record.data.exchange)
      return exchange === undefined ? [] : [{ preference: record.data.preference ?? 0, exchange }]
    }),

  txt: (records: readonly PacketRecord[]): string[] =>
    records.flatMap((record) => {
      if (record.type !== 'TXT') return []
      const strings = Array.isArray(record.data) ? record.data : [record.data]
      return [Buffer.concat(strings.map((string) => Buffer.from(string))).toString('utf8')]
    }),

  srv: (records: readonly PacketRecord[]): SrvRecord[] =>
    records.flatMap((record) => {
      if (record.type !== 'SRV') return []
      const target = nameOrRoot(record.data.target)
      const { priority = 0, weight = 0, port } = record.data
      return target === undefined ? [] : [{ priority, weight, port, target }]
    }),

  tlsa: (records: readonly PacketRecord[]): TlsaRecord[] =>
    records.flatMap((record) => {
      if (record.type !== 'TLSA') return []
      const { usage, selector, matchingType, certificate } = record.data
      // Copied: what is kept must not hold the whole packet in memory.
      return [{ usage, selector, matchingType, data: Uint8Array.from(certificate) }]
    }),
}

/** `''` for the root, which means "none" in MX and SRV. */
const nameOrRoot = (name: string): string | undefined => (name === '.' || name === '' ? '' : dnsName(name))
