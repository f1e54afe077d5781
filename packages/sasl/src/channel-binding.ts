// RFC 5056, 5929 and 9266: what ties a login to the TLS session it runs in.

import { createHash, X509Certificate } from 'node:crypto'

export type ChannelBindingType = 'tls-exporter' | 'tls-unique' | 'tls-server-end-point'

/** The channel bindings of one session. */
export interface ChannelBinding {
  /** Those that can be had, the best first; the server announces them (XEP-0440). */
  readonly types: readonly ChannelBindingType[]
  /** The octets that both ends compute alike; undefined when they cannot be had. */
  value(type: ChannelBindingType): Uint8Array | undefined
}

/** What is used of a `tls.TLSSocket`. */
export interface TlsSession {
  getProtocol(): string | null
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer
  getFinished(): Buffer | undefined
  getPeerFinished(): Buffer | undefined
  isSessionReused(): boolean
}

/**
 * The bindings of a TLS session: tls-exporter in TLS 1.3 (RFC 9266), tls-unique before (RFC 5929 §3; not defined for 1.3), tls-server-end-point when
 * the server's certificate (DER) is given. Values are computed when asked for.
 */
export function tlsChannelBinding(
  session: TlsSession,
  end: 'server' | 'client',
  certificate?: Uint8Array,
): ChannelBinding {
  const modern = session.getProtocol() === 'TLSv1.3'
  const types: ChannelBindingType[] = [modern ? 'tls-exporter' : 'tls-unique']
  if (certificate) types.push('tls-server-end-point')
  return {
    types,
    value(type) {
      if (!types.includes(type)) return undefined
      if (type === 'tls-exporter') return session.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
      if (type === 'tls-server-end-point') return certificate && serverEndPoint(certificate)
      // The first Finished of the handshake: the client's in a full one, the server's in a resumed one.
      const clients = !session.isSessionReused()
      const value = clients === (end === 'client') ? session.getFinished() : session.getPeerFinished()
      return value && value.length > 0 ? value : undefined
    },
  }
}

/** RFC 5929 §4.1: the certificate hashed with the hash of its signature, SHA-256 in place of MD5 and SHA-1 and where there is none. */
export function serverEndPoint(certificate: Uint8Array): Uint8Array {
  const algorithm = new X509Certificate(certificate).signatureAlgorithm ?? ''
  const hash = /sha-?(384|512|224)/i.exec(algorithm)?.[1]
  return createHash(hash === undefined ? 'sha256' : `sha${hash}`)
    .update(certificate)
    .digest()
}
