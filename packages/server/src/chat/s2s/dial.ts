// A connection to one address of another server, TLS on it, and what its certificate proves.

import { isIP, connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../kernel/clock.ts'
import type { Network } from '../../net/contracts.ts'
import { chainOf, daneMatches } from '../../net/dane.ts'
import type { Assurance, Hop } from './hops.ts'
import { alternativeNames } from '../../net/alternative-names.ts'
import { isFor, isForHost } from './identity.ts'

export interface DialTools {
  readonly clock: Clock
  /** For our certificate; undefined where there is none. */
  readonly network: Network | undefined
  /** PEM of the authorities to believe; undefined for those of Node itself. */
  readonly ca: string | undefined
  /** Milliseconds. */
  readonly connectTimeout: number
}

const KEEPALIVE_MS = 120_000
const ignore = (): void => {}

/** Connects. Rejects with the reason, or the signal's. */
export function connected(
  { address, port }: Hop,
  { clock, connectTimeout }: DialTools,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect({ host: address, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS })
    const settle = (error: Error | undefined): void => {
      timer.cancel()
      signal.removeEventListener('abort', abort)
      socket.off('error', settle).off('connect', done)
      // What comes later is told by 'close'.
      socket.on('error', ignore)
      if (error === undefined) return resolve(socket)
      socket.destroy()
      reject(error)
    }
    const done = (): void => settle(undefined)
    const abort = (): void => settle(signal.reason instanceof Error ? signal.reason : new Error('given up'))
    const timer = clock.timeout(connectTimeout, () => settle(new Error('no answer')))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('error', settle).once('connect', done)
  })
}

/**
 * Makes the client's side of a TLS handshake, showing the certificate of `from`. Whether the other one is to be believed is asked by {@link doubtOf} afterwards. Rejects
 * when it fails or takes too long.
 */
export function secured(
  socket: Duplex,
  from: string,
  to: string,
  { clock, network, ca, connectTimeout }: DialTools,
  alpn?: string[],
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      secureContext:
        network?.secureContext(from, ca) ??
        createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) }),
      ...(isIP(to) === 0 && { servername: to }),
      ...(alpn !== undefined && { ALPNProtocols: alpn }),
      // The names are looked at by ourselves, and a server without a good certificate may do with dialback.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    })
    const settle = (error: Error | undefined): void => {
      timer.cancel()
      tls.off('error', settle).off('secureConnect', done).off('close', closed)
      tls.on('error', ignore)
      if (error === undefined) return resolve(tls)
      tls.destroy()
      socket.destroy()
      reject(error)
    }
    const done = (): void => settle(undefined)
    const closed = (): void => settle(new Error('the connection ended during the TLS handshake'))
    const timer = clock.timeout(connectTimeout, () => settle(new Error('the TLS handshake took too long')))
    tls.once('error', settle).once('secureConnect', done).once('close', closed)
  })
}

/** What there is to say against the other server's certificate. */
export interface Doubt {
  readonly text: string
  /** It cannot be made up for by other proofs: the domain has said in the DNS which certificates there are (RFC 7671 §10.1). */
  readonly final: boolean
}

/** Whether the certificate of a connection that we have made proves that this is the server of `domain`; undefined where it does. `now`: milliseconds since the epoch. */
export function doubtOf(socket: Duplex, domain: string, { dane, delegate }: Assurance, now: number): Doubt | undefined {
  if (!isTls(socket)) return { text: 'the connection is not encrypted', final: dane.kind !== 'none' }
  if (dane.kind === 'records')
    return daneMatches(dane.records, chainOf(socket), dane.names, now)
      ? undefined
      : { text: 'its certificate is none of those that its TLSA records name', final: true }
  const text = complaint(socket, domain, delegate)
  return text === undefined ? undefined : { text, final: false }
}

function complaint(socket: TLSSocket, domain: string, delegate: string | undefined): string | undefined {
  if (!socket.authorized) return faultOf(socket.authorizationError)
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return 'it shows no certificate'
  if (isFor(certificate, domain) || (delegate !== undefined && isForHost(certificate, delegate))) return undefined
  const names = alternativeNames(certificate.subjectAltName ?? '').map(([, name]) => name)
  const others = names.length === 0 ? 'nobody' : names.slice(0, 3).join(', ') + (names.length > 3 ? ' ...' : '')
  return `its certificate is not for ${domain} but for ${others}`
}

const UNTRUSTED = 'its certificate comes from an issuer that is not trusted here'
/** By OpenSSL's names. */
const FAULTS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'its certificate has expired'],
  ['CERT_NOT_YET_VALID', 'its certificate is not valid yet'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is self-signed'],
  ['CERT_REVOKED', 'its certificate is revoked'],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT', UNTRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNTRUSTED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNTRUSTED],
  ['CERT_UNTRUSTED', UNTRUSTED],
])

/** What is wrong with a certificate, for people. @param reason as Node has it: OpenSSL's name of the error, or an Error with that as its `code`. */
export function faultOf(reason: unknown): string {
  const code = reason instanceof Error ? ((reason as Error & { code?: string }).code ?? reason.message) : String(reason)
  return FAULTS.get(code) ?? `its certificate is not valid (${code})`
}

const isTls = (socket: Duplex): socket is TLSSocket => 'authorized' in socket && 'getPeerX509Certificate' in socket
