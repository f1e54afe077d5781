// The certificates in use: chosen by the name that the client asks for, read again when they change, watched for their end.

import type { SecureContext } from 'node:tls'
import type { Scope } from '../kernel/scope.ts'
import { findCertificates, readKeyPair, type CertificateFiles, type KeyPair } from './certificate-files.ts'
import type { ListenOptions } from './contracts.ts'
import { endPoint, type EndPoint, serverContext, type HandshakeTerms, type TlsConfig, type Trust } from './tls.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A certificate ready for use. */
interface Loaded {
  readonly pair: KeyPair
  readonly context: SecureContext
  readonly endPoint: EndPoint
}

/** What is known of one certificate: for status pages. */
export interface CertificateStatus {
  readonly file: string
  readonly names: readonly string[]
  /** Milliseconds since the epoch. */
  readonly notAfter: number
}

/** The keys of session tickets, made anew every day: what they protect must not outlive them by long. */
class TicketKeys {
  readonly #scope: Scope
  #keys: Buffer
  #madeAt: number

  constructor(scope: Scope) {
    this.#scope = scope
    this.#keys = scope.random.bytes(48)
    this.#madeAt = scope.clock.now()
  }

  /** 48 octets, not older than a day. */
  current(): Buffer {
    if (this.#scope.clock.now() - this.#madeAt >= DAY) {
      this.#keys = this.#scope.random.bytes(48)
      this.#madeAt = this.#scope.clock.now()
    }
    return this.#keys
  }
}

/**
 * Reads the certificates that the config names, or `fallback` (the self-signed one) where it names none. They are read again every hour, so that a renewed
 * certificate needs no reload; one that has become unreadable is logged and the one in use stays. Rejects with a StartError at the first reading.
 */
export async function loadCertificates(
  scope: Scope,
  config: TlsConfig,
  fallback?: () => Promise<CertificateFiles>,
): Promise<Certificates> {
  // Kept over reloads, so that clients can resume their sessions.
  const keys = await scope.keep({ name: 'tls-ticket-keys' }, (kept): TicketKeys => new TicketKeys(kept))
  const read = async (): Promise<readonly KeyPair[]> => Promise.all((await sources(config, fallback)).map(readKeyPair))
  const certificates = new Certificates(scope, config, await read(), keys)
  scope.interval(HOUR, async () => {
    try {
      certificates.replace(await read())
    } catch (error) {
      scope.log.error({ reason: (error as Error).message }, 'certificates could not be read again: those in use stay')
      certificates.watch()
    }
  })
  return certificates
}

async function sources(
  config: TlsConfig,
  fallback: (() => Promise<CertificateFiles>) | undefined,
): Promise<readonly CertificateFiles[]> {
  if (config.certificate !== undefined && config.key !== undefined) {
    return [{ certificate: config.certificate, key: config.key, passphrase: config.passphrase }]
  }
  if (config.certificates !== undefined) return config.certificates
  if (config.directory !== undefined) {
    return (await findCertificates(config.directory)).map((files) => ({ ...files, passphrase: config.passphrase }))
  }
  return fallback === undefined ? [] : [await fallback()]
}

/** The certificates of one generation of the configuration. */
export class Certificates {
  readonly #scope: Scope
  readonly #minimum: TlsConfig['minimum-version']
  readonly #keys: { current(): Buffer }
  #loaded: readonly Loaded[] = []
  #byName = new Map<string, Loaded>()
  /** Contexts that believe other authorities, by those: made when they are asked for, and anew with other revocation lists. */
  #others = new WeakMap<Loaded, Map<string, { readonly crl: Trust['crl']; readonly context: SecureContext }>>()
  #ticketKeys: Buffer | undefined
  /** How long a client may take for the handshake, in milliseconds. */
  readonly handshakeTimeout: number

  constructor(
    scope: Scope,
    config: Pick<TlsConfig, 'minimum-version' | 'handshake-timeout'>,
    pairs: readonly KeyPair[],
    keys: { current(): Buffer },
  ) {
    this.#scope = scope
    this.#minimum = config['minimum-version']
    this.#keys = keys
    this.handshakeTimeout = config['handshake-timeout']
    this.replace(pairs)
  }

  /** Takes these certificates into use for new connections. */
  replace(pairs: readonly KeyPair[]): void {
    const ticketKeys = this.#keys.current()
    const before = ticketKeys === this.#ticketKeys ? this.#loaded : []
    this.#ticketKeys = ticketKeys
    this.#loaded = pairs.map((pair) => {
      const same = before.find((old) => old.pair.certificate === pair.certificate && old.pair.key.equals(pair.key))
      return same ?? { pair, context: serverContext(pair, ticketKeys, this.#minimum), endPoint: endPoint(pair.leaf) }
    })
    this.#byName = new Map()
    for (const loaded of this.#loaded) {
      for (const name of loaded.pair.names) if (!this.#byName.has(name)) this.#byName.set(name, loaded)
    }
    this.watch()
  }

  /** Warns of certificates that have ended, are about to, or do not hold yet; sets their metric. */
  watch(): void {
    const { log, clock, metrics } = this.#scope
    const gauge = metrics.gauge(
      'aviso_certificate_not_after_seconds',
      'When the certificate ends, in seconds since the epoch',
      ['file'],
    )
    for (const { pair } of this.#loaded) {
      const file = pair.files.certificate
      const left = pair.notAfter - clock.now()
      gauge.set({ file }, pair.notAfter / 1000)
      const fields = { file, names: pair.names, notAfter: new Date(pair.notAfter).toISOString() }
      if (left <= 0) log.error(fields, 'certificate has expired: clients will refuse it')
      else if (left < 14 * DAY) log.warn(fields, `certificate expires in ${Math.ceil(left / DAY)} days`)
      if (pair.notBefore > clock.now()) log.warn(fields, "certificate is not valid yet: is this machine's clock right?")
    }
  }

  status(): readonly CertificateStatus[] {
    return this.#loaded.map(({ pair }) => ({
      file: pair.files.certificate,
      names: pair.names,
      notAfter: pair.notAfter,
    }))
  }

  /** The context for the name that a client asked for: the exact name, then its wildcard, then the first certificate. Undefined where there is none at all. `trust`: other authorities to believe. */
  context(serverName?: string, trust?: Trust): SecureContext | undefined {
    const found = this.#find(serverName)
    return trust === undefined || found === undefined ? found?.context : this.#trusting(found, trust)
  }

  #find(serverName: string | undefined): Loaded | undefined {
    const [first] = this.#loaded
    if (serverName === undefined || this.#loaded.length < 2) return first
    const name = serverName.toLowerCase()
    const dot = name.indexOf('.')
    // RFC 6125 §6.4.3: a wildcard stands for one label.
    return this.#byName.get(name) ?? (dot > 0 ? this.#byName.get(`*${name.slice(dot)}`) : undefined) ?? first
  }

  /** What a handshake needs now; undefined where there is no certificate. */
  terms(
    alpn: string[] | undefined,
    clientCertificates?: ListenOptions['clientCertificates'],
  ): HandshakeTerms | undefined {
    const { ca, crl } = clientCertificates ?? {}
    const trust = ca === undefined ? undefined : { ca, crl }
    const secureContext = this.context(undefined, trust)
    const [first, second] = this.#loaded
    if (secureContext === undefined || first === undefined) return undefined
    return {
      secureContext,
      ...(clientCertificates !== undefined && { requestCert: true, rejectUnauthorized: false }),
      ...(second === undefined
        ? { endPoint: first.endPoint }
        : {
            SNICallback:
              trust === undefined ? this.#choose : (name, callback) => callback(null, this.context(name, trust)),
          }),
      ...(alpn !== undefined && { ALPNProtocols: alpn }),
    }
  }

  #trusting(loaded: Loaded, trust: Trust): SecureContext {
    let contexts = this.#others.get(loaded)
    if (contexts === undefined) this.#others.set(loaded, (contexts = new Map()))
    const { ca, crl } = trust
    const known = contexts.get(ca)
    if (known !== undefined && known.crl === crl) return known.context
    const context = serverContext(loaded.pair, this.#keys.current(), this.#minimum, trust)
    contexts.set(ca, { crl, context })
    return context
  }

  readonly #choose = (serverName: string, callback: (error: Error | null, context?: SecureContext) => void): void =>
    callback(null, this.context(serverName))
}
