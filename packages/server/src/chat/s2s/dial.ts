// A connection to one address of another server, and TLS on it.

import { isIP, connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../kernel/clock.ts'
import type { Network } from '../../net/contracts.ts'
import type { Hop } from './hops.ts'
import { isFor } from './identity.ts'

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

/** Connects; with direct TLS, makes the handshake as well. Rejects with the reason, or the signal's. */
export async function dial(hop: Hop, from: string, to: string, tools: DialTools, signal: AbortSignal): Promise<Duplex> {
  const socket = await connected(hop, tools, signal)
  return hop.direct ? secured(socket, from, to, tools, ['xmpp-server']) : socket
}

function connected({ address, port }: Hop, { clock, connectTimeout }: DialTools, signal: AbortSignal): Promise<Socket> {
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
 * Makes the client's side of a TLS handshake, showing the certificate of `from`. Whether the other one is to be believed is asked by {@link trusted} afterwards. Rejects
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

/** Why the certificate of a connection that we have made does not prove that this is the server of `domain`; undefined where it does. */
export function complaint(socket: Duplex, domain: string): string | undefined {
  if (!isTls(socket)) return 'the connection is not encrypted'
  if (!socket.authorized) {
    const reason: unknown = socket.authorizationError
    return `its certificate is not valid (${reason instanceof Error ? reason.message : String(reason)})`
  }
  const certificate = socket.getPeerX509Certificate()
  return certificate !== undefined && isFor(certificate, domain) ? undefined : `its certificate is not for ${domain}`
}

const isTls = (socket: Duplex): socket is TLSSocket => 'authorized' in socket && 'getPeerX509Certificate' in socket
