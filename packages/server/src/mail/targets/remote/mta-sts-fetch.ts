// RFC 8461 §3.3: fetching a policy by HTTPS.

import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { SecureContext } from 'node:tls'
import type { Resolver } from '../../../net/dns/contracts.ts'
import { interleaved } from '../../../net/dns/addresses.ts'
import type { TlsFailureType } from './tls-results.ts'

/** Octets of a policy; RFC 8461 §3.3 suggests this bound. */
const MAX_OCTETS = 65_536
/** Milliseconds for all of it. */
const TIMEOUT = 60_000

/** Why a policy could not be had. */
export class StsFetchError extends Error {
  readonly type: TlsFailureType
  constructor(type: TlsFailureType, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StsFetchError'
    this.type = type
  }
}

/** Gets the text of a domain's policy. Rejects with a StsFetchError. */
export type FetchSts = (domain: string, signal: AbortSignal) => Promise<string>

export interface FetchOptions {
  readonly resolver: Resolver
  /** Whom to trust; the authorities that Node brings, if not given. */
  readonly trust?: SecureContext | undefined
  /** 443, but for tests. */
  readonly port?: number
}

/** Fetches by HTTPS: with a certificate of a public authority for `mta-sts.DOMAIN`, without following redirects, plain text only, 64 KiB and a minute at most. */
export const httpsFetch =
  (options: FetchOptions): FetchSts =>
  async (domain, signal) => {
    const host = `mta-sts.${domain}`
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)])
    return get(host, await addressesOf(host, options.resolver, limit), options, limit)
  }

interface FoundAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** By our own resolver, so that everything is asked of the servers that the config names. */
async function addressesOf(host: string, resolver: Resolver, signal: AbortSignal): Promise<readonly FoundAddress[]> {
  const [six, four] = await Promise.allSettled([resolver.aaaa(host, signal), resolver.a(host, signal)])
  const of = (found: typeof six, family: 4 | 6): readonly FoundAddress[] =>
    found.status === 'fulfilled' ? found.value.records.map((address) => ({ address, family })) : []
  const addresses = interleaved(of(six, 6), of(four, 4))
  if (addresses.length === 0) throw new StsFetchError('sts-policy-fetch-error', `no address of ${host} is to be had`)
  return addresses
}

/** A lookup that knows its answer. */
const knowing =
  (addresses: readonly FoundAddress[]): LookupFunction =>
  (_host, { all }, callback) => {
    const [first] = addresses
    if (all === true || first === undefined) callback(null, [...addresses])
    else callback(null, first.address, first.family)
  }

const get = (
  host: string,
  addresses: readonly FoundAddress[],
  { trust, port = 443 }: FetchOptions,
  signal: AbortSignal,
): Promise<string> =>
  new Promise((resolve, reject) => {
    const fail = (type: TlsFailureType, message: string, cause?: unknown): void => {
      reject(new StsFetchError(type, message, { cause }))
      asking.destroy()
    }
    const asking = request({
      host,
      port,
      path: '/.well-known/mta-sts.txt',
      method: 'GET',
      headers: { host: port === 443 ? host : `${host}:${port}`, accept: 'text/plain', 'user-agent': 'aviso' },
      servername: host,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      // A policy is fetched once a day: a connection kept open would only be in the way.
      agent: false,
      signal,
      lookup: knowing(addresses),
      maxHeaderSize: 16_384,
      ...(trust === undefined ? {} : { secureContext: trust }),
    })
    asking.on('error', (error: NodeJS.ErrnoException) => {
      const tls = error.code !== undefined && !/^(?:E[A-Z]+|ABORT_ERR|HPE_.*)$/.test(error.code)
      fail(tls ? 'sts-webpki-invalid' : 'sts-policy-fetch-error', error.code ?? error.message, error)
    })
    asking.on('response', (response) => {
      // RFC 8461 §3.3: redirects are not followed, and nothing but 200 counts.
      if (response.statusCode !== 200)
        return fail('sts-policy-fetch-error', `the answer was ${String(response.statusCode)}`)
      const type = (response.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase()
      if (type !== 'text/plain') return fail('sts-policy-invalid', `the content type was '${type ?? ''}'`)
      const pieces: Buffer[] = []
      let octets = 0
      response.on('data', (piece: Buffer) => {
        octets += piece.length
        if (octets > MAX_OCTETS) return fail('sts-policy-invalid', `the policy has more than ${MAX_OCTETS} octets`)
        pieces.push(piece)
      })
      response.on('error', (error) => fail('sts-policy-fetch-error', error.message, error))
      response.on('end', () => {
        if (response.complete) resolve(Buffer.concat(pieces).toString('utf8'))
        else fail('sts-policy-fetch-error', 'the answer broke off')
      })
    })
    asking.end()
  })
