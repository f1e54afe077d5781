// XEP-0178, RFC 4422 appendix A: logins by a certificate that the client showed in the TLS handshake

import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import * as v from 'valibot'
import { configPath } from '../kernel/config/folder.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Scope } from '../kernel/scope.ts'
import { alternativeNames } from '../net/alternative-names.ts'
import { StartError } from '../net/start-error.ts'
import { canonical } from './address.ts'
import type { LoginContext } from './contracts.ts'

const HOUR = 3_600_000

/** The part `certificates` of the config. */
export const certificatesConfig = v.pipe(
  v.strictObject({
    authorities: v.optional(
      v.pipe(
        v.string(),
        v.minLength(1),
        v.description(
          'PEM file of the authorities whose certificates log in; clients are asked for one then. It names the account by its XMPP address (xmppAddr) or mail address',
        ),
      ),
    ),
    endpoints: v.optional(
      v.pipe(
        v.array(v.picklist(['c2s', 'imap', 'submission'])),
        v.description('where clients are asked for a certificate'),
      ),
      ['c2s', 'imap', 'submission'],
    ),
    'revocation-lists': v.optional(
      v.pipe(
        v.string(),
        v.minLength(1),
        v.description(
          'PEM file of the revocation lists (CRL) of these authorities, one of each that signs: who is on them logs in no more. It is read again every hour. Where the list of an authority is missing or past its time, none of its certificates logs in',
        ),
      ),
    ),
    refused: v.optional(
      v.pipe(
        v.array(
          v.pipe(
            v.string(),
            v.regex(/^(?:[0-9a-f]{2}:?){32}$/i, 'expected a SHA-256 fingerprint, 64 hexadecimal digits'),
            v.transform((text) => text.replaceAll(':', '').toUpperCase()),
          ),
        ),
        v.description('SHA-256 fingerprints of certificates that were lost, and log in no more'),
      ),
      [],
    ),
  }),
  v.check(
    (config) => config.authorities !== undefined || config['revocation-lists'] === undefined,
    'revocation-lists without authorities: nobody logs in by certificate',
  ),
  v.description('Logins by certificates of clients (SASL EXTERNAL).'),
)
export type CertificatesConfig = v.InferOutput<typeof certificatesConfig>

/** PEM of the authorities that count, and of their revocation lists, each by itself. */
export interface CertificateTerms {
  readonly ca: string
  readonly crl: readonly string[] | undefined
}

export class ClientCertificates {
  readonly #config: CertificatesConfig
  readonly #terms: CertificateTerms | undefined
  readonly #clock: Clock

  /** Reads the authorities and their revocation lists. Throws a StartError where that cannot be done. */
  constructor(scope: Scope, config: CertificatesConfig) {
    this.#config = config
    this.#clock = scope.clock
    if (config.authorities === undefined) return
    const ca = readAuthorities(configPath(scope, config.authorities))
    const path = config['revocation-lists'] && configPath(scope, config['revocation-lists'])
    if (path === undefined) {
      this.#terms = { ca, crl: undefined }
      return
    }
    let crl = readLists(path)
    this.#terms = {
      ca,
      get crl() {
        return crl
      },
    }
    scope.interval(HOUR, async () => {
      try {
        const now = listsIn(await readFile(path, 'utf8'))
        if (now.join() !== crl.join()) crl = now
      } catch (error) {
        scope.log.error(
          { reason: (error as Error).message, path },
          'revocation lists could not be read again: those in use stay',
        )
      }
    })
  }

  /** How a listener of that protocol asks for certificates, and which it believes at the moment; undefined: it does not ask. */
  terms(protocol: string): CertificateTerms | undefined {
    const wanted: readonly string[] = this.#config.endpoints
    return wanted.includes(protocol) ? this.#terms : undefined
  }

  /** The addresses that the peer's certificate proves, in canonical form. */
  addresses(context: LoginContext): readonly string[] {
    if (this.terms(context.protocol) === undefined) return []
    const shown = context.certificate?.()
    if (shown === undefined || !shown.trusted) return []
    const { certificate } = shown
    if (this.#config.refused.includes(certificate.fingerprint256.replaceAll(':', ''))) return []
    // A TLS session that is resumed was looked at when it began.
    const now = this.#clock.now()
    if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) return []
    const found = new Set<string>()
    for (const [kind, value] of alternativeNames(certificate.subjectAltName ?? '')) {
      const address =
        (kind === 'othername:XmppAddr' || kind === 'email') && value.includes('@') ? canonical(value) : undefined
      if (address !== undefined) found.add(address)
    }
    return [...found]
  }
}

function readAuthorities(path: string): string {
  try {
    const pem = readFileSync(path, 'utf8')
    // What is no certificate would be passed over in silence.
    const { ca } = new X509Certificate(pem)
    if (!ca) throw new Error('the first certificate in it is not that of an authority')
    return pem
  } catch (error) {
    throw new StartError(
      `the authorities of accounts.certificates cannot be read from ${path}: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

/** The revocation lists in a text. Throws where there is none, or one that cannot be read. */
function listsIn(pem: string): readonly string[] {
  const lists = pem.match(/-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g) ?? []
  if (lists.length === 0) throw new Error('there is no revocation list in it')
  // Reads them as OpenSSL will.
  createSecureContext({ crl: lists })
  return lists
}

function readLists(path: string): readonly string[] {
  try {
    return listsIn(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new StartError(
      `the revocation lists of accounts.certificates cannot be read from ${path}: ${(error as Error).message}`,
      { cause: error },
    )
  }
}
