// TLS on a connection: the handshake, what it settled on, and the settings that all connections share.

import { constants, createHash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket, createSecureContext, type SecureContext } from 'node:tls'
import * as v from 'valibot'
import type { Clock } from '../kernel/clock.ts'
import { duration } from '../kernel/units.ts'
import type { KeyPair } from './certificate-files.ts'
import type { ChannelBindings, TlsFacts } from './contracts.ts'

const filePath = v.pipe(v.string(), v.minLength(1, 'expected a path'))
const passphrase = v.optional(v.pipe(v.string(), v.description('of an encrypted key, best as ${file:/path}')))

const pairConfig = v.strictObject({
  certificate: v.pipe(filePath, v.description('PEM file: the certificate, then the intermediate ones')),
  key: v.pipe(filePath, v.description('PEM file of its private key')),
  passphrase,
})

/** The `tls` part of the config. Where no certificate is named, a self-signed one is made. */
export const tlsConfig = v.pipe(
  v.strictObject({
    certificate: v.optional(v.pipe(filePath, v.description('PEM file: the certificate, then the intermediate ones'))),
    key: v.optional(v.pipe(filePath, v.description('PEM file of its private key'))),
    passphrase,
    certificates: v.optional(
      v.pipe(
        v.array(pairConfig),
        v.minLength(1, 'expected at least one pair'),
        v.description(
          'several pairs, chosen by the name that the client asks for; the first is for clients that ask for none',
        ),
      ),
    ),
    directory: v.optional(
      v.pipe(
        filePath,
        v.description('a folder of pairs: NAME.crt with NAME.key, or NAME/fullchain.pem with NAME/privkey.pem'),
      ),
    ),
    'minimum-version': v.optional(
      v.pipe(v.picklist(['1.2', '1.3']), v.description('the oldest TLS version that is spoken')),
      '1.2',
    ),
    'handshake-timeout': v.pipe(duration('30s'), v.description('how long a client may take for the handshake')),
  }),
  v.check(
    (tls) => (tls.certificate === undefined) === (tls.key === undefined),
    'certificate and key go together: one of them is missing',
  ),
  v.check(
    (tls) => [tls.certificate, tls.certificates, tls.directory].filter((source) => source !== undefined).length <= 1,
    'expected only one of certificate, certificates and directory',
  ),
  v.description('Certificates and TLS versions. Without a certificate, a self-signed one is made in the data folder.'),
)
export type TlsConfig = v.InferOutput<typeof tlsConfig>

// Forward secrecy and authenticated encryption only (RFC 9325 §4.2); the AES-128 first, because it is the cheapest and strong enough.
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** PEM of the authorities whose word counts for certificates of peers, and of their revocation lists, where those count. */
export interface Trust {
  readonly ca: string
  readonly crl?: readonly string[] | undefined
}

/**
 * The TLS settings of one certificate, shared by all its connections (a context costs some 30 KiB, a connection that shares it none of that).
 * `trust`: Node's own authorities count if it is not given.
 * `ticketKeys` (48 octets) are shared by all contexts, so that a session is resumed whatever name it began with and across reloads.
 */
export function serverContext(
  pair: KeyPair,
  ticketKeys: Buffer,
  minimum: TlsConfig['minimum-version'],
  trust?: Trust,
): SecureContext {
  const { ca, crl } = trust ?? {}
  return createSecureContext({
    ...(ca !== undefined && { ca }),
    ...(crl !== undefined && { crl: [...crl] }),
    cert: pair.certificate,
    key: pair.key.export({ type: 'pkcs8', format: 'pem' }),
    minVersion: minimum === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    // No renegotiation: it only ever served attacks (CVE-2011-1473), and TLS 1.3 has none. Clients with AES hardware get AES, phones without it ChaCha20.
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_NO_COMPRESSION |
      constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
      constants.SSL_OP_PRIORITIZE_CHACHA,
    // What was proved to one set of authorities is not resumed where others count.
    sessionIdContext: trust === undefined ? 'aviso' : `aviso-${fingerprint(trust).slice(0, 20)}`,
    ticketKeys,
  })
}

const fingerprint = ({ ca, crl = [] }: Trust): string =>
  createHash('sha256')
    .update(JSON.stringify([ca, ...crl]))
    .digest('hex')

/** How a server asks for the certificate of a name; `callback` may be called at once. */
export type SniCallback = (serverName: string, callback: (error: Error | null, context?: SecureContext) => void) => void

/** What a handshake needs. One object serves all connections of a listener. */
export interface HandshakeTerms {
  readonly secureContext: SecureContext
  /** Absent where there is only one certificate: then nothing has to be chosen. */
  readonly SNICallback?: SniCallback
  /** The certificate that all of them are shown, where there is only one: OpenSSL makes a copy each time that it is asked. */
  readonly endPoint?: EndPoint
  readonly ALPNProtocols?: string[]
  /** The client is asked for a certificate; the handshake goes on whatever it shows. */
  readonly requestCert?: boolean
  readonly rejectUnauthorized?: boolean
}

/** Why a handshake failed: `timeout`, `closed` (the peer went away), or OpenSSL's reason. */
export class HandshakeError extends Error {
  readonly reason: string
  constructor(reason: string, options?: ErrorOptions) {
    super(`TLS handshake failed: ${reason}`, options)
    this.name = 'HandshakeError'
    this.reason = reason
  }
}

const ignore = (): void => {}

/**
 * Makes the server's side of a TLS handshake on `socket`, whose unread octets are taken as its beginning. Resolves with the encrypted stream. Rejects with a
 * HandshakeError, the socket destroyed, when the handshake fails or takes longer than `timeout` milliseconds.
 */
export function handshake(socket: Socket, terms: HandshakeTerms, timeout: number, clock: Clock): Promise<TLSSocket> {
  const { endPoint: _, ...options } = terms
  return new Promise((resolve, reject) => {
    const secured = new TLSSocket(socket, { isServer: true, requestCert: false, ...options })
    let problem: Error | undefined
    const timer = clock.timeout(timeout, () => settle(new HandshakeError('timeout')))
    const onError = (error: Error): void => void (problem ??= error)
    const onClose = (): void =>
      settle(new HandshakeError(problem === undefined ? 'closed' : openSslReason(problem), { cause: problem }))
    const onSecure = (): void => settle(undefined)
    // After the last listener is gone an error must not end the process; after the handshake 'close' follows every error, and sessions look there.
    secured.on('error', ignore)
    secured.on('error', onError).once('close', onClose).once('secure', onSecure)
    function settle(failure: HandshakeError | undefined): void {
      timer.cancel()
      secured.off('error', onError).off('close', onClose).off('secure', onSecure)
      if (failure === undefined) {
        // A bad record after the handshake: without a tls.Server around it, a TLSSocket tells this event alone and would stay open, deaf, for ever.
        secured.once('_tlsError', destroyThis)
        resolve(secured)
      } else {
        secured.destroy()
        socket.destroy()
        reject(failure)
      }
    }
  })
}

function destroyThis(this: TLSSocket): void {
  this.destroy()
}

const openSslReason = (error: Error): string => {
  const { reason, code } = error as { reason?: string; code?: string }
  return reason ?? code ?? error.message
}

/**
 * What OpenSSL found of the peer's chain. A tls.Server copies it to `authorized`; a server's TLSSocket without one has it at its handle only. Whatever is not a clear
 * "no error" counts as one.
 */
function isVerified(socket: TLSSocket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null || !('verifyError' in handle)) return false
  const { verifyError } = handle
  return typeof verifyError === 'function' && verifyError.call(handle) === null
}

const NO_BINDINGS: ReadonlyMap<string, Uint8Array> = new Map()

/** What TLS settled on, read from the socket when somebody asks: an idle connection keeps nothing of it. */
export class SocketTlsFacts implements TlsFacts {
  readonly #socket: TLSSocket
  readonly #endPoint: EndPoint | undefined

  constructor(socket: TLSSocket, endPoint?: EndPoint) {
    this.#socket = socket
    this.#endPoint = endPoint
  }

  get protocol(): string {
    return this.#socket.getProtocol() ?? 'none'
  }

  get cipher(): string {
    return this.#socket.getCipher().name
  }

  get serverName(): string | undefined {
    return this.#socket.servername || undefined
  }

  get alpn(): string | undefined {
    return this.#socket.alpnProtocol || undefined
  }

  get clientCertificate(): { readonly certificate: X509Certificate; readonly trusted: boolean } | undefined {
    const certificate = this.#socket.destroyed ? undefined : this.#socket.getPeerX509Certificate()
    return certificate && { certificate, trusted: isVerified(this.#socket) }
  }

  get channelBinding(): ChannelBindings {
    return this.#socket.destroyed ? NO_BINDINGS : new SocketBindings(this.#socket, this.#endPoint)
  }
}

/** What the session of a socket can be bound to. */
class SocketBindings implements ChannelBindings {
  readonly #socket: TLSSocket
  readonly #endPoint: EndPoint
  readonly #types: readonly string[]

  constructor(socket: TLSSocket, known: EndPoint | undefined) {
    this.#socket = socket
    this.#endPoint = known ?? endPoint(socket.getX509Certificate())
    const types: string[] = []
    // RFC 9266 §4.2: below TLS 1.3 the exporter is only unique with extended master secrets, of which Node does not tell.
    if (socket.getProtocol() === 'TLSv1.3') types.push('tls-exporter')
    // RFC 5929 §3. RFC 9266 §3 leaves it undefined for TLS 1.3, yet clients of today (slixmpp) bind to the client's Finished there too, and offering -PLUS
    // without it locks them out. A resumed session has none: its Finished does not prove that the certificate was seen.
    if (!socket.isSessionReused()) types.push('tls-unique')
    if (this.#endPoint.binding !== undefined) types.push('tls-server-end-point')
    this.#types = types
  }

  get size(): number {
    return this.#types.length
  }

  has(type: string): boolean {
    return this.#types.includes(type)
  }

  keys(): Iterable<string> {
    return this.#types
  }

  get(type: string): Uint8Array | undefined {
    const socket = this.#socket
    if (socket.destroyed || !this.has(type)) return undefined
    if (type === 'tls-exporter') return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
    return type === 'tls-unique' ? socket.getPeerFinished() : this.#endPoint.binding
  }
}

/** What sessions can be bound to by the server's certificate; `binding` is undefined where that cannot be told. */
export interface EndPoint {
  readonly binding: Uint8Array | undefined
}

/** RFC 5929 §4. */
export function endPoint(certificate: X509Certificate | undefined): EndPoint {
  const hash = certificate === undefined ? undefined : endPointHash(certificate.signatureAlgorithm)
  if (certificate === undefined || hash === undefined) return { binding: undefined }
  return { binding: createHash(hash).update(certificate.raw).digest() }
}

/** RFC 5929 §4.1: the hash of the certificate's signature, SHA-256 in place of MD5 and SHA-1; undefined where the signature has no single hash (Ed25519, RSA-PSS). */
export function endPointHash(signatureAlgorithm: string | undefined): string | undefined {
  const match = /(?:^|-)(md5|sha1|sha224|sha256|sha384|sha512)(?:With|$)/i.exec(signatureAlgorithm ?? '')
  const hash = match?.[1]?.toLowerCase()
  return hash === 'md5' || hash === 'sha1' ? 'sha256' : hash
}
